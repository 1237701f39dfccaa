"""What headwatch says of a window, and its one form as JSON."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, cast

from monitor.records.samples import HeadId

Cause = Literal["data", "model", "environment", "serving"]


Severity = Literal["page", "ticket", "note"]


ChannelName = Literal["heads", "rollout", "tokens", "prediction", "input", "fidelity", "model"]


State = Literal["quiet", "alarm", "learning", "too_few_samples"]


_HASHED = re.compile("#[0-9a-f]{16}")


SuspicionName = Literal["tokenizer", "truncation", "padding", "special_tokens", "lower_casing", "punctuation"]


CHANNELS: tuple[ChannelName, ...] = (
    "heads",
    "rollout",
    "tokens",
    "prediction",
    "input",
    "fidelity",
    "model",
)


LARGEST_SHOWN = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadEvidence:
    """One head's part in an alarm: its log evidence and its largest change.

    ``before`` and ``after`` are means of ``statistic`` in its own unit; ``effect`` is the change in
    standard deviations of the baseline; ``importance`` the head's share of the model's (sums to 1).
    """

    head: HeadId
    statistic: str
    evidence: float
    before: float
    after: float
    effect: float
    importance: float
    named: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WordEvidence:
    """A word whose share of requests changed; ``word`` is hashed where privacy asks for it.

    ``kind`` says whether its presence or its place among the top-attributed words moved.
    """

    word: str
    kind: Literal["present", "top"]
    evidence: float
    before: float
    after: float
    requests: int

    @property
    def hidden(self) -> bool:
        """Whether the word is shown as a keyed hash, since too few requests share it."""
        return _HASHED.fullmatch(self.word) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureEvidence:
    """A scalar measure of a channel (input length, top probability, ...) before and after."""

    measure: str
    evidence: float
    before: float
    after: float
    effect: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelVerdict:
    """One channel in one window. ``evidence`` and ``limit`` are natural logs of e-process values
    (channel ``model``: largest probe difference in sd, against its threshold).

    ``alarm`` is latched: it stays up until ``recovery`` (log evidence for quiet) has reached
    ``recovery_limit``. ``since`` is the window at which the evidence began to rise.
    """

    channel: ChannelName
    alarm: bool
    raised: bool
    cleared: bool
    evidence: float
    limit: float
    since: int | None
    heads: tuple[HeadEvidence, ...] = ()
    gained: tuple[WordEvidence, ...] = ()
    lost: tuple[WordEvidence, ...] = ()
    measures: tuple[MeasureEvidence, ...] = ()
    recovery: float = 0.0
    recovery_limit: float = 0.0
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspicion:
    """A fault of the pipeline that a standing alarm looks like, and what was seen of it."""

    name: SuspicionName
    sign: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What headwatch says of one window. ``evidence`` and ``limit`` pool all stochastic channels.

    ``raised`` / ``cleared``: an episode began / ended in this window. ``episode`` identifies it.
    ``since_time`` is the start of window ``since``, seconds since the epoch. ``declared``: a rollout
    was under way. ``upgrades``: libraries, precision or device that are not the baseline's, as
    ``torch 2.13.0 -> 3.0``.
    """

    model: str
    revision: str
    baseline: str
    window: int
    start: float
    end: float
    samples: int
    received: int
    state: State
    alarm: bool
    raised: bool
    cleared: bool
    episode: str | None
    causes: tuple[Cause, ...]
    severity: Severity | None
    since: int | None
    since_time: float | None
    evidence: float
    limit: float
    channels: Mapping[str, ChannelVerdict]
    summary: str
    declared: bool = False
    upgrades: tuple[str, ...] = ()
    suspicions: tuple[Suspicion, ...] = ()

    @property
    def cause(self) -> Cause | None:
        """The first cause; the one to look at."""
        return self.causes[0] if self.causes else None

    def to_json(self) -> dict[str, Any]:
        """The verdict as plain JSON values: what /v1/verdicts, MLflow and backtest show.

        A number that a broken model made infinite is shown as +-1e9, one that is none as null.
        """
        values = {
            "model": self.model,
            "revision": self.revision,
            "baseline": self.baseline,
            "index": self.window,
            "start": self.start,
            "end": self.end,
            "samples": self.samples,
            "received": self.received,
            "state": self.state,
            "alarm": self.alarm,
            "raised": self.raised,
            "cleared": self.cleared,
            "episode": self.episode,
            "cause": self.cause,
            "causes": list(self.causes),
            "declared": self.declared,
            "upgrades": list(self.upgrades),
            "suspicions": [{"name": item.name, "sign": item.sign} for item in self.suspicions],
            "severity": self.severity,
            "since": self.since,
            "since_time": self.since_time,
            "evidence": self.evidence,
            "limit": self.limit,
            "summary": self.summary,
            "channels": {name: _channel_json(channel) for name, channel in self.channels.items()},
        }
        plain: dict[str, Any] = _plain(values)
        return plain

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Verdict:
        """The inverse of ``to_json``; what an earlier version did not tell is taken as nothing."""
        made = {"window", "causes", "upgrades", "suspicions", "channels"}
        same = {item.name for item in fields(cls)} - made
        return cls(
            window=values["index"],
            causes=tuple(values["causes"]),
            upgrades=tuple(values.get("upgrades", ())),
            suspicions=tuple(Suspicion(**item) for item in values.get("suspicions", ())),
            channels={name: _channel_from_json(name, item) for name, item in values["channels"].items()},
            **{name: values[name] for name in same if name in values},
        )


