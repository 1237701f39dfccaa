"""What an on-call engineer reads first: what changed, since when, why, and whether it matters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal

from monitor.records import (
    Cause,
    ChannelVerdict,
    HeadEvidence,
    MeasureEvidence,
    Severity,
    WordEvidence,
)

_PLAIN: Mapping[str, str] = {
    "log_tokens": "input length (log tokens)",
    "unknown_share": "share of unknown tokens",
    "truncated": "share of inputs cut to the model's limit",
    "special_tokens": "special tokens per input",
    "top_probability": "confidence of the predictions",
    "entropy": "entropy of the predictions",
}


def plain_number(value: float, digits: int = 2, *, sign: bool = False) -> str:
    """A number as people write it: ``digits`` significant ones, all whole ones, no exponent.

    >>> plain_number(100), plain_number(-199.5, sign=True), plain_number(0.6251), plain_number(1e-5)
    ('100', '-200', '0.63', '0.00001')
    """
    form = "+" if sign else ""
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:{form}.0f}"
    text = f"{value:{form}.{digits}g}"
    return f"{Decimal(text):{form}f}" if "e" in text else text


def summarise(
    *,
    causes: Sequence[Cause],
    severity: Severity | None,
    since: int | None,
    since_time: float | None,
    channels: Mapping[str, ChannelVerdict],
    probe_known: bool,
    prediction_effect: float,
    declared: bool,
) -> str:
    """One or two plain sentences about a standing alarm."""
    parts = [_what(channels), _why(causes, probe_known=probe_known, declared=declared)]
    parts.append(_harm(severity, prediction_effect))
    return f"{_when(since, since_time)}{'; '.join(part for part in parts if part)}."


def _when(since: int | None, since_time: float | None) -> str:
    if since is None:
        return ""
    if since_time is None or since_time < 1e8:
        return f"Since window {since}: "
    return f"Since {datetime.fromtimestamp(since_time, UTC):%Y-%m-%d %H:%M} UTC (window {since}): "


def _what(channels: Mapping[str, ChannelVerdict]) -> str:
    said: list[str] = []
    for name, channel in channels.items():
        if not channel.alarm:
            continue
        if name in ("heads", "model") and channel.heads:
            said.append(_heads(channel.heads, model=name == "model"))
        elif name == "model":
            said.append("the model's predictions on the fixed probe inputs changed")
        elif name == "tokens":
            said.append(_words((*channel.gained, *channel.lost)))
        elif name == "fidelity":
            said.append(_fidelity(channel))
        elif channel.measures:
            said.append(_measure(name, channel.measures[0]))
    if "model" in channels and channels["model"].alarm:
        said = [text for text in said if not text.startswith("attention of")] or said
    return "; ".join(dict.fromkeys(said))


def _heads(heads: Sequence[HeadEvidence], *, model: bool) -> str:
    named = [item for item in heads if item.named]
    lead = named[0] if named else heads[0]
    change = f"{lead.head} {lead.statistic} {_change(lead)}"
    if model:
        return f"the model answers the fixed probe inputs differently, first in {change}"
    others = [str(item.head) for item in named[1:4]]
    more = f", also {', '.join(others)}" if others else ""
    count = f" and {len(named) - 4} more" if len(named) > 4 else ""
    likely = "" if named else "most likely "
    return f"attention of {likely}{change}{more}{count} changed"


def _words(words: Sequence[WordEvidence]) -> str:
    if not words:
        return "the words of the inputs changed"
    told = [
        f"'{item.word}' {_share(item.before)} -> {_share(item.after)} of the inputs"
        + (" among the top-attributed words" if item.kind == "top" else "")
        for item in sorted(words, key=lambda item: -item.evidence)[:3]
    ]
    return f"words changed: {', '.join(told)}"


def _share(rate: float) -> str:
    return f"{plain_number(100 * rate)} %"


def _change(item: HeadEvidence | MeasureEvidence) -> str:
    before, after = plain_number(item.before, 3), plain_number(item.after, 3)
    return f"{before} -> {after} ({plain_number(item.effect, sign=True)} sd)"


def _fidelity(channel: ChannelVerdict) -> str:
    by_name = {item.measure: item for item in channel.measures}
    item = by_name.get("label_differs")
    if item is None:
        return "served and replayed predictions part"
    return (
        "served and replayed labels differ on "
        f"{_share(item.after)} of the inputs (before {_share(item.before)})"
    )


def _measure(channel: str, item: MeasureEvidence) -> str:
    label = _PLAIN.get(item.measure, item.measure) if channel != "rollout" else f"rollout {item.measure}"
    return f"{label} {_change(item)}"


def _why(causes: Sequence[Cause], *, probe_known: bool, declared: bool) -> str:
    told = {
        "model": "the model's weights changed, not the data",
        "environment": "the weights are the same, so the cause is a library, the hardware or the precision",
        "serving": "the replay behaves as before, so the cause is in the serving of the model",
        "data": "the model itself is unchanged, so the cause is the data"
        if probe_known
        else "the cause is taken to be the data (no probe reading)",
    }
    if len(causes) > 1 and "data" in causes:
        told["data"] = "besides that the data changed"
        told["model"] = "the model's weights changed"
    text = "; ".join(told[cause] for cause in causes)
    return f"{text} (a declared change)" if declared and text else text


def _harm(severity: Severity | None, prediction_effect: float) -> str:
    if severity is None:
        return ""
    if prediction_effect > 0:
        state = f"predictions moved by {plain_number(prediction_effect)} sd"
    else:
        state = "predictions hold"
    todo = {
        "page": "look at it now",
        "ticket": "look at it in working hours",
        "note": "nothing needs to be done now",
    }[severity]
    return f"{state}: {todo}"
