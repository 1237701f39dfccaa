from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from exporters.mlflow.connection import connect
from exporters.mlflow.retention import Keep
from exporters.mlflow.runs import MlflowRuns
from tests.exporters.mlflow_records import baseline, episode, files_of, runs_of, window
from tests.exporters.scenes import START, alarmed, cleared, quiet

DAY = 288
"""Windows of a day; ``START`` is in the afternoon of 2026-09-21."""
NOW = START + 20 * 86400


def sink_of(server, experiment, *, registry=False, **keep):
    return MlflowRuns(tracking_uri=server.url, experiment=experiment, registry=registry, keep=Keep(**keep))


def drift(sink, day, *, model="sentiment", closed=True):
    """An episode that opens on a day and lasts for an hour."""
    index = day * DAY + 12
    named = {"model": model, "episode": f"b1-{index}"}
    changes = {"since": index, "since_time": START + 300.0 * index}
    sink.deliver(episode(replace(alarmed(index), **named, **changes), "opened", report=False))
    if closed:
        sink.deliver(episode(replace(cleared(index + 12), **named), "closed", report=False))


def shown(server, experiment):
    return [run.info.run_name for run in runs_of(server, experiment)]


def test_without_settings_nothing_is_deleted(mlflow):
    sink = sink_of(mlflow, "keep all")
    drift(sink, 0)
    assert sink.tidy("sentiment", NOW + 1000 * 86400) == 0
    assert len(shown(mlflow, "keep all")) == 3


def test_days_and_closed_episodes_go_when_they_are_too_old(mlflow):
    sink = sink_of(mlflow, "by age", days=10)
    for day in (0, 10, 15):
        drift(sink, day)
    assert sink.tidy("sentiment", NOW) == 2
    assert sorted(shown(mlflow, "by age")) == [
        "Baseline b1 of sentiment",
        "Drift of sentiment from 2026-10-01 15:15 to 16:20 UTC",
        "Drift of sentiment from 2026-10-06 15:15 to 16:20 UTC",
        "sentiment on 2026-10-01",
        "sentiment on 2026-10-06",
    ]
    # Three hours on, that episode has been over for ten days, and its day has not.
    assert sink.tidy("sentiment", NOW + 3 * 3600) == 1
    assert "sentiment on 2026-10-01" in shown(mlflow, "by age")
    assert sink.tidy("sentiment", NOW + 3 * 3600) == 0


def test_of_the_closed_episodes_the_newest_are_kept(mlflow):
    sink = sink_of(mlflow, "by number", episodes=1)
    for day in (0, 1, 2):
        drift(sink, day)
    assert sink.tidy("sentiment", NOW) == 2
    left = runs_of(mlflow, "by number", "episode")
    assert [run.data.tags["episode"] for run in left] == [f"b1-{2 * DAY + 12}"]
    assert len(runs_of(mlflow, "by number", "day")) == 3


def test_an_open_episode_stays_with_its_days_however_old(mlflow):
    sink = sink_of(mlflow, "open", days=1, episodes=1)
    sink.deliver(window(quiet(-2 * DAY)))
    drift(sink, 0, closed=False)
    sink.deliver(window(quiet(3 * DAY)))
    assert sink.tidy("sentiment", NOW) == 1
    assert shown(mlflow, "open") == [
        "Drift of sentiment since 2026-09-21 15:15 UTC",
        "Baseline b1 of sentiment",
        "sentiment on 2026-09-21",
        "sentiment on 2026-09-24",
    ]
    assert sink.episode_url("b1-12") is not None


def test_other_models_and_other_peoples_runs_are_left_alone(mlflow):
    sink = sink_of(mlflow, "others", days=1, episodes=1)
    drift(sink, 0, model="another")
    client = connect(mlflow.url)
    own = client.get_experiment_by_name("others").experiment_id
    client.create_run(own, start_time=0, tags={"model": "sentiment"}, run_name="a training run")
    assert sink.tidy("sentiment", NOW) == 0
    assert len(client.search_runs([own])) == 4


@pytest.mark.parametrize("keep", [{}, {"days": 1, "episodes": 1}])
def test_another_tools_runs_with_the_same_tags_are_neither_deleted_nor_stumbled_over(mlflow, keep):
    experiment = f"tags of others {len(keep)}"
    sink = sink_of(mlflow, experiment, **keep)
    drift(sink, 0, model="it's ours", closed=False)
    client = connect(mlflow.url)
    own = client.get_experiment_by_name(experiment).experiment_id
    tags = {"model": "it's ours", "state": "open", "baseline": "b1"}
    client.create_run(own, start_time=0, tags=tags, run_name="a training run")
    again = sink_of(mlflow, experiment, **keep)
    assert again.tidy("it's ours", NOW) == 0
    assert again.episode_url("b1-12") is not None
    assert len(client.search_runs([own])) == 4


def test_old_baselines_go_with_their_last_day_unless_registered(mlflow):
    """Starts of baseline runs are the server's clock, so ``now`` is far behind it."""
    for registry, left in ((False, ["b2"]), (True, ["b1", "b2"])):
        experiment = f"baselines {registry}"
        sink = sink_of(mlflow, experiment, registry=registry, days=1)
        name = f"sentiment-{registry}"
        for version in ("b1", "b2"):
            sink.deliver(baseline(version.encode(), version=version, name=name))
            sink.deliver(window(replace(quiet(0), model=name, baseline=version)))
        later = START + 10_000 * 86400
        assert sink.tidy(name, later) == 2 + (not registry)
        kept = runs_of(mlflow, experiment)
        assert [run.data.tags["baseline"] for run in kept] == left


def test_a_late_record_of_a_deleted_day_begins_it_anew(mlflow):
    sink = sink_of(mlflow, "late day", days=1)
    sink.deliver(window(quiet(10)))
    assert sink.tidy("sentiment", NOW) == 1
    sink.deliver(window(quiet(11)))
    (day,) = runs_of(mlflow, "late day", "day")
    points = connect(mlflow.url).get_metric_history(day.info.run_id, "window/samples")
    assert [point.step for point in points] == [11]


def test_the_guides_command_frees_what_retention_deleted(mlflow):
    sink = sink_of(mlflow, "freed", days=1)
    drift(sink, 0)
    (gone,) = runs_of(mlflow, "freed", "episode")
    folder = mlflow.folder / "artifacts" / gone.info.experiment_id / gone.info.run_id
    assert files_of(mlflow, gone, "opened")
    assert any(folder.rglob("head_map.png"))
    assert sink.tidy("sentiment", NOW) == 2
    assert connect(mlflow.url).get_run(gone.info.run_id).info.lifecycle_stage == "deleted"
    guide = (Path(__file__).parents[2] / "docs" / "mlflow.md").read_text(encoding="utf-8")
    command = next(line for line in guide.splitlines() if line.startswith("mlflow gc "))
    given = {
        "http://mlflow:5000": mlflow.url,
        "sqlite:////mlflow/mlflow.sqlite": f"sqlite:///{mlflow.folder}/mlflow.db",
        "/mlflow/artifacts": f"{mlflow.folder}/artifacts",
        "30d": "0s",
    }
    for shown_value, value in given.items():
        assert shown_value in command
        command = command.replace(shown_value, value)
    done = subprocess.run(
        [sys.executable, "-m", *command.split()],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
    )
    assert done.returncode == 0, done.stderr
    assert not any(folder.rglob("head_map.png"))
    with pytest.raises(Exception, match="not found"):
        connect(mlflow.url).get_run(gone.info.run_id)
