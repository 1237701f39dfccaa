"""Whether two checkpoints answer alike, and for alike reasons, on the same inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monitor.analysis.tokens.agreement import overlap_at, spearman
from monitor.comparing.reading import ModelReading
from monitor.records import Prediction

FEWEST_RANKED = 3
OVERLAP = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """A sample whose label differs, with the probability that each checkpoint gives its own."""

    id: str
    before: str
    after: str
    probability_before: float
    probability_after: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionAgreement:
    """``mean_change`` and ``largest_change``: |probability of the model's label| between the two.

    They are over the ``known`` of the ``samples``: a decoder's probability is known where both name
    the same token. None where none is known.
    """

    samples: int
    flips: tuple[Flip, ...]
    known: int
    mean_change: float | None
    largest_change: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributionAgreement:
    """Rank correlation, and overlap at 5, of two checkpoints' gradient x input per content token.

    Over the ``samples`` that both give the same label and that have three content tokens or more:
    towards another label the gradient answers another question.
    """

    samples: int
    mean: float
    median: float
    lowest: float
    overlap_at_5: float


def prediction_agreement(before: ModelReading, after: ModelReading) -> PredictionAgreement | None:
    """None for models that predict nothing."""
    pairs = [
        (id_, one, other)
        for id_, one, other in zip(before.ids, before.predictions, after.predictions, strict=True)
        if one is not None and other is not None
    ]
    if not pairs:
        return None
    labels = after.identity.labels
    changes = [_change(one, other, labels) for _, one, other in pairs]
    known = [change for change in changes if change is not None]
    return PredictionAgreement(
        samples=len(pairs),
        flips=tuple(
            Flip(
                id=id_,
                before=one.label,
                after=other.label,
                probability_before=one.probability,
                probability_after=other.probability,
            )
            for id_, one, other in pairs
            if one.label != other.label
        ),
        known=len(known),
        mean_change=float(np.mean(known)) if known else None,
        largest_change=float(np.max(known)) if known else None,
    )


def _change(one: Prediction, other: Prediction, labels: Sequence[str]) -> float | None:
    if one.label == other.label:
        return abs(other.probability - one.probability)
    if other.probabilities and one.label in labels:
        return abs(other.probabilities[labels.index(one.label)] - one.probability)
    return None


def attribution_agreement(before: ModelReading, after: ModelReading) -> AttributionAgreement | None:
    """None where a checkpoint gives no gradient, or no sample can be ranked."""
    if before.attributions is None or after.attributions is None:
        return None
    ranked = [
        (one, other)
        for one, other, said, now in zip(
            before.attributions, after.attributions, before.predictions, after.predictions, strict=True
        )
        if len(one) >= FEWEST_RANKED and _same_label(said, now) and np.isfinite(other).all()
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


def _same_label(one: Prediction | None, other: Prediction | None) -> bool:
    return (one is None) == (other is None) and (one is None or other is None or one.label == other.label)
