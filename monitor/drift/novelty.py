"""C: how unusual each sample is as a whole, where no single feature and no direction is known yet.

The two charts of multivariate process control, on a group of a sample's features z (standardised,
length taken out, clipped to 6 sd): with the first k principal components of the baseline, scores
t_j with variances s_j^2,
    T^2 = sum_j t_j^2 / s_j^2  (far out inside the usual subspace),
    Q   = ||z - m||^2 - sum_j t_j^2  (outside of it; also called SPE).
The groups are all features, and for each statistic its values over all heads: what is foreign shows
itself in one of them long before it does in all. The logs become features of their own, ranked and
bet on as in ``bets``, with more tails.

Two folds: lengths and components fitted on one half of the baseline's time blocks score the rows of
the other half, so that the baseline's own values are as fair as new ones (fitted on all, a baseline
of 100 would look too usual to itself); new samples are scored by the two in turn.
Hotelling 1947; Jackson & Mudholkar 1979, "Control procedures for residuals".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.drift.bets import UNUSUAL, RankBets, fit_bets
from monitor.drift.blocks import time_blocks
from monitor.drift.components import principal_components
from monitor.drift.length import LengthModel, fit_length

Floats = NDArray[np.float64]
CHARTS = ("T2", "Q")
MOST_COMPONENTS = 100
SMALLEST = 64
Z = 4.5
TAIL_LEVEL = 5e-4
FEWEST = 5
"""Baseline samples that a tail must hold: rates of less are not known well enough to bet on."""
UNSEEN = 0.2
"""Less than for single features: charts mix many of them, and their margins are narrow."""
FAR = 0.99
"""Samples that rank above this share of the baseline on any chart are called unusual."""
_CLIP = 6.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Some ``columns``, their ``centre``, the ``axes`` (column, component) and their ``variance``."""

    columns: NDArray[np.intp]
    centre: Floats
    axes: Floats
    variance: Floats

    def logs(self, clipped: Floats) -> Floats:
        """ln T^2 and ln Q (sample, 2)."""
        rows = clipped[:, self.columns] - self.centre
        squares = (rows @ self.axes) ** 2
        outside = np.einsum("sf,sf->s", rows, rows) - squares.sum(axis=1)
        return np.log(np.stack([squares @ (1 / self.variance), np.maximum(outside, 0.0)], axis=1) + 1e-6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """What one half of the baseline says; ``mean`` and ``sd`` (chart,) of the logs over the other."""

    length: LengthModel
    groups: tuple[Group, ...]
    mean: Floats
    sd: Floats

    def logs(self, values: NDArray[np.floating], log_tokens: NDArray[np.floating]) -> Floats:
        """ln T^2 and ln Q of every group (sample, chart), standardised."""
        return (_logs(self.length, self.groups, values, log_tokens) - self.mean) / self.sd


@dataclass(frozen=True, slots=True, kw_only=True)
class Novelty:
    """Both folds, and the bets on their values."""

    folds: tuple[Fold, Fold]
    bets: RankBets

    @property
    def charts(self) -> int:
        """How many charts there are."""
        return len(self.folds[0].mean)

    def values(self, values: NDArray[np.floating], log_tokens: NDArray[np.floating]) -> Floats:
        """Standardised logs (sample, chart) of new samples, by the two folds in turn."""
        found = np.empty((len(values), self.charts))
        for index, fold in enumerate(self.folds):
            found[index::2] = fold.logs(values[index::2], log_tokens[index::2])
        return found

    def unusual(self, ranks: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Which samples (sample,) are unusual, from their ranks (sample, chart)."""
        found: NDArray[np.bool_] = (ranks.max(axis=1) > FAR).astype(np.bool_)
        return found


def fit_novelty(
    values: NDArray[np.floating],
    log_tokens: NDArray[np.floating],
    times: NDArray[np.float64],
    statistics: int = 1,
) -> tuple[Novelty, Floats]:
    """Charts of the baseline's values (sample, feature), and its own out-of-fold logs (sample, chart).

    The features are heads x ``statistics``, the statistics running fastest.
    """
    half = time_blocks(times) % 2
    every = np.arange(values.shape[1])
    columns = [every, *(every[index::statistics] for index in range(statistics) if statistics > 1)]
    found = np.empty((len(values), len(CHARTS) * len(columns)))
    folds = []
    for fold in (0, 1):
        learnt, other = half == fold, half != fold
        length = fit_length(values[learnt], log_tokens[learnt])
        rows = np.clip(length.apply(values[learnt], log_tokens[learnt]), -_CLIP, _CLIP)
        groups = tuple(_group(rows, chosen) for chosen in columns)
        logs = _logs(length, groups, values[other], log_tokens[other])
        mean, sd = logs.mean(axis=0), np.maximum(logs.std(axis=0), 1e-6)
        found[other] = (logs - mean) / sd
        folds.append(Fold(length=length, groups=groups, mean=mean, sd=sd))
    tails = [tail for tail in UNUSUAL if (1 - tail[1]) * len(values) >= FEWEST]
    bets = fit_bets(found, times, tails, Z, TAIL_LEVEL, UNSEEN)
    return Novelty(folds=(folds[0], folds[1]), bets=bets), found


def _group(rows: Floats, columns: NDArray[np.intp]) -> Group:
    """At most a third of the columns become components, so that something is left for Q."""
    chosen = rows[:, columns]
    centre = chosen.mean(axis=0)
    most = max(1, min(MOST_COMPONENTS, len(rows) // 10, len(columns) // 3))
    axes, variance = principal_components(chosen - centre, most)
    return Group(columns=columns, centre=centre, axes=axes, variance=variance)


def _logs(
    length: LengthModel,
    groups: tuple[Group, ...],
    values: NDArray[np.floating],
    log_tokens: NDArray[np.floating],
) -> Floats:
    clipped = np.clip(length.apply(values, log_tokens), -_CLIP, _CLIP)
    return np.concatenate([group.logs(clipped) for group in groups], axis=1)