def _channel_from_json(name: str, values: Mapping[str, Any]) -> ChannelVerdict:
    words = [WordEvidence(**item) for item in values["words"]]
    gained = len(values["gained"])
    copied = (
        "alarm",
        "raised",
        "cleared",
        "evidence",
        "limit",
        "since",
        "recovery",
        "recovery_limit",
        "detail",
    )
    return ChannelVerdict(
        channel=cast("ChannelName", name),
        heads=tuple(
            HeadEvidence(
                head=HeadId(layer=item["layer"], head=item["head"]), **_without(item, "layer", "head")
            )
            for item in values["top"]
        ),
        gained=tuple(words[:gained]),
        lost=tuple(words[gained:]),
        measures=tuple(MeasureEvidence(**_without(item)) for item in values["measures"]),
        **{key: values[key] for key in copied},
    )


def _without(values: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {key: math.nan if value is None else value for key, value in values.items() if key not in names}


def _plain(value: Any) -> Any:
    """The same with every float finite: JSON has no infinity."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else math.copysign(LARGEST_SHOWN, value)
    return value


def _channel_json(channel: ChannelVerdict) -> dict[str, object]:
    return {
        "alarm": channel.alarm,
        "raised": channel.raised,
        "cleared": channel.cleared,
        "evidence": channel.evidence,
        "limit": channel.limit,
        "since": channel.since,
        "recovery": channel.recovery,
        "recovery_limit": channel.recovery_limit,
        "detail": channel.detail,
        "top": [
            {
                "layer": item.head.layer,
                "head": item.head.head,
                "statistic": item.statistic,
                "evidence": item.evidence,
                "before": item.before,
                "after": item.after,
                "effect": item.effect,
                "importance": item.importance,
                "named": item.named,
            }
            for item in channel.heads
        ],
        "gained": [item.word for item in channel.gained],
        "lost": [item.word for item in channel.lost],
        "words": [
            {
                "word": item.word,
                "kind": item.kind,
                "evidence": item.evidence,
                "before": item.before,
                "after": item.after,
                "requests": item.requests,
            }
            for item in (*channel.gained, *channel.lost)
        ],
        "measures": [
            {
                "measure": item.measure,
                "evidence": item.evidence,
                "before": item.before,
                "after": item.after,
                "effect": item.effect,
            }
            for item in channel.measures
        ],
    }
