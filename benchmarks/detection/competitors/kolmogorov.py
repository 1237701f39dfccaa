"""Two-sample Kolmogorov-Smirnov tests of every feature: what most monitors run on each window."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kstwo

from benchmarks.detection.competitors.calibration import (
    Scores,
    matched_threshold,
    pooled_size,
    quiet_scores,
)
from benchmarks.detection.competitors.method import Begin, Method, Reference, without_memory
from benchmarks.detection.pools import Pool

ALPHA = 0.05
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class SortedColumns:
    """A sample (sample, feature) with every column in order."""

    values: NDArray[np.float32]

    @classmethod
    def of(cls, values: NDArray[np.float32]) -> SortedColumns:
        """Columns are kept contiguous: they are searched one by one."""
        return cls(values=np.ascontiguousarray(np.sort(values, axis=0).T))

    def distances(self, window: NDArray[np.float32]) -> Floats:
        """The KS statistic D of every column: the largest gap between the two distribution functions."""
        ordered = np.ascontiguousarray(np.sort(window, axis=0).T)
        size, count = ordered.shape[1], self.values.shape[1]
        steps = np.arange(size + 1) / size
        found = np.empty(len(ordered))
        for column, (own, other) in enumerate(zip(self.values, ordered, strict=True)):
            above = steps[1:] - own.searchsorted(other, side="right") / count
            below = own.searchsorted(other, side="left") / count - steps[:-1]
            found[column] = max(above.max(), below.max())
        return found


@lru_cache(maxsize=64)
def critical_distances(features: int, reference: int, window: int) -> tuple[float, ...]:
    """D at p = ALPHA k / features for k = 1 ... features: the steps of Benjamini and Hochberg 1995.

    The p-value is that of ``scipy.stats.ks_2samp(method="asymp")``.
    """
    size = int(np.round(pooled_size(reference, window)))
    levels = ALPHA * np.arange(1, features + 1) / features
    return tuple(kstwo.isf(levels, size).tolist())


def any_by_bonferroni(distances: Floats, critical: Floats) -> bool:
    """Whether the smallest p-value is at most ALPHA / features."""
    return bool(distances.max() >= critical[0])


def any_by_benjamini_hochberg(distances: Floats, critical: Floats) -> bool:
    """Whether the k-th smallest p-value is at most ALPHA k / features for some k."""
    return bool((np.sort(distances)[::-1] >= critical).any())


def head_columns(pool: Pool) -> NDArray[np.float32]:
    """Every statistic of every head (sample, layer * head * statistic)."""
    profile = pool.features.profile
    return profile.reshape(len(pool), math.prod(profile.shape[1:]))


def largest_distance(pool: Pool, *, heads: bool) -> Scores:
    """Scores windows by their largest D, times the root of 1 / (1/n + 1/m)."""
    columns = SortedColumns.of(head_columns(pool) if heads else pool.features.prediction)

    def score(window: Pool) -> Floats:
        values = head_columns(window) if heads else window.features.prediction
        scale = math.sqrt(pooled_size(len(pool), len(window)))
        return np.array([scale * columns.distances(values).max()])

    return score


def _fit_heads(reference: Reference) -> Begin:
    limit = matched_threshold(
        quiet_scores(reference, lambda half: largest_distance(half, heads=True)), reference.mean_windows
    )
    columns = SortedColumns.of(head_columns(reference.baseline))

    def decide(window: Pool) -> tuple[bool, ...]:
        distances = columns.distances(head_columns(window))
        sizes = len(reference.baseline), len(window)
        critical = np.array(critical_distances(len(distances), *sizes))
        return (
            any_by_bonferroni(distances, critical),
            any_by_benjamini_hochberg(distances, critical),
            bool(math.sqrt(pooled_size(*sizes)) * distances.max() > limit[0]),
        )

    return without_memory(decide)


def _fit_predictions(reference: Reference) -> Begin:
    def against(half: Pool) -> Scores:
        return largest_distance(half, heads=False)

    limit = matched_threshold(quiet_scores(reference, against), reference.mean_windows)
    score = against(reference.baseline)
    return without_memory(lambda window: (bool(score(window)[0] > limit[0]),))


HEADS = Method(
    names=("KS heads, Bonferroni .05", "KS heads, BH .05", "KS heads, matched rate"), fit=_fit_heads
)
PREDICTIONS = Method(names=("KS predictions, matched rate",), fit=_fit_predictions)
