"""How it is known, and since when: what each check found, and evidence over time."""

from __future__ import annotations

from html import escape

from monitor.records import Verdict
from monitor.report.episode_charts import sparkline
from monitor.report.episode_data import EpisodeReport
from monitor.report.episode_words import (
    CHANNELS,
    PROBE_NOT_READ,
    SEVERITY,
    in_alarm,
    joined,
    known_time,
    number,
    percent,
    probe_compared,
    since,
    utc,
)

NOTHING = 0.05
"""Of the limit: below that there is nothing to tell."""
_SEVERITIES = {
    "page": "The model or its serving changed undeclared, or the predictions drifted too: this wakes people.",
    "ticket": "Heads, words or the environment moved, the predictions hold: this waits for working hours.",
    "note": "What moved hardly matters, or was announced: this wakes nobody.",
}


def cause_section(report: EpisodeReport) -> str:
    """What was looked at, what was found, and what severity means."""
    verdict = report.verdict
    rows = "".join(
        f"<tr><th scope=row><b>{escape(name)}</b></th><td>{escape(found)}</td>"
        f"<td data-name='→'>{escape(says)}</td></tr>"
        for name, found, says in _checks(report)
    )
    table = (
        "<table class='plain stack'><thead><tr><th scope=col>looked at</th><th scope=col>found</th><th "
        "scope=col>"
        f"which says</th></tr></thead><tbody>{rows}</tbody></table>"
    )
    severity = verdict.severity
    words = "not set" if severity is None else f"{SEVERITY[severity]} ({severity})"
    meaning = "" if severity is None else _SEVERITIES[severity]
    return (
        f"<section id=cause><h2>Cause: {escape(joined(list(verdict.causes)) or 'unknown')}</h2>"
        "<p class=lead>Four things are told apart by what moved and what did not.</p>"
        f"{table}<p class=lead style='margin-top:1.1rem'><b>Severity: {words}.</b> {meaning}</p></section>"
    )


def _checks(report: EpisodeReport) -> list[tuple[str, str, str]]:
    """(looked at, found, which says), from the model outwards."""
    verdict = report.verdict
    return [_files(report), _probe(verdict), _served(verdict), _inputs(verdict)]


def _files(report: EpisodeReport) -> tuple[str, str, str]:
    name = "the model's files"
    if "model" in report.verdict.causes:
        differ = f": {report.changed_parts}" if report.changed_parts else ""
        return name, f"other parameters or files than at the baseline{differ}", "the model was changed"
    if report.changed_parts:
        return name, f"other parameters: {report.changed_parts}", "the model was changed"
    return name, "as at the baseline, or without effect", "no other model was deployed"


def _probe(verdict: Verdict) -> tuple[str, str, str]:
    name = "fixed inputs, run again"
    channel = verdict.channels.get("model")
    if channel is None or channel.detail in PROBE_NOT_READ:
        return name, "not run", "data and model cannot be told apart"
    if not probe_compared(verdict):
        return name, channel.detail, "data and model cannot be told apart"
    if channel.evidence > channel.limit:
        more = " (libraries or precision: " + ", ".join(verdict.upgrades) + ")" if verdict.upgrades else ""
        return name, f"{channel.detail}{more}", "what runs the model gives other numbers"
    return name, channel.detail, "model, libraries and hardware compute as before"


def _served(verdict: Verdict) -> tuple[str, str, str]:
    name = "the server's answers"
    channel = verdict.channels.get("fidelity")
    differs = (
        None
        if channel is None
        else next((item for item in channel.measures if item.measure == "label_differs"), None)
    )
    if channel is None or differs is None:
        return name, "not sent to headwatch", "faults between model and caller cannot be seen"
    found = f"another label than the replay on {percent(differs.after)} (before: {percent(differs.before)})"
    return (
        name,
        found,
        "the server parts from its model" if channel.alarm else "the server answers as its model does",
    )


def _inputs(verdict: Verdict) -> tuple[str, str, str]:
    name = "the inputs"
    own = [CHANNELS[item.channel] for item in in_alarm(verdict) if item.channel in ("tokens", "input")]
    if own:
        return name, f"changed: {joined(own)}", "the traffic is another one"
    if "data" in verdict.causes:
        return (
            name,
            "the same words in the same shape as far as is counted, used in another way",
            "the traffic changed in kind",
        )
    return name, "words and shape as before", "the traffic is the usual one"


def evidence_section(report: EpisodeReport) -> str:
    """Every channel's evidence against its limit, window by window."""
    points = report.history
    if not points:
        return ""
    names = list(dict.fromkeys(name for point in points for name in point.evidence))
    alarms = {channel.channel for channel in in_alarm(report.verdict)}
    names.sort(key=lambda name: name not in alarms)
    drawn = "".join(_series(report, name, on=name in alarms) for name in names)
    first, last = points[0], points[-1]
    ends = [
        utc(point.time) if known_time(point.time) else f"window {point.window}" for point in (first, last)
    ]
    return (
        "<section id=evidence><h2>Evidence over time</h2><p class=lead>Evidence grows while the traffic "
        "stays unlike "
        "the baseline; at the limit (orange, dashed) an alarm is raised that chance raises as rarely as "
        "you asked. "
        f"The dotted line is where the change began: {escape(since(report))}. Shaded: an alarm stood.</p>"
        f"{drawn}"
        f"<div class='series axis'><span></span><div><span>{ends[0]}</span><span>{ends[1]}</span></div>"
        "<span></span>"
        "</div></section>"
    )


def _series(report: EpisodeReport, name: str, *, on: bool) -> str:
    points = [point for point in report.history if name in point.evidence]
    ratios = [_ratio(point.evidence[name], point.limit[name]) for point in points]
    alarms = [point.alarm for point in points]
    began = report.verdict.since
    onset = next(
        (place for place, point in enumerate(points) if began is not None and point.window >= began), None
    )
    largest = max(ratios, default=0.0)
    times = "over 100 ×" if largest > 100 else f"{number(largest, 2)} ×"
    said = f"{times} limit" if largest >= NOTHING else "none"
    label = CHANNELS.get(name, name)
    value = f"<span class='val{' on' if on else ''}'>{said}{' ▲' if on else ''}</span>"
    return (
        f"<div class='series{'' if on else ' calm'}'><span>{escape(label)}</span>"
        f"{sparkline(ratios, alarms, onset, f'Evidence of {label}: {said}')}{value}</div>"
    )


def _ratio(evidence: float, limit: float) -> float:
    if evidence != evidence:  # noqa: PLR0124 (a broken model's evidence is none)
        return 0.0
    if limit > 0:
        return max(0.0, evidence / limit)
    return 2.0 if evidence > 0 else 0.0
