"""Alert rules as code, made to fit the cadence at which windows close: ``headwatch rules`` writes them.

Drift alarms latch inside headwatch and already hold the promised rate of false alarms, so no rule
compares numbers with thresholds of its own: it passes an alarm on, with severity and cause. What no
alarm can say gets alerts of its own: no fresh result, too few samples, evidence that does not arrive,
samples that are lost.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import yaml

from exporters.alerts import text as say
from exporters.alerts.cadence import Cadence, duration, words
from exporters.alerts.operations import BY, MODEL, ON, operations
from exporters.alerts.templates import SELECT, sentence, text
from exporters.severity_words import ALERT_SEVERITIES

FOLDER = "docs/runbooks"
"""Where the runbooks are in headwatch's repository: what an alert names where no address is known."""
CADENCE = 300.0

Rule = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """Base addresses of what an alert links to.

    ``runbooks`` None: an alert names its page by the path in headwatch's repository. ``grafana`` None: no
    dashboards are linked.
    """

    runbooks: str | None = None
    grafana: str | None = None

    def annotations(self, alert: str, dashboard: str, *, drift: bool) -> dict[str, str]:
        """The addresses of one alert; ``drift``: there are an onset and evidence to link to."""
        found = {"runbook_url": f"{(self.runbooks or FOLDER).rstrip('/')}/{page_name(alert)}"}
        if drift:
            found["evidence_url"] = text(say.evidence_url())
        if self.grafana:
            found["dashboard_url"] = text(
                say.dashboard_url(self.grafana, f"headwatch-{dashboard}", from_onset=drift)
            )
        return found


def page_name(alert: str) -> str:
    """The runbook page of an alert.

    >>> page_name("HeadwatchHeadDrift")
    'head-drift.md'
    """
    parts = re.findall("[A-Z][a-z]+", alert.removeprefix("Headwatch"))
    return f"{'-'.join(parts).lower()}.md"


def alert_rules(
    window_seconds: float = CADENCE, *, fast: bool = False, links: Links | None = None
) -> dict[str, Any]:
    """The rule file's content for windows of ``window_seconds``; ``fast``: without holding times."""
    cadence, links = Cadence(window=window_seconds, fast=fast), links or Links()
    interval = duration(cadence.interval)
    return {
        "groups": [
            {"name": "headwatch-drift", "interval": interval, "rules": _drift(cadence, links)},
            {"name": "headwatch-operations", "interval": interval, "rules": _operations(cadence, links)},
        ]
    }


def rules_yaml(window_seconds: float = CADENCE, *, fast: bool = False, links: Links | None = None) -> str:
    """The rule file as text; its head says how it was made and what its links need."""
    rules = alert_rules(window_seconds, fast=fast, links=links)
    text = yaml.dump(rules, Dumper=_Dumper, sort_keys=False, width=10_000, allow_unicode=True)
    head = [
        f"Written by `headwatch rules` for windows of {words(window_seconds)}; renew with window.duration.",
        "One such file serves every sidecar that a Prometheus scrapes: the one for the longest windows.",
    ]
    if links is None or links.runbooks is None:
        head += [
            f"The alerts name their runbooks by path, {FOLDER}/ in headwatch's repository. For links set",
            "exporters.prometheus.runbooks_url to where your team reads that folder, and renew this file.",
        ]
    return "".join(f"# {line}\n" for line in head) + text


class _Dumper(yaml.SafeDumper):
    """Writes a text that several alerts have once; the others point at it."""

    def ignore_aliases(self, data: object) -> bool:
        return not (isinstance(data, str) and data.startswith(SELECT))


def _rule(alert: str, expression: str, labels: dict[str, str], *, hold: float, keep: float) -> Rule:
    """``hold``: how long the condition stands before the alert; ``keep``: how long that outlives it."""
    rule: Rule = {"alert": alert, "expr": expression, "for": duration(hold), "labels": labels}
    return rule | {"keep_firing_for": duration(keep)} if keep else rule


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drift:
    """An alert of drift: the channels that it speaks for, what it says, and the dashboard that shows it."""

    alert: str
    channels: str
    summary: str
    changed: str
    dashboard: str


