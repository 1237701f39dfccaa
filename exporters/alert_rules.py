"""Alert rules as code, made to fit the cadence at which windows close.

    python -m exporters.alert_rules 15m > headwatch.rules.yml

Drift alarms latch inside headwatch and already hold the promised rate of false alarms, so no rule
compares numbers with thresholds of its own: it passes an alarm on, with severity and cause. What no
alarm can say gets alerts of its own: no fresh result, too few samples, evidence that does not arrive.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any

import yaml

RUNBOOKS = "https://headwatch.example/docs/runbooks.md"
CADENCE = 300.0
# Prometheus' advice: shorter holds page for a single failed scrape.
SHORTEST_HOLD = 300.0
BY = "by (job, instance, model)"
ON = "on (job, instance, model)"

Rule = dict[str, Any]


def alert_rules(window_seconds: float = CADENCE, *, fast: bool = False, runbooks: str = RUNBOOKS) -> Rule:
    """The rule file's content for windows of ``window_seconds``.

    Args:
        window_seconds: how often a window closes.
        fast: no holding time at all, for demonstrations and tests with windows of seconds.
        runbooks: address of the runbook page; each alert links to its own section of it.
    """
    cadence = _Cadence(window_seconds, fast=fast, runbooks=runbooks)
    return {
        "groups": [
            {"name": "headwatch-drift", "interval": cadence.interval, "rules": _drift(cadence)},
            {"name": "headwatch-operations", "interval": cadence.interval, "rules": _operations(cadence)},
        ]
    }


def rules_yaml(window_seconds: float = CADENCE, *, fast: bool = False, runbooks: str = RUNBOOKS) -> str:
    """The rule file as text, with a first line that says how it was made."""
    rules = alert_rules(window_seconds, fast=fast, runbooks=runbooks)
    command = f"python -m exporters.alert_rules {_duration(window_seconds)}"
    text = yaml.safe_dump(rules, sort_keys=False, width=10_000, allow_unicode=True)
    return f"# Written by `{command}`: make it anew when window.duration changes.\n{text}"


class _Cadence:
    """Every duration of the rules, derived from the one that the user chose."""

    def __init__(self, window: float, *, fast: bool, runbooks: str) -> None:
        self.window = window
        self.runbooks = runbooks
        self.interval = "1s" if fast else _duration(min(60.0, max(5.0, window / 5)))
        # Longer than one cycle, so that a single late window never fires; 0 where speed matters.
        self.hold = "0s" if fast else _duration(max(SHORTEST_HOLD, 1.2 * window))
        # Two missed windows and the time that judging one may take.
        self.stale = 3 * window
        # Long enough for two scrapes and for a sink that is only tried now and then.
        self.rate = _duration(max(10.0, 3 * window) if fast else max(900.0, 3 * window))

    def rule(self, alert: str, expression: str, *, severity: str, summary: str, description: str) -> Rule:
        rule: Rule = {"alert": alert, "expr": expression, "for": self.hold, "labels": {"severity": severity}}
        if self.hold != "0s":
            # Bridges the minutes in which a restarted sidecar has no window to show yet.
            rule["keep_firing_for"] = self.hold
        rule["annotations"] = {
            "summary": summary,
            "description": description,
            "runbook_url": f"{self.runbooks}#{alert.lower()}",
        }
        return rule


# Alert, channels, what behaves differently, and a sentence that points at it.
_CHANNELS: tuple[tuple[str, str, str, str], ...] = (
    ("HeadwatchHeadDrift", "heads|rollout", "Attention heads of {model} have drifted", "{heads}"),
    ("HeadwatchTokenDrift", "tokens", "Tokens that drive {model} have changed", "{tokens}"),
    ("HeadwatchPredictionDrift", "prediction", "Predictions of {model} have drifted", "{measures}"),
    ("HeadwatchInputDrift", "input", "Inputs of {model} have changed", "{measures}"),
    (
        "HeadwatchModelChanged",
        "model",
        "{model} computes something else than its baseline did",
        "The fixed probe inputs give other results than before. {heads}",
    ),
    (
        "HeadwatchServingMismatch",
        "fidelity",
        "{model} is served differently from its replay",
        "Served and replayed predictions disagree. {fidelity}",
    ),
)


def _drift(cadence: _Cadence) -> list[Rule]:
    rules = []
    for alert, channels, summary, detail in _CHANNELS:
        alarm = f'max {BY} (headwatch_channel_alarm{{channel=~"{channels}"}}) == 1'
        # headwatch judges the severity; Prometheus only carries it, as this series' own label.
        expression = f"max by (job, instance, model, severity) (headwatch_severity) == 1 and {ON} ({alarm})"
        severity = "{{ $labels.severity }}"
        if alert == "HeadwatchInputDrift":
            # Other inputs that change neither heads nor predictions are worth a note and no more.
            expression, severity = alarm, "note"
        names = {"model": "{{ $labels.model }}", **_details(channels)}
        rules.append(
            cadence.rule(
                alert,
                expression,
                severity=severity,
                summary=summary.format(**names),
                description=f"{detail.format(**names)} {_CAUSE}{_SINCE}",
            )
        )
    return rules


def _operations(cadence: _Cadence) -> list[Rule]:
    model = "{{ $labels.model }}"
    window, missed = _words(cadence.window), _words(cadence.stale)
    stale = (
        f'max {BY} (headwatch_state{{state="stale"}}) == 1'
        f" or max {BY} (time() - headwatch_last_update_timestamp_seconds) > {cadence.stale:g}"
        # Loading a model takes minutes; a sidecar that is still at it after this long never gets there.
        f' or max {BY} (headwatch_state{{state="starting"}} == 1'
        f' and headwatch_state{{state="starting"}} offset {cadence.rate} == 1)'
        # A sidecar that is gone has no series at all; what it was watching is known from the last day.
        f" or (max {BY} (last_over_time(headwatch_state[1d])) unless max {BY} (headwatch_state))"
    )
    failures = f"increase(headwatch_sink_failures_total[{cadence.rate}])"
    deliveries = f"increase(headwatch_sink_deliveries_total[{cadence.rate}])"
    dropped = f"sum {BY} (increase(headwatch_samples_dropped_total[{cadence.rate}]))"
    received = f"sum {BY} (increase(headwatch_samples_received_total[{cadence.rate}]))"
    return [
        cadence.rule(
            "HeadwatchStale",
            stale,
            severity="ticket",
            summary=f"{model} is not being watched",
            description=f"headwatch has shown no fresh result for over {missed}, and a window should close "
            f"every {window}. Silence about drift means nothing until this is over.",
        ),
        cadence.rule(
            "HeadwatchTooFewSamples",
            f'max {BY} (headwatch_state{{state="too_few_samples"}}) == 1',
            severity="ticket",
            summary=f"Too few samples of {model} to judge",
            description="Windows hold too few samples to judge; they wait and are joined, for a day at most. "
            "Either traffic is low or it does not reach headwatch.",
        ),
        cadence.rule(
            "HeadwatchSinkFailing",
            f"{failures} > 0 unless on (job, instance, model, sink) {deliveries} > 0",
            severity="ticket",
            summary=f"Evidence about {model} does not reach {{{{ $labels.sink }}}}",
            description="{{ $labels.sink }} has taken nothing and refused {{ $value | humanize }} deliveries "
            f"in {_words(_seconds(cadence.rate))}. The evidence waits in the outbox, which is bounded.",
        ),
        cadence.rule(
            "HeadwatchSamplesDropped",
            f"{dropped} / {received} > 0.01",
            severity="ticket",
            summary=f"Samples of {model} are dropped",
            description="{{ $value | humanizePercentage }} of the samples that arrived in "
            f"{_words(_seconds(cadence.rate))} were dropped. What is judged may not be what was served.",
        ),
    ]


def _query(expression: str, shown: str) -> str:
    """Template text: ``shown`` once for every series of ``expression``; ``<model>`` selects this model."""
    arguments = " $labels.model $labels.instance" * expression.count("<model>")
    query = expression.replace("<model>", "model=%q, instance=%q")
    return f"{{{{ range printf `{query}`{arguments} | query }}}}{shown}{{{{ end }}}}"


_CAUSE = _query("headwatch_cause{<model>} == 1", "Cause: {{ .Labels.cause }}. ")
_SINCE = _query(
    "headwatch_alarm_since_timestamp_seconds{<model>}", "It began at {{ .Value | humanizeTimestamp }}."
)


def _details(channels: str) -> Mapping[str, str]:
    """The sentences with numbers that a description may hold, by the name that its pattern uses."""
    drifted = _query("headwatch_heads_drifted{<model>}", "Heads named: {{ .Value }}. ")
    top = _query(
        "headwatch_head_effect{<model>} and topk(1, headwatch_head_evidence{<model>})",
        "Strongest evidence: L{{ .Labels.layer }}H{{ .Labels.head }}, {{ .Labels.statistic }} "
        '{{ printf "%+.1f" .Value }} standard deviations.',
    )
    gained = _query("headwatch_tokens_gained{<model>}", "Tokens seen more often: {{ .Value }}. ")
    lost = _query("headwatch_tokens_lost{<model>}", "Tokens seen less often: {{ .Value }}. ")
    measures = _query(
        f'headwatch_measure_effect{{channel="{channels}", <model>}} '
        f'and topk(1, abs(headwatch_measure_effect{{channel="{channels}", <model>}}))',
        'Largest change: {{ .Labels.measure }}, {{ printf "%+.1f" .Value }} standard deviations.',
    )
    fidelity = _query(
        "headwatch_fidelity_ratio{<model>}", "They agree on {{ .Value | humanizePercentage }} of the labels."
    )
    return {
        "heads": drifted + top,
        "tokens": f"{gained}{lost}The episode's run in MLflow names them.",
        "measures": measures,
        "fidelity": fidelity,
    }


def _duration(seconds: float) -> str:
    """Prometheus' form, whole seconds: ``6m``, ``90s``."""
    whole = math.ceil(seconds)
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if whole and whole % size == 0:
            return f"{whole // size}{unit}"
    return f"{whole}s"


def _seconds(duration: str) -> float:
    return float(duration[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[duration[-1]]


def _words(seconds: float) -> str:
    """``15 minutes``."""
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= size and seconds % size == 0:
            count = int(seconds // size)
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return f"{seconds:g} seconds"


if __name__ == "__main__":
    print(rules_yaml(_seconds(sys.argv[1]) if len(sys.argv) > 1 else CADENCE), end="")
