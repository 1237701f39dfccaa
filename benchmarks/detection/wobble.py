"""Draws whose mix of texts changes with time, as life's does: labels, lengths, sources, hours, weekends.

A wobble gives each sample of a pool a log weight at a time; samples are drawn with those weights and
without replacement (Efraimidis & Spirakis 2006: the largest of log weight + Gumbel noise).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from benchmarks.detection.pools import Pool

Weights = NDArray[np.float64]
Rows = NDArray[np.intp]
Wobble = Callable[[float], Weights]
"""(time in seconds) -> log weight of every sample of a pool."""
DAY = 86_400.0
WEEK = 7 * DAY


def draw_rows(rows: Rows, count: int, log_weights: Weights | None, rng: np.random.Generator) -> Rows:
    """``count`` of ``rows`` without replacement; raises ValueError where there are too few."""
    if count > len(rows):
        raise ValueError(f"count = {count}: only {len(rows)} samples are left; extract a larger pool")
    if log_weights is None:
        return rng.choice(rows, count, replace=False)
    keys = log_weights[rows] + rng.gumbel(size=len(rows))
    return rows[np.argpartition(-keys, count - 1)[:count]] if count else rows[:0]


def mixed(members: NDArray[np.bool_], share: float) -> Weights:
    """Log weights under which a ``share`` of the draws are ``members``, evenly within either part."""
    natural = members.mean()
    inside, outside = np.log(max(share, 1e-9) / natural), np.log(max(1 - share, 1e-9) / (1 - natural))
    return np.where(members, inside, outside)


def tilted(score: Weights, shift: float) -> Weights:
    """Log weights that move the mean of a standardised ``score`` by ``shift`` sd (exponential tilting).

    The slope is found by bisection, so that it holds for skew scores too.
    """
    low, high = -5.0, 5.0
    for _ in range(40):
        slope = (low + high) / 2
        weights = np.exp(slope * score - (slope * score).max())
        mean = float((weights * score).sum() / weights.sum())
        low, high = (slope, high) if mean < shift else (low, slope)
    return slope * score


def standardised(values: NDArray[np.generic]) -> Weights:
    """Mean 0, sd 1, clipped to 4 sd."""
    numbers = values.astype(np.float64)
    return np.clip((numbers - numbers.mean()) / max(float(numbers.std()), 1e-12), -4.0, 4.0)


def main_component(pool: Pool) -> Weights:
    """Each sample's score on the first principal component of its head profile, length taken out."""
    profile = pool.features.profile.reshape(len(pool), -1)
    length = standardised(pool.features.inputs[:, 0])
    design = np.stack([np.ones(len(pool)), length, length**2, length**3], axis=1)
    values = (profile - profile.mean(axis=0)) / np.maximum(profile.std(axis=0), 1e-6)
    values = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
    _, vectors = np.linalg.eigh(values.T.astype(np.float64) @ values)
    direction = vectors[:, -1] * np.sign(vectors[np.abs(vectors[:, -1]).argmax(), -1])
    return standardised(values @ direction)


def daily_sine(score: Weights, amplitude: float) -> Wobble:
    """The mean of ``score`` follows a sine of a day, ``amplitude`` sd high."""
    steps = [tilted(score, amplitude * np.sin(2 * np.pi * step / 96)) for step in range(96)]
    return lambda time: steps[int(96 * (time % DAY) / DAY)]


def by_weekend(weekday: Weights, weekend: Weights) -> Wobble:
    """Other weights on the last two days of each week."""
    return lambda time: weekend if time % WEEK >= 5 * DAY else weekday


def by_regime(
    weights: Callable[[float], Weights], low: float, high: float, *, hours: float, seed: int
) -> Wobble:
    """A level between ``low`` and ``high`` that is drawn anew every ``hours`` and holds until then."""

    def level(time: float) -> float:
        regime = int(time // (3600 * hours))
        return float(np.random.default_rng([seed, regime]).uniform(low, high))

    return lambda time: weights(level(time))