_DRIFT = (
    _Drift(
        alert="HeadwatchHeadDrift",
        channels="heads|rollout",
        summary=f"Attention heads of {MODEL} have drifted",
        changed=say.in_alarm("heads", say.heads(say.heads_counted()))
        + say.in_alarm("rollout", say.measures("rollout", lead="Most changed: ", count=1)),
        dashboard="heads",
    ),
    _Drift(
        alert="HeadwatchTokenDrift",
        channels="tokens",
        summary=f"Tokens that drive {MODEL} have changed",
        changed=say.tokens(),
        dashboard="tokens",
    ),
    _Drift(
        alert="HeadwatchPredictionDrift",
        channels="prediction",
        summary=f"Predictions of {MODEL} have drifted",
        changed=say.measures("prediction", lead="Most changed: ", count=2),
        dashboard="tokens",
    ),
    _Drift(
        alert="HeadwatchInputDrift",
        channels="input",
        summary=f"Inputs of {MODEL} have changed",
        changed=say.measures("input", lead="Most changed: ", count=2),
        dashboard="tokens",
    ),
    _Drift(
        alert="HeadwatchModelChanged",
        channels="model",
        summary=f"{MODEL} gives other results than when its baseline was made",
        changed=sentence("The fixed probe inputs give other results than they did.") + say.heads("Most in "),
        dashboard="heads",
    ),
    _Drift(
        alert="HeadwatchServingMismatch",
        channels="fidelity",
        summary=f"{MODEL} is served differently from its replay",
        changed=say.agreement() + say.measures("fidelity", lead="Most changed: ", count=1),
        dashboard="tokens",
    ),
)


CHANNEL_ALERTS: Mapping[str, str] = MappingProxyType(
    {channel: item.alert for item in _DRIFT for channel in item.channels.split("|")}
)
"""The alert that speaks for each channel of a verdict."""


def _worst(cadence: Cadence) -> str:
    """The worst severity of the alarm that stood within the cadence's memory.

    headwatch judges the severity of all that stands together; Prometheus only carries it. One that goes
    to and fro calls people. What an alarm before this one had is not remembered: it began at another time.
    """
    memory = f"[{duration(cadence.memory)}:{duration(max(1.0, cadence.window / 10))}]"
    since = "headwatch_alarm_since_timestamp_seconds"
    found: list[str] = []
    worse: list[str] = []

    def stood(names: list[str]) -> str:
        now = f'headwatch_severity{{severity=~"{"|".join(names)}"}}'
        marked = f"{now} * {ON} group_left () {since}"
        by = "max by (job, instance, model, severity)"
        kept = f"{by} (max_over_time(({marked}){memory})) >= {ON} group_left () max {BY} ({since})"
        return f"({by} ({now}) == 1 or {kept})"

    for name in ALERT_SEVERITIES.values():
        found.append(f"({stood([name])} unless {ON} {stood(worse)})" if worse else stood([name]))
        worse.append(name)
    return " or ".join(found)


def _drift(cadence: Cadence, links: Links) -> list[Rule]:
    severity = _worst(cadence)
    rules = []
    for item in _DRIFT:
        alarm = f'max {BY} (headwatch_channel_alarm{{channel=~"{item.channels}"}}) == 1'
        expression = f"({severity}) and {ON} ({alarm})"
        labels = {"severity": "{{ $labels.severity }}"}
        if item.alert == "HeadwatchModelChanged":
            # What a changed model explains may be inhibited; data that drift besides must not be.
            labels["data_drift"] = say.data_too()
        rules.append(
            _rule(item.alert, expression, labels, hold=cadence.settle, keep=cadence.bridge)
            | {
                "annotations": {
                    "summary": item.summary,
                    "description": text(item.changed),
                    "since": text(say.since()),
                    "cause": text(say.cause()),
                    "effect": text(say.effect()),
                    "action": text(say.action()),
                    **links.annotations(item.alert, item.dashboard, drift=True),
                }
            }
        )
    return rules


def _operations(cadence: Cadence, links: Links) -> list[Rule]:
    rules = []
    for item in operations(cadence):
        for severity, (expression, hold) in item.conditions.items():
            rules.append(
                _rule(item.alert, expression, {"severity": severity}, hold=hold, keep=cadence.hold)
                | {
                    "annotations": {
                        "summary": item.summary,
                        "description": item.changed,
                        "action": item.action,
                        **links.annotations(item.alert, "operations", drift=False),
                    }
                }
            )
    return rules
