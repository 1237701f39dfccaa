"""Where each record belongs: the run of its baseline, of its day, of its episode.

    experiment (one per deployment)
    ├── baseline          a run per baseline
    │   └── day           a child run per UTC day: step = window, timestamp = end of the window
    └── episode           a run per drift episode with the full evidence

Episodes are no children of their baseline: the runs table folds children away, even those that its
filter found. They link to it instead, and to the day they began in; the day links back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from exporters.mlflow.experiment import KIND_TAG, NOTE_TAG, Experiment, run_id
from exporters.mlflow.links import baseline_tables
from exporters.mlflow.text import DAY_TAG, baseline_note, date, day_note

PARENT_TAG = "mlflow.parentRunId"
MODEL_KEYS = ("model", "revision", "baseline")


def baseline_run(experiment: Experiment, owner: Mapping[str, Any]) -> str:
    """The run of the baseline that ``owner`` names (model, revision, baseline)."""
    key = f"{_prefix(owner)}/baseline"
    if experiment.knows(key):
        return str(experiment.find(key))
    name = f"Baseline {owner['baseline']} of {owner['model']}"
    if not owner["baseline"]:
        name = f"{owner['model']} before its first baseline"
    note = baseline_note(owner["model"], owner["baseline"])
    if owner["baseline"]:
        note = f"{baseline_tables(experiment.id(), owner['model'], owner['baseline'])}\n\n{note}"
    run = experiment.run(key, kind="baseline", name=name, tags={**_tags(owner), NOTE_TAG: note})
    experiment.client.set_terminated(run)
    return run


def day_run(experiment: Experiment, owner: Mapping[str, Any], time: float) -> str:
    """The run of the UTC day of ``time``, below its baseline's; the days before it have ended."""
    day = date(time)
    key = f"{_prefix(owner)}/day/{day}"
    if experiment.knows(key):
        return str(experiment.find(key))
    parent = baseline_run(experiment, owner)
    note = day_note(owner["model"], day, owner["baseline"])
    tags = {**_tags(owner), PARENT_TAG: parent, NOTE_TAG: note, DAY_TAG: day}
    run = experiment.run(key, kind="day", name=f"{owner['model']} on {day}", tags=tags)
    _end_days_before(experiment, day, owner["model"])
    return run


def episode_key(verdict: Mapping[str, Any]) -> str:
    """What the run of the verdict's episode is found by."""
    return f"{_prefix(verdict)}/episode/{verdict['episode']}"


def _end_days_before(experiment: Experiment, day: str, model: str) -> None:
    """Days that are over read so in the runs table; late records can still be added to them."""
    for run in experiment.search(f"tags.`{KIND_TAG}` = 'day' AND attributes.status = 'RUNNING'"):
        if run.data.tags.get("model") == model and run.data.tags.get(DAY_TAG, day) < day:
            experiment.client.set_terminated(run_id(run))


def _prefix(owner: Mapping[str, Any]) -> str:
    return f"{owner['model']}/{owner['baseline']}"


def _tags(owner: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(owner[name]) for name in MODEL_KEYS if owner[name]}
