"""How the parts of a verdict read in words, wherever they are shown; made from its JSON form."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from monitor.records.statistic_names import PHRASES, measured

Json = Mapping[str, Any]


def utc(time: float) -> str:
    """A moment as people read it.

    >>> utc(1764000000)
    '2025-11-24 16:00 UTC'
    """
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M UTC")


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


def head_changed(head: Json) -> str:
    """``L3H7, the spread of its attention: 0.71 → 0.42 (-1.3 sd)``."""
    statistic = head["statistic"]
    return changed(f"{head_name(head)}, {PHRASES.get(statistic, statistic)}", head)


def measure_changed(channel: str, item: Json) -> str:
    """``share of unknown tokens: 0.012 → 0.03 (+0.6 sd)``."""
    return changed(measured(channel, item["measure"]), item)


def changed(name: str, item: Json) -> str:
    """``name: 2.5 → 3.1 (+1.4 sd)``."""
    before, after = _number(item["before"]), _number(item["after"])
    effect = "?" if item["effect"] is None else f"{item['effect']:+.1f}"
    return f"{name}: {before} → {after} ({effect} sd)"


def _number(value: float | None) -> str:
    """Three digits, never in scientific notation; a broken model's value may be none at all."""
    if value is None:
        return "?"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
