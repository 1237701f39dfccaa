"""promtool unit tests as data: what a sidecar exports over time, and which alerts stand when.

Times are in steps of the rules' own interval, so that one scenario fits every cadence. What an alert
is expected to say is written out here, never computed by the code under test.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

MODEL = {"job": "headwatch", "instance": "sidecar:9095", "model": "sentiment"}
RUNBOOKS = "docs/runbooks"
# A series: its metric, its own labels, and how many steps it has each value ("_": none).
Runs = Sequence[tuple[float | str, int]]


@dataclass(frozen=True, kw_only=True)
class Steps:
    """The durations that the rules should have at this cadence, in seconds, and as steps of them."""

    window: float
    interval: float
    settle: float
    bridge: float
    hold: float
    thin: float
    memory: float
    patience: float
    rate: float
    tries: float
    blind: float
    gone: float

    @classmethod
    def of(cls, window):
        """As the documentation of the rules promises them."""
        return cls(
            window=window,
            interval=min(60.0, max(5.0, window / 5)),
            settle=60.0,
            bridge=1200.0,
            hold=300.0,
            thin=min(3600.0, max(300.0, 1.2 * window)),
            memory=max(300.0, 1.2 * window),
            patience=600.0,
            rate=min(86400.0, max(900.0, 3 * window)),
            tries=min(3600.0, max(900.0, 3 * window)),
            blind=min(86400.0, max(3600.0, 6 * window)),
            gone=max(86400.0, 2 * min(86400.0, 6 * window)),
        )

    def __getitem__(self, name):
        return math.ceil(getattr(self, name) / self.interval)


@dataclass(kw_only=True)
class Timeline:
    """One promtool test."""

    name: str
    steps: Steps
    series: list[tuple[str, Mapping[str, str], Runs]] = field(default_factory=list)
    checks: list[tuple[int, str, list[Mapping[str, object]]]] = field(default_factory=list)

    def has(self, metric, *runs, **labels):
        self.series.append((f"headwatch_{metric}", {**MODEL, **labels}, runs))

    def scraped(self, *runs, instance=MODEL["instance"]):
        """Prometheus' own series about its target."""
        self.series.append(("up", {"job": MODEL["job"], "instance": instance}, runs))

    def counts(self, metric, *rises, **labels):
        """A counter that rises by so much a step, for so many steps each."""
        runs = [("rise", rise, count) for rise, count in rises]
        self.series.append((f"headwatch_{metric}", {**MODEL, **labels}, runs))

    def expects(self, step, alert, *alerts):
        self.checks.append((step, alert, list(alerts)))

    @property
    def length(self):
        """Up to the last look at its alerts, in steps."""
        return max(step for step, *_ in self.checks)

    def as_promtool(self):
        return {
            "name": self.name,
            "interval": f"{self.steps.interval:g}s",
            "input_series": [
                {"series": _series(metric, labels), "values": _values(runs)}
                for metric, labels, runs in self.series
            ],
            "alert_rule_test": [
                {"eval_time": f"{step * self.steps.interval:g}s", "alertname": alert, "exp_alerts": alerts}
                for step, alert, alerts in self.checks
            ],
        }


def expected(severity, page, annotations, **labels):
    """An alert as promtool compares it."""
    return {
        "exp_labels": {
            name: value for name, value in {**MODEL, "severity": severity, **labels}.items() if value
        },
        "exp_annotations": {**annotations, "runbook_url": f"{RUNBOOKS}/{page}.md"},
    }


def _series(metric, labels):
    inner = ", ".join(f'{name}="{value}"' for name, value in labels.items())
    return f"{metric}{{{inner}}}"


def _values(runs):
    if runs and runs[0][0] == "rise":
        return _counter(runs)
    words = []
    for value, count in runs:
        if value == "_":
            # The series ends here, as Prometheus sees it when a scrape no longer has it.
            words += ["stale", f"_x{count - 1}"] if words else [f"_x{count}"]
        else:
            words.append(f"{value:.12g}x{count - 1}" if isinstance(value, float | int) else value)
    return " ".join(words)


def _counter(runs):
    words, total = [], 0
    for _, rise, count in runs:
        words.append(f"{total:.12g}+{rise:.12g}x{count - 1}")
        total += rise * count
    return " ".join(words)
