"""What the report of a drift episode is drawn from: one frozen record with one form as JSON.

The record holds numbers and words that may leave the machine; no step after it sees a sample. It is
kept as ``report.json`` beside the page, so that a later version can draw it again.
"""

from __future__ import annotations

import math
import types
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from monitor.errors import InputError
from monitor.records import HeadId, Verdict

SCHEMA = 1
Outcome = Literal["over", "accepted", "superseded"]
Table = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A quantity before and after; None where it is not known.

    ``low`` and ``high`` hold the middle eight of ten baseline samples, ``spread`` is their standard
    deviation, ``effect`` the change in such, ``error`` the standard error of ``after``.
    """

    name: str
    before: float | None
    after: float | None
    low: float | None = None
    high: float | None = None
    spread: float | None = None
    effect: float | None = None
    error: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Distances:
    """Mean attention by relative distance: shares after ``bins``, and the standard errors of ``after``."""

    bins: tuple[str, ...]
    before: tuple[float, ...]
    after: tuple[float, ...]
    error: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadStory:
    """One head before and after. ``importance``: its share of the model's; ``named``: by the detector.

    ``role_before`` and ``role_after`` lead, None where no survey has seen it; ``roles`` are the shares.
    """

    head: HeadId
    named: bool
    importance: float
    role_before: str | None
    role_after: str | None
    roles: tuple[Change, ...]
    statistics: tuple[Change, ...]
    distances: Distances | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One channel in one window: evidence and limit as in the verdict, ``time`` when the window ended."""

    window: int
    time: float
    alarm: bool
    evidence: Mapping[str, float]
    limit: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class DrivingWord:
    """Mean absolute attribution of a word over ``requests`` attributed requests that had it."""

    word: str
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """An input as words with what each contributed and how much attention its tokens got.

    A word that may not be shown is None. ``attention`` is the rollout's, summed over a word's tokens.
    """

    words: tuple[str | None, ...]
    attribution: tuple[float, ...]
    attention: tuple[float, ...]
    label: str
    probability: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeReport:
    """One episode as its report shows it.

    ``verdict`` is the latest one in alarm; ``ended`` when the episode closed, None while it is open, and
    ``outcome`` how: it was ``over``, ``accepted`` as the new normal or ``superseded`` by another baseline.
    ``effects`` (layer, head): the largest change of a statistic in sd of the baseline, ``effect_of`` of
    which statistic, ``chance`` the size that chance alone reaches now and then; ``probe`` the same on the
    fixed probe inputs, None without a reading. ``importance`` (layer, head) sums to 1. ``samples`` and
    ``windows`` since the alarm. ``changed_parts``: which of the model's files or parameters differ, in
    words. ``attributed``: how many samples since the change ``attribution``, ``driving`` and ``examples``
    stand for. ``without_examples``: why there are none.
    """

    schema: int = SCHEMA
    made: float
    version: str
    verdict: Verdict
    ended: float | None
    outcome: Outcome = "over"
    layers: int
    heads: int
    architecture: str
    weights: str
    changed_parts: str
    baseline_created: float
    baseline_samples: int
    baseline_span: tuple[float, float] | None
    baseline_source: Literal["log", "live"]
    samples: int
    windows: int
    statistics: tuple[str, ...]
    effects: Table
    effect_of: tuple[tuple[str, ...], ...]
    chance: float
    probe: Table | None
    importance: Table
    stories: tuple[HeadStory, ...]
    history: tuple[Point, ...]
    predictions: tuple[Change, ...]
    inputs: tuple[Change, ...]
    surveyed: tuple[int, int]
    attributed: int
    attribution: tuple[Change, ...]
    driving: tuple[DrivingWord, ...]
    examples: tuple[Example, ...]
    without_examples: str
    hidden_below: int

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; a number that is none is null."""
        plain: dict[str, Any] = _plain(self)
        return plain

    @classmethod
    def from_json(cls, values: Mapping[str, Any], *, origin: str = "report.json") -> EpisodeReport:
        """The inverse of ``to_json``; raises InputError for what is no report or a later version's."""
        schema = values.get("schema")
        if schema != SCHEMA:
            raise InputError(
                f"{origin}: schema = {schema!r}: this version of headwatch draws {SCHEMA}; "
                "give a report.json, or use the version that wrote it"
            )
        try:
            report: EpisodeReport = _made(cls, values)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{origin}: damaged ({error}); fetch it again from the episode's run") from None
        return report


def _plain(value: Any) -> Any:
    if isinstance(value, Verdict):
        return value.to_json()
    if is_dataclass(value):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if abs(value) < 1e6 else value if math.isfinite(value) else None
    return value


def _made(kind: Any, value: Any) -> Any:
    """``value`` as the annotation ``kind`` says it was."""
    if kind is Verdict:
        return Verdict.from_json(value)
    if is_dataclass(kind) and isinstance(kind, type):
        hints = get_type_hints(kind)
        return kind(**{name: _made(hints[name], value[name]) for name in hints if name in value})
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return None if value is None else _made(next(one for one in inner if one is not type(None)), value)
    if origin is tuple:
        kinds = [inner[0]] * len(value) if inner[-1] is Ellipsis else list(inner)
        return tuple(_made(one, item) for one, item in zip(kinds, value, strict=True))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {name: _made(inner[1], item) for name, item in value.items()}
    if kind is float:
        return math.nan if value is None else float(value)
    return value
