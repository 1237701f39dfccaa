"""A: every feature for itself. Ranks in the baseline, three scores, small bets on each.

u = (mid-rank + .5) / (N + 1) in the frozen, sorted baseline.
Scores: location 2u - 1; spread 6u^2 - 6u + 1; tails 1{u < .01 or u > .99}; spread and tails are
centred on their own baseline mean, so that ties (constant or discrete features) score 0.
Tolerance: tau = 6 sigma / sqrt(N) + 1.5 sqrt(v) with sigma = .577 (location), .447 (spread) and v
the excess variance between the baseline's time blocks; tails: max(.01, .7 / sqrt(N)) + 1.5 sqrt(v).
Bets per sample: 1 + lambda (+-score - tau), lambda in {.1, .3, .6}; tails, upwards only, in
{.5, 1.5, 4}. While |E[score]| <= tau every bet has mean <= 1, so products are e-values.

The tolerance is what a finite, shared baseline costs: its error is the same in every window and
would otherwise accumulate. Six and not five, so that it also covers (4.2 sd of the difference) a
stream that itself comes from no more samples than the baseline. Shekhar & Ramdas 2021 (testing by betting).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.drift.blocks import excess_variance

LAMBDAS = (0.1, 0.3, 0.6)
TAIL_LAMBDAS = (0.5, 1.5, 4.0)
KINDS = ("location up", "location down", "spread up", "spread down", "tails")
TAIL = 0.01
GRID = 0.01
"""Values are compared on a grid of .01 sd: re-batching moves them by up to .007."""
_RANGE = 1200
_ROWS = 128

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class RankBets:
    """The baseline of some features: ``table`` (feature, grid) holds u for every grid value.

    ``centre`` and ``tolerance`` are (3, feature) for location, spread and tails.
    """

    table: NDArray[np.float32]
    centre: Floats
    tolerance: Floats
    samples: int

    def ranks(self, values: NDArray[np.floating]) -> NDArray[np.float32]:
        """Ranks u in (0, 1) of ``values`` (sample, feature), in units of the baseline's sd."""
        columns = np.arange(self.table.shape[0])
        ranks: NDArray[np.float32] = self.table[columns, _grid(values)]
        return ranks

    def scores(self, ranks: NDArray[np.float32]) -> Floats:
        """Centred scores (3, sample, feature): location, spread, tails."""
        return _raw_scores(ranks) - self.centre[:, None, :]

    def gains(self, scores: Floats) -> Floats:
        """Log of the products of the bets over the samples: (feature, kind, lambda)."""
        location, spread, tails = scores
        slack = self.tolerance
        signed = (location, -location, spread, -spread)
        kinds = [
            [_log_product(score, slack[index // 2], bet) for bet in LAMBDAS]
            for index, score in enumerate(signed)
        ]
        hits = (tails + self.centre[2] > 0.5).sum(axis=0)
        kinds.append([self._tail_gain(hits, len(tails), bet) for bet in TAIL_LAMBDAS])
        return np.moveaxis(np.array(kinds), 2, 0)

    def _tail_gain(self, hits: NDArray[np.intp], samples: int, bet: float) -> Floats:
        paid = self.centre[2] + self.tolerance[2]
        won, lost = np.log1p(bet * (1.0 - paid)), np.log(np.maximum(1e-3, 1.0 - bet * paid))
        gain: Floats = hits * won + (samples - hits) * lost
        return gain


def fit_bets(values: NDArray[np.floating], blocks: NDArray[np.intp]) -> RankBets:
    """Freeze the baseline: values (sample, feature) in units of its sd, time block of each sample."""
    samples, features = values.shape
    grid = _grid(values)
    table = np.empty((features, 2 * _RANGE + 1), dtype=np.float32)
    for feature in range(features):
        count = np.bincount(grid[:, feature], minlength=2 * _RANGE + 1)
        table[feature] = (np.cumsum(count) - 0.5 * count + 0.5) / (samples + 1)
    ranks = table[np.arange(features), grid]
    raw = _raw_scores(ranks)
    centre = raw.mean(axis=1)
    centre[0] = 0.0
    centre[2] = np.maximum(2 * TAIL, centre[2])
    wobble = np.stack([1.5 * np.sqrt(excess_variance(score, blocks)) for score in raw])
    root = np.sqrt(samples)
    floor = np.array([6 * 0.577 / root, 6 * 0.447 / root, max(0.01, 0.7 / root)])
    return RankBets(table=table, centre=centre, tolerance=floor[:, None] + wobble, samples=samples)


def _raw_scores(ranks: NDArray[np.float32]) -> Floats:
    u = ranks.astype(np.float64)
    tails = ((u < TAIL) | (u > 1 - TAIL)).astype(np.float64)
    return np.stack([2 * u - 1, 6 * u * (u - 1) + 1, tails])


def _grid(values: NDArray[np.floating]) -> NDArray[np.intp]:
    """Positions on the grid, which spans 12 sd either side; values beyond it share its ends."""
    bounded = np.nan_to_num(np.clip(values, -_RANGE * GRID, _RANGE * GRID))
    return (np.rint(bounded / GRID) + _RANGE).astype(np.intp)


def _log_product(score: Floats, slack: Floats, bet: float) -> Floats:
    """Sum over samples of ln(1 + bet (score - slack)); by products of few rows, which are cheap."""
    factors = np.maximum(1e-3, 1.0 + bet * (score - slack))
    total = np.zeros(score.shape[1])
    for first in range(0, len(factors), _ROWS):
        total += np.log(np.multiply.reduce(factors[first : first + _ROWS], axis=0))
    return total
