"""The words of an episode's report: the names of things, and numbers as people read them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType

from monitor.records import (
    Cause,
    ChannelVerdict,
    HeadEvidence,
    Severity,
    SuspicionName,
    Verdict,
    WordEvidence,
)
from monitor.report.episode_data import Change, EpisodeReport, HeadStory

ROLES: Mapping[str, str] = MappingProxyType(
    {
        "self": "looks at the token itself",
        "previous": "looks at the token before",
        "next": "looks at the next token",
        "first": "rests on the first token",
        "separator": "rests on separators",
        "punctuation": "looks at punctuation",
        "local": "looks nearby",
        "broad": "looks everywhere",
        "duplicate": "looks for the same token",
        "induction": "looks at what followed the same token",
        "dead": "writes next to nothing",
        "mixed": "no single role",
    }
)
CHANNELS: Mapping[str, str] = MappingProxyType(
    {
        "heads": "attention heads",
        "rollout": "attention rollout",
        "tokens": "words",
        "prediction": "predictions",
        "input": "shape of the inputs",
        "fidelity": "served answers",
        "model": "the model itself (probe)",
    }
)
MEASURES: Mapping[str, str] = MappingProxyType(
    {
        "log_tokens": "the length of the inputs",
        "unknown_share": "the share of unknown tokens",
        "truncated": "the share of inputs that are cut short",
        "special_tokens": "the number of special tokens",
        "tokens_per_word": "the number of tokens per word",
        "uppercase_share": "the share of capital letters",
        "punctuation_share": "the share of punctuation",
        "surprisal": "how unusual the words are",
        "entropy": "how spread the attention rollout is",
        "special_mass": "the rollout's mass on special tokens",
        "reach": "how far the rollout reaches",
    }
)
SUSPECTED: Mapping[SuspicionName, str] = MappingProxyType(
    {
        "tokenizer": "another tokenizer",
        "truncation": "inputs that are cut short on their way",
        "padding": "padding on the other side, or not masked",
        "special_tokens": "special tokens that are added twice",
        "lower_casing": "inputs that are lower-cased on their way",
        "punctuation": "inputs whose punctuation is stripped",
    }
)
PROBE_NOT_READ = ("", "not read in this window")
SEVERITY: Mapping[Severity, str] = MappingProxyType({"page": "critical", "ticket": "warning", "note": "info"})


def utc(time: float) -> str:
    """A moment as people read it; numbers of a log without times are not moments.

    >>> utc(1764000000)
    '24 Nov 2025, 16:00 UTC'
    """
    return datetime.fromtimestamp(time, UTC).strftime("%-d %b %Y, %H:%M UTC")


def known_time(time: float | None) -> bool:
    """Whether a number can be a moment: logs without times count from 0."""
    return time is not None and time > 1e8


def number(value: float | None, digits: int = 3) -> str:
    """``digits`` significant digits, all whole ones, no exponent; – for none.

    >>> number(0.1234), number(-199.5), number(None), number(0.00001234)
    ('0.123', '−200', '–', '0.0000123')
    """
    if value is None or not math.isfinite(value):
        return "–"
    if abs(value) >= 10 ** (digits - 1):
        text = f"{value:.0f}"
    else:
        text = f"{value:.{digits}g}"
        text = f"{Decimal(text):f}" if "e" in text else text
    return text.replace("-", "−")


def figure(value: float | None) -> str:
    """A mean as a table shows it: three decimals at most, fewer where the number is large.

    >>> figure(0.0901), figure(0.98), figure(17.234), figure(0.00004), figure(-27.63)
    ('0.090', '0.980', '17.2', '0.00004', '−27.6')
    """
    if value is None or not math.isfinite(value):
        return "–"
    size = abs(value)
    if 0 < size < 0.0005:
        return number(value, 1)
    decimals = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3
    return f"{value:.{decimals}f}".replace("-", "−")


def percent(share: float | None) -> str:
    """A share as a percentage.

    >>> percent(0.1), percent(0.004), percent(0.0), percent(None)
    ('10 %', '0.4 %', '0 %', '–')
    """
    return "–" if share is None or not math.isfinite(share) else f"{number(100 * share, 2)} %"


def change_in_sd(effect: float | None) -> str:
    """``+1.3 sd``; what is too large to mean anything more is only said to be large.

    >>> change_in_sd(-1.25), change_in_sd(4000.0), change_in_sd(None)
    ('−1.2 sd', 'over +1,000 sd', '–')
    """
    if effect is None or not math.isfinite(effect):
        return "–"
    sign = "+" if effect > 0 else "−" if effect < 0 else ""
    if abs(effect) >= 1000:
        return f"over {sign}1,000 sd"
    decimals = 0 if abs(effect) >= 10 else 1 if abs(effect) >= 1 else 2
    return f"{sign}{abs(effect):.{decimals}f} sd"


def since(report: EpisodeReport) -> str:
    """When the evidence began to rise: a moment, and the window's number."""
    verdict = report.verdict
    window = f"window {verdict.window if verdict.since is None else verdict.since}"
    if verdict.since_time is not None and known_time(verdict.since_time):
        return f"{utc(verdict.since_time)} ({window})"
    return window


