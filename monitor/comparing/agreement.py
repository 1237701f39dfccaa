"""Whether two checkpoints answer alike, and for alike reasons, on the same inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.analysis.tokens.agreement import overlap_at, spearman
from monitor.comparing.decisions import Decisions, changed, made
from monitor.comparing.reading import ModelReading
from monitor.records import Prediction

FEWEST_RANKED = 3
OVERLAP = 5
NOISE = 1e-3
"""What rounding does to a probability, and to a value or an embedding as a share of its spread or length."""
SMALLEST = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """A sample that is decided otherwise, with the probability that each checkpoint gives its own.

    Of many labels ``before`` and ``after`` are those over 0.5 and the probability the likeliest's; of
    token labels those that differ, and the probability is the commonest label's share.
    """

    id: str
    before: str
    after: str
    probability_before: float
    probability_after: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionAgreement:
    """How far the answers are the same; ``kind`` as in ``analysis.prediction``, ``mixed`` if several.

    ``decisions``: all that was decided (labels of all samples, tokens), ``changed`` those that differ;
    0 for a value or an embedding. ``mean_change`` and ``largest_change`` over the ``known`` of the
    ``samples``, None where none is known: of the probability of the model's label (of many labels,
    the one that moved most; of token labels, a label's share; of a served completion, its tokens'
    mean). A next token's or span's is known where both name the same. Of a value it is the value's
    change (of several, the largest), ``spread`` its sd over the model's samples (of several, the
    mean); of an embedding, |e' - e| / |e|. ``differ``: whether an answer changed by more than rounding.
    """

    kind: str
    samples: int
    flips: tuple[Flip, ...]
    decisions: int
    changed: int
    known: int
    mean_change: float | None
    largest_change: float | None
    spread: float | None
    differ: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributionAgreement:
    """Rank correlation, and overlap at 5, of two checkpoints' gradient x input per content token.

    Over the ``samples`` that both answer alike and that have three content tokens or more: towards
    another label the gradient answers another question.
    """

    samples: int
    mean: float
    median: float
    lowest: float
    overlap_at_5: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pair:
    """One sample's two answers."""

    id: str
    kind: str
    one: Prediction | None
    other: Prediction | None
    said: Decisions
    now: Decisions

    @property
    def same_question(self) -> bool:
        """Whether both gradients are taken towards the same thing."""
        if self.one is None or self.other is None or self.kind == "completion":
            return (self.one is None) == (self.other is None)
        if self.kind in ("labels", "value"):
            return (self.one.label, self.one.target) == (self.other.label, self.other.target)
        return self.said == self.now


def _pairs(before: ModelReading, after: ModelReading) -> list[_Pair]:
    columns = (before.ids, before.kinds, before.predictions, after.predictions)
    return [
        _Pair(id=id_, kind=kind, one=one, other=other, said=said, now=now)
        for id_, kind, one, other, said, now in zip(*columns, before.decisions, after.decisions, strict=True)
    ]


def prediction_agreement(before: ModelReading, after: ModelReading) -> PredictionAgreement | None:
    """None where neither a prediction nor an embedding is known."""
    pairs = [pair for pair in _pairs(before, after) if pair.one is not None and pair.other is not None]
    if not pairs:
        return _of_embeddings(before, after)
    kinds = {pair.kind for pair in pairs}
    kind = kinds.pop() if len(kinds) == 1 else "mixed"
    labels = before.identity.labels
    flips = tuple(_flip(pair) for pair in pairs if changed(pair.kind, pair.said, pair.now))
    changes = [_change(pair, labels, after.identity.labels) for pair in pairs]
    known = np.array([change for change in changes if change is not None])
    spread, noise = _spread(pairs) if kind == "value" else (None, NOISE)
    return PredictionAgreement(
        kind=kind,
        samples=len(pairs),
        flips=flips,
        decisions=sum(made(pair.kind, pair.said, labels) for pair in pairs),
        changed=sum(changed(pair.kind, pair.said, pair.now) for pair in pairs),
        known=len(known),
        mean_change=float(known.mean()) if len(known) else None,
        largest_change=float(known.max()) if len(known) else None,
        spread=spread,
        differ=bool(flips) or _over(known, noise),
    )


