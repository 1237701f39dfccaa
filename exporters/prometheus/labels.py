"""What each label of a metric can be, and so how many series a metric has; what each is counted in.

Read by the metrics reference; a test holds it against the one table and against what headwatch gives.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from exporters.prometheus.table import PREFIX, Metric


@dataclass(frozen=True, slots=True)
class Label:
    """The values of a label in words, and how many there are: a number, or what there is one of for each."""

    values: str
    count: int | str = 1


LABELS: Mapping[str, Label] = MappingProxyType(
    {
        "model": Label("`model.name`; a sidecar watches one model"),
        "version": Label("the version of headwatch"),
        "revision": Label("the revision that the traffic or the configuration names"),
        "baseline": Label("the short id of the baseline; empty while learning"),
        "experiment_id": Label("MLflow's id of the experiment"),
        "run_id": Label("MLflow's id of the run; another one each day"),
        "run_url": Label("the address of the run; empty where MLflow has none yet"),
        "episode": Label("the id of the drift episode that stands"),
        "state": Label("`starting`, `learning`, `quiet`, `alarm`, `too_few_samples`, `stale`", 6),
        "channel": Label("`heads`, `rollout`, `tokens`, `prediction`, `input`, `fidelity`, `model`", 7),
        "cause": Label("`data`, `model`, `environment`, `serving`", 4),
        "severity": Label("`critical`, `warning`, `info`: headwatch's own page, ticket, note", 3),
        "suspicion": Label(
            "`tokenizer`, `truncation`, `padding`, `special_tokens`, `lower_casing`, `punctuation`", 6
        ),
        "change": Label("`rollout`, `upgrade`", 2),
        "layer": Label("the layer's number, from 0", "layers"),
        "head": Label("the head's number in its layer, from 0", "heads"),
        "statistic": Label("a [statistic](statistics.md) of a head, `entropy` for instance", "statistics"),
        "role": Label("what a head mostly does, `previous` for instance", "roles"),
        "watch_list": Label("a name in `analysis.watch_lists`", "watch lists"),
        "part": Label("`punctuation`, `special`", 2),
        "measure": Label(
            "a [measure](statistics.md#of-the-other-channels) of a channel, of agreement or faithfulness",
            "measures",
        ),
        "method": Label("a way to attribute, `integrated_gradients` for instance", "methods"),
        "label": Label("a class of the model", "classes"),
        "when": Label("`baseline`, or `window`: the last one judged", 2),
        "outcome": Label("`quiet`, `alarm`, `learning`, `too_few_samples`", 4),
        "source": Label("`http`, `cloudevents`, `jsonl`", 3),
        "reason": Label("why a sample was dropped: a word of headwatch, else `other`", "reasons"),
        "job_name": Label("a job in `schedule`; the label `job` is Prometheus' own", "jobs"),
        "kind": Label("`window`, `episode`, `attribution`, `baseline`, `notification`", 5),
        "sink": Label("`mlflow`, `notifications`", 2),
    }
)

# Families whose series are bounded by something else than their labels.
_BOUNDED: Mapping[str, str] = MappingProxyType(
    {f"head_{name}": "top heads" for name in ("effect", "evidence", "before", "after", "importance_ratio")}
    | {f"measure_{name}": "20 a channel at most" for name in ("effect", "before", "after")}
    | {f"attribution_{name}": "2 x methods" for name in ("agreement", "faithfulness")}
)

_SUFFIXES: Mapping[str, str] = MappingProxyType(
    {
        "_timestamp_seconds": "seconds since the epoch",
        "_seconds": "seconds",
        "_bytes": "bytes",
        "_ratio": "ratio, 0 to 1",
        "_info": "always 1",
    }
)
_FLAG, _COUNT, _DEVIATIONS = "0 or 1", "count", "standard deviations"
_UNITS: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(
        (
            "config_last_reload_successful",
            "state",
            "channel_alarm",
            "cause",
            "severity",
            "suspicion",
            "expected_change",
        ),
        _FLAG,
    )
    | dict.fromkeys(("head_effect", "layer_effect", "measure_effect"), _DEVIATIONS)
    | dict.fromkeys(("pooled_evidence", "pooled_evidence_limit", "head_evidence"), "natural logarithm")
    | dict.fromkeys(
        ("evidence", "evidence_limit"), "natural logarithm; for channel `model` standard deviations"
    )
    | dict.fromkeys(("head_before", "head_after", "head_statistic", "layer_statistic"), "the statistic's own")
    | dict.fromkeys(("measure_before", "measure_after"), "the measure's own")
    | {
        "attribution_agreement": "correlation, -1 to 1, or share, 0 to 1",
        "attribution_faithfulness": "difference of support",
    }
    | dict.fromkeys(
        (
            "heads_drifted",
            "heads_role_changed",
            "heads_leading",
            "tokens_gained",
            "tokens_lost",
            "attribution_samples",
            "input_tokens",
            "window_samples",
            "window_received",
            "ingest_queue_samples",
            "ingest_queue_limit_samples",
            "pending_samples",
            "outbox_records",
        ),
        _COUNT,
    )
)


def unit(metric: Metric) -> str:
    """What the metric's numbers are in; a counter says so in its name, or counts.

    Raises KeyError for a metric of which nothing says it.
    """
    name = metric.name.removeprefix(PREFIX)
    if name in _UNITS:
        return _UNITS[name]
    for suffix, words in _SUFFIXES.items():
        if name.removesuffix("_total").endswith(suffix):
            return words
    if metric.kind == "counter":
        return _COUNT
    raise KeyError(name)


def series(metric: Metric) -> str:
    """How many series the metric has for one model.

    >>> series(Metric(name="headwatch_x", kind="gauge", labels=("model", "layer", "when"), help="."))
    '2 x layers'
    """
    name = metric.name.removeprefix(PREFIX)
    if name in _BOUNDED:
        return _BOUNDED[name]
    counts = [LABELS[label].count for label in metric.labels]
    number = math.prod(count for count in counts if isinstance(count, int))
    words = [count for count in counts if isinstance(count, str)]
    return " x ".join(words if words and number == 1 else [str(number), *words])