def joined(parts: list[str]) -> str:
    """``a, b and c``.

    >>> joined(["a"]), joined(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else ""


def capital(text: str) -> str:
    """The text with its first letter large."""
    return text[:1].upper() + text[1:]


def lower(text: str) -> str:
    """The text with its first letter small."""
    return text[:1].lower() + text[1:]


def words_of(verdict: Verdict) -> tuple[WordEvidence, ...]:
    """Words gained and lost, strongest evidence first."""
    channel = verdict.channels.get("tokens")
    found = () if channel is None else (*channel.gained, *channel.lost)
    return tuple(sorted(found, key=lambda item: -item.evidence))


def named_heads(verdict: Verdict) -> list[HeadEvidence]:
    """The heads that the detector named, the model's own first, each once."""
    channels = [verdict.channels[name] for name in ("model", "heads") if name in verdict.channels]
    found = {item.head: item for one in reversed(channels) if one.alarm for item in one.heads if item.named}
    order = [item.head for one in channels if one.alarm for item in one.heads if item.named]
    return [found[head] for head in dict.fromkeys(order)]


def in_alarm(verdict: Verdict) -> list[ChannelVerdict]:
    """The channels in alarm, in their order."""
    return [channel for channel in verdict.channels.values() if channel.alarm]


def probe_compared(verdict: Verdict) -> bool:
    """Whether the fixed inputs were run again and could be compared with the baseline's numbers."""
    channel = verdict.channels.get("model")
    # what hinders a comparison is told by a sentence: the baseline has none, the inputs are other ones
    return (
        channel is not None and channel.detail not in PROBE_NOT_READ and not channel.detail.startswith("the ")
    )


def role_change(story: HeadStory) -> str | None:
    """``went from ... to ...``, where another role leads now."""
    if story.role_before is None or story.role_after is None or story.role_before == story.role_after:
        return None
    return f"{ROLES[story.role_before]} → {ROLES[story.role_after]}"


def present(role: str) -> str:
    """A role as it is.

    >>> present("first"), present("mixed")
    ('rests on the first token', 'has no single role')
    """
    return f"has {ROLES[role]}" if role == "mixed" else ROLES[role]


def past(role: str) -> str:
    """A role as it was.

    >>> past("first"), past("mixed")
    ('rested on the first token', 'had no single role')
    """
    first, _, rest = ROLES[role].partition(" ")
    was = {"looks": "looked", "rests": "rested", "writes": "wrote", "no": "had no"}
    return f"{was[first]} {rest}"


def moved_labels(report: EpisodeReport) -> Change | None:
    """The label whose share of the predictions changed most; of two labels the one that gained."""
    labels = [item for item in report.predictions if item.name != "confidence"]
    known = [item for item in labels if item.before is not None and item.after is not None]
    gains = {item.name: (item.after or 0.0) - (item.before or 0.0) for item in known}
    return max(known, key=lambda item: (round(abs(gains[item.name]), 6), gains[item.name]), default=None)


def causes(verdict: Verdict) -> tuple[Cause, ...]:
    """The causes; an earlier version's verdict may have none."""
    return verdict.causes
