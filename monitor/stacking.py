"""Analyses of single samples to the arrays that detection works on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monitor.records import Array, Features, Prediction, SampleAnalysis


def stack(analyses: Sequence[SampleAnalysis]) -> Features:
    """The analyses as arrays with the sample first; raises ``ValueError`` for none at all."""
    if not analyses:
        raise ValueError("no analyses to stack")
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


def _rows(rows: Sequence[tuple[float, ...]]) -> Array:
    return np.array(rows, dtype=np.float32).reshape(len(rows), -1)


def _prediction_row(prediction: Prediction | None) -> tuple[float, ...]:
    if prediction is None:
        return ()
    return (prediction.probability, prediction.entropy, *prediction.probabilities)


def _input_row(analysis: SampleAnalysis) -> tuple[float, ...]:
    facts = analysis.facts
    return (np.log(facts.tokens), facts.unknown_share, float(facts.truncated), facts.special_tokens)


def _fidelity_row(analysis: SampleAnalysis) -> tuple[float, float]:
    """Whether the labels differ, and the gap between the probabilities of the served label.

    The replay's probability of another label than its own is what its own leaves, shared evenly:
    exact for two classes.
    """
    served, replayed = analysis.served, analysis.prediction
    if served is None or replayed is None:
        return (np.nan, np.nan)
    differs = served.label != replayed.label
    if served.probability is None:
        return (float(differs), np.nan)
    others = max(1, len(replayed.probabilities) - 1)
    same_label = (1 - replayed.probability) / others if differs else replayed.probability
    return (float(differs), abs(served.probability - same_label))
