"""How a verdict reads in words: names, notes, tags and metrics, made from its JSON form."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

Json = Mapping[str, Any]


def utc(time: float) -> str:
    """A moment as people read it.

    >>> utc(1764000000)
    '2025-11-24 16:00 UTC'
    """
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M UTC")


def window_metrics(verdict: Json) -> dict[str, float]:
    """A window's numbers, named ``group/quantity``: MLflow groups its charts by what stands before ``/``."""
    metrics: dict[str, float | None] = {
        "window/samples": verdict["samples"],
        "window/received": verdict["received"],
        "evidence/all": verdict["evidence"],
        "limit/all": verdict["limit"],
    }
    for name, channel in verdict["channels"].items():
        metrics[f"evidence/{name}"] = channel["evidence"]
        metrics[f"limit/{name}"] = channel["limit"]
        metrics[f"alarm/{name}"] = float(channel["alarm"])
        for head in channel["top"]:
            metrics[f"effect/{head_name(head)} {head['statistic']}"] = head["effect"]
        for item in channel["measures"]:
            metrics[f"{name}/{_allowed(item['measure'])}"] = item["after"]
    # A broken model's numbers may be none at all: null in JSON.
    return {name: value for name, value in metrics.items() if value is not None}


def episode_tags(verdict: Json) -> dict[str, str]:
    """The tags that the runs table is filtered by."""
    return {
        "model": verdict["model"],
        "revision": verdict["revision"],
        "baseline": verdict["baseline"],
        "episode": str(verdict["episode"]),
        "cause": ",".join(verdict["causes"]) or "unknown",
        "severity": verdict["severity"] or "none",
        "channel": ",".join(alarmed(verdict)),
        "suspicion": ",".join(suspected(verdict)) or "none",
    }


def episode_name(verdict: Json) -> str:
    """The run's name in the table: ``Drift of sentiment, 2026-11-21 10:35 UTC``."""
    return f"Drift of {verdict['model']}, {utc(verdict['since_time'] or verdict['start'])}"


def episode_note(verdict: Json) -> str:
    """The run's description (Markdown): the summary, then what moved, most important first."""
    causes = cause_words(verdict) or "unknown"
    lines = [
        verdict["summary"],
        "",
        (
            f"**Cause:** {causes}. **Severity:** {verdict['severity'] or 'none'}. "
            f"**Since:** {utc(verdict['since_time'] or verdict['start'])} "
            f"(window {verdict['since'] if verdict['since'] is not None else verdict['index']})."
        ),
    ]
    for name in alarmed(verdict):
        channel = verdict["channels"][name]
        lines += ["", f"**{name}**: evidence {channel['evidence']:.1f}, limit {channel['limit']:.1f}."]
        lines += [
            f"- {changed(head_name(head) + ' ' + head['statistic'], head)}" for head in channel["top"][:5]
        ]
        lines += [f"- {changed(item['measure'], item)}" for item in channel["measures"][:5]]
        if channel["gained"]:
            lines.append(f"- tokens gained: {', '.join(channel['gained'][:10])}")
        if channel["lost"]:
            lines.append(f"- tokens lost: {', '.join(channel['lost'][:10])}")
    return "\n".join(lines)


def closing_note(note: str, verdict: Json) -> str:
    """The opening's note with the end of the episode in front."""
    return f"Over since {utc(verdict['end'])}.\n\n{note}"


def baseline_note(payload: Json, created: float) -> str:
    """What a baseline was made from."""
    made_of = "live traffic" if payload.get("source") == "live" else "a log"
    return (
        f"Baseline {payload['version']} of {payload['name']}, revision {payload.get('revision', '')}: "
        f"{payload.get('samples', 'an unknown number of')} samples from {made_of}, built {utc(created)}. "
        "Windows are judged against it; the runs below it say how."
    )


def day_note(model: str, day: str, baseline: str) -> str:
    """What a day's run shows."""
    against = f"baseline {baseline}" if baseline else "no baseline yet"
    return (
        f"The windows of {model} on {day} (UTC) against {against}: one step per window. "
        "Drift is where a chart under *evidence* crosses its namesake under *limit*."
    )


def cause_words(verdict: Json) -> str:
    """The causes, what is known of them, and what the inputs look like; empty without a cause.

    Records that an earlier version left in the outbox know only the causes.
    """
    causes = " and ".join(verdict["causes"])
    if verdict.get("declared"):
        causes += ", declared"
    if verdict.get("upgrades") and "environment" in verdict["causes"]:
        causes += ", upgraded"
    faults = " and ".join(name.replace("_", " ") for name in suspected(verdict))
    return f"{causes}, {faults} suspected" if faults else causes


def suspected(verdict: Json) -> list[str]:
    """The names of the faults that the alarm looks like."""
    return [item["name"] for item in verdict.get("suspicions", ())]


def alarmed(verdict: Json) -> list[str]:
    """The names of the channels in alarm."""
    return [name for name, channel in verdict["channels"].items() if channel["alarm"]]


def head_name(head: Json) -> str:
    """``L3H7``, both from 0."""
    return f"L{head['layer']}H{head['head']}"


def changed(name: str, item: Json) -> str:
    """``L3H7 entropy: 0.71 → 0.42 (-1.3 sd)``."""
    before, after = _number(item["before"]), _number(item["after"])
    effect = "?" if item["effect"] is None else f"{item['effect']:+.1f}"
    return f"{name}: {before} → {after} ({effect} sd)"


def _number(value: float | None) -> str:
    """Three digits, never in scientific notation; a broken model's value may be none at all."""
    if value is None:
        return "?"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _allowed(name: str) -> str:
    """MLflow takes letters, digits, ``_-. :/`` in a metric's name."""
    return "".join(letter if letter.isalnum() or letter in "_-. :" else "_" for letter in name)
