"""Analyses of single samples to the arrays that detection works on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from monitor.records import (
    INPUT_MEASURES,
    ROLLOUT_MEASURES,
    Array,
    Features,
    ModelIdentity,
    Prediction,
    SampleAnalysis,
)


class Heads(Protocol):
    """What a model says of the shape of its profiles."""

    @property
    def identity(self) -> ModelIdentity:
        """How many layers and heads there are."""
        ...

    @property
    def statistics(self) -> tuple[str, ...]:
        """The names along the profile's last axis."""
        ...


def stack(analyses: Sequence[SampleAnalysis], *, like: Heads | None = None) -> Features:
    """The analyses as arrays with the sample first.

    None at all give empty arrays in the shape of ``like``; without it they raise ``ValueError``.
    """
    if not analyses:
        if like is None:
            raise ValueError("no analyses to stack")
        return _nothing((like.identity.layers, like.identity.heads, len(like.statistics)))
    known = [a.head_importance for a in analyses if a.head_importance is not None]
    heads = analyses[0].profile.shape[:2]
    return Features(
        ids=tuple(a.id for a in analyses),
        times=np.array([a.time for a in analyses], dtype=np.float64),
        profile=np.stack([a.profile for a in analyses]),
        rollout=_rows([(a.rollout.entropy, a.rollout.special_mass, a.rollout.reach) for a in analyses]),
        prediction=_rows([_prediction_row(a.prediction) for a in analyses]),
        inputs=_rows([_input_row(a) for a in analyses]),
        fidelity=_rows([_fidelity_row(a) for a in analyses]),
        words=tuple(a.words for a in analyses),
        top_words=tuple(a.top_words for a in analyses),
        importance=np.mean(known, axis=0) if known else np.zeros(heads, dtype=np.float32),
    )


def _nothing(shape: tuple[int, int, int]) -> Features:
    return Features(
        ids=(),
        times=np.zeros(0),
        profile=np.zeros((0, *shape), dtype=np.float32),
        rollout=np.zeros((0, len(ROLLOUT_MEASURES)), dtype=np.float32),
        prediction=np.zeros((0, 0), dtype=np.float32),
        inputs=np.zeros((0, len(INPUT_MEASURES)), dtype=np.float32),
        fidelity=np.zeros((0, 2), dtype=np.float32),
        words=(),
        top_words=(),
        importance=np.zeros(shape[:2], dtype=np.float32),
    )


def _rows(rows: Sequence[tuple[float, ...]]) -> Array:
    return np.array(rows, dtype=np.float32).reshape(len(rows), -1)


def _prediction_row(prediction: Prediction | None) -> tuple[float, ...]:
    if prediction is None:
        return ()
    return (prediction.probability, prediction.entropy, *prediction.probabilities, *prediction.values)


def _input_row(analysis: SampleAnalysis) -> tuple[float, ...]:
    facts = analysis.facts
    return (
        np.log(facts.tokens),
        facts.unknown_share,
        float(facts.truncated),
        facts.special_tokens,
        facts.tokens_per_word,
        facts.uppercase_share,
        facts.punctuation_share,
    )


def _fidelity_row(analysis: SampleAnalysis) -> tuple[float, float]:
    """Whether the labels differ, and the gap between the probabilities of the served label.

    The replay's probability of another label than its own is what its own leaves, shared evenly:
    exact for two classes.
    """
    served, replayed = analysis.served, analysis.prediction
    if served is None or replayed is None or replayed.values:
        return (np.nan, np.nan)
    differs = served.label != replayed.label
    if served.probability is None:
        return (float(differs), np.nan)
    others = max(1, len(replayed.probabilities) - 1)
    same_label = (1 - replayed.probability) / others if differs else replayed.probability
    return (float(differs), abs(served.probability - same_label))
