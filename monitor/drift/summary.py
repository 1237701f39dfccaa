"""What an on-call engineer reads first: what changed, since when, why, and whether it matters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal

from monitor.drift.changes import UNCHANGED, Changes, parts
from monitor.records import (
    Cause,
    ChannelVerdict,
    HeadEvidence,
    MeasureEvidence,
    Severity,
    Suspicion,
    SuspicionName,
    WordEvidence,
)
from monitor.records.statistic_names import PHRASES, measured

FAINT = 0.1
"""sd below which a head that is not named is no news: many of them together, or single samples, are."""

_SUSPECTED: Mapping[SuspicionName, str] = {
    "tokenizer": "another tokenizer",
    "truncation": "inputs that are cut short",
    "padding": "padding on the other side, or not masked",
    "special_tokens": "special tokens that are added twice",
    "lower_casing": "inputs that are lower-cased",
    "punctuation": "inputs whose punctuation is stripped",
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
    changes: Changes = UNCHANGED,
    suspicions: Sequence[Suspicion] = (),
) -> str:
    """One or two plain sentences about a standing alarm; ``changes`` of the model's identity."""
    said = [
        _what(channels),
        _why(causes, changes, probe_known=probe_known, declared=declared),
        *(f"suspected: {_SUSPECTED[item.name]} ({item.sign})" for item in suspicions),
        _harm(severity, prediction_effect),
    ]
    return f"{_when(since, since_time)}{'; '.join(part for part in said if part)}."


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
        said = [text for text in said if not text.startswith("heads changed")] or said
    return "; ".join(dict.fromkeys(said))


def _heads(heads: Sequence[HeadEvidence], *, model: bool) -> str:
    named = [item for item in heads if item.named]
    if not named and not model and abs(heads[0].effect) < FAINT:
        return f"requests as a whole are unlike the baseline's, though no head moved by {FAINT} sd"
    lead = named[0] if named else heads[0]
    moved = f"{lead.head} ({PHRASES.get(lead.statistic, lead.statistic)} {_change(lead)})"
    if model:
        where = "first" if named else "most"
        return f"the model answers the fixed probe inputs differently, {where} in {moved}"
    told = ", ".join([moved, *(str(item.head) for item in named[1:4])])
    count = f" and {len(named) - 4} more" if len(named) > 4 else ""
    return f"heads changed{':' if named else ', most likely'} {told}{count}"


def _words(words: Sequence[WordEvidence]) -> str:
    if not words:
        return "the words of the inputs changed"
    ranked = sorted(words, key=lambda item: -item.evidence)
    # A hash says nothing to who reads this at night: it stands only where no word may be shown.
    told = [item for item in ranked if not item.hidden][:3] or ranked[:1]
    unsaid = sum(item.hidden for item in ranked[:3] if item not in told)
    why = "" if told[0].hidden else " that too few requests share to be shown"
    more = f", and {unsaid} more{why}" if unsaid else ""
    return f"words changed: {', '.join(map(_word, told))}{more}"


def _word(item: WordEvidence) -> str:
    name = f"{item.word} (too few requests share it to be shown)" if item.hidden else f"'{item.word}'"
    among = " among the top-attributed words" if item.kind == "top" else ""
    return f"{name} {_share(item.before)} -> {_share(item.after)} of the inputs{among}"


def _share(rate: float) -> str:
    return f"{plain_number(100 * rate)} %"


def _change(item: HeadEvidence | MeasureEvidence) -> str:
    before, after = plain_number(item.before, 3), plain_number(item.after, 3)
    return f"{before} -> {after}, {plain_number(item.effect, sign=True)} sd"


def _fidelity(channel: ChannelVerdict) -> str:
    if not channel.measures:
        return "served and replayed predictions part"
    item = channel.measures[0]
    part = "labels differ" if item.measure == "label_differs" else "probabilities are far apart"
    shares = f"{_share(item.after)} of the inputs (before {_share(item.before)})"
    return f"served and replayed {part} on {shares}"


def _measure(channel: str, item: MeasureEvidence) -> str:
    return f"{measured(channel, item.measure)} {_change(item)}"


def _why(causes: Sequence[Cause], changes: Changes, *, probe_known: bool, declared: bool) -> str:
    told = {
        "model": f"{_changed_model(changes)}, not the data",
        "environment": f"the weights are the same, so {_changed_environment(changes)}",
        "serving": "the replay behaves as before, so the cause is in the serving of the model",
        "data": _changed_data(changes, probe_known=probe_known),
    }
    if len(causes) > 1 and "data" in causes:
        told["data"] = "besides that the data changed"
        told["model"] = _changed_model(changes)
    note = " (a declared change)" if declared else ""
    return "; ".join(told[cause] + ("" if cause == "data" else note) for cause in causes)


def _changed_data(changes: Changes, *, probe_known: bool) -> str:
    if not probe_known:
        return "the cause is taken to be the data (no probe reading)"
    if changes.files:
        return "the model's files are other ones but give the same numbers, so the cause is the data"
    return "the model itself is unchanged, so the cause is the data"


def _changed_model(changes: Changes) -> str:
    if not changes.compared:
        return "the model's weights changed"
    if changes.parameters:
        return f"the model's weights changed (those of {parts(changes)})"
    what = "tokenizer" if changes.tokenizer else "configuration"
    return f"the model's {what} changed under the same weights"


def _changed_environment(changes: Changes) -> str:
    if changes.upgrades:
        return f"the cause is an upgrade ({', '.join(changes.upgrades)}) and no incident"
    if changes.pipeline:
        return f"the cause is a setting ({', '.join(changes.pipeline)})"
    return "the cause is a library, the hardware or the precision"


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