def _of_embeddings(before: ModelReading, after: ModelReading) -> PredictionAgreement | None:
    if before.embeddings is None or after.embeddings is None:
        return None
    first, second = before.embeddings.astype(np.float64), after.embeddings.astype(np.float64)
    lengths = np.maximum(np.linalg.norm(first, axis=1), SMALLEST)
    moved = np.linalg.norm(second - first, axis=1) / lengths
    return PredictionAgreement(
        kind="embedding",
        samples=len(moved),
        flips=(),
        decisions=0,
        changed=0,
        known=len(moved),
        mean_change=float(moved.mean()),
        largest_change=float(moved.max()),
        spread=None,
        differ=_over(moved, NOISE),
    )


def _over(known: NDArray[np.float64], noise: float) -> bool:
    """Whether one is over the noise; what is no number is."""
    return bool((~(known <= noise)).any())


def _spread(pairs: Sequence[_Pair]) -> tuple[float, float]:
    """The sd of the model's values, and the change that is still noise: a share of the narrowest."""
    values = np.array([pair.one.values for pair in pairs if pair.one is not None])
    own = values.std(axis=0)
    unit = np.maximum(own, NOISE * np.abs(values).mean(axis=0))
    return float(own.mean()), NOISE * float(unit.min())


def _flip(pair: _Pair) -> Flip:
    one, other = pair.one, pair.other
    assert one is not None  # only pairs with both come here
    assert other is not None
    before, after = one.label, other.label
    if pair.kind == "labels":
        before, after = (", ".join(said) or "none" for said in (pair.said, pair.now))
    elif pair.kind == "tokens":
        differing = [(a, b) for a, b in zip(pair.said, pair.now, strict=False) if a != b]
        before, after = (", ".join(side) for side in zip(*differing, strict=True))
    return Flip(
        id=pair.id,
        before=before,
        after=after,
        probability_before=one.probability,
        probability_after=other.probability,
    )


def _change(pair: _Pair, labels: Sequence[str], now: Sequence[str]) -> float | None:
    one, other = pair.one, pair.other
    if one is None or other is None:
        return None
    if pair.kind == "value":
        alike = len(one.values) == len(other.values)
        return float(np.abs(np.subtract(other.values, one.values)).max()) if alike else None
    if pair.kind in ("labels", "tokens"):
        first, second = (
            dict(zip(names, said.probabilities, strict=True)) for names, said in ((labels, one), (now, other))
        )
        moved = [abs(second[name] - first[name]) for name in first.keys() & second.keys()]
        return float(np.max(moved)) if moved else None
    if pair.kind == "completion" or pair.said == pair.now:
        return abs(other.probability - one.probability)
    if other.probabilities and one.label in now:
        return abs(other.probabilities[now.index(one.label)] - one.probability)
    return None


def attribution_agreement(before: ModelReading, after: ModelReading) -> AttributionAgreement | None:
    """None where a checkpoint gives no gradient, or no sample can be ranked."""
    if before.attributions is None or after.attributions is None:
        return None
    ranked = [
        (one, other)
        for one, other, pair in zip(
            before.attributions, after.attributions, _pairs(before, after), strict=True
        )
        if len(one) >= FEWEST_RANKED and pair.same_question and np.isfinite(other).all()
    ]
    if not ranked:
        return None
    ranks = np.array([spearman(one, other) for one, other in ranked])
    overlaps = [overlap_at(OVERLAP, np.abs(one), np.abs(other)) for one, other in ranked]
    return AttributionAgreement(
        samples=len(ranked),
        mean=float(ranks.mean()),
        median=float(np.median(ranks)),
        lowest=float(ranks.min()),
        overlap_at_5=float(np.mean(overlaps)),
    )
