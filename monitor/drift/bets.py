"""A: every feature for itself. Ranks in the baseline, a few scores, small bets on each.

u = (mid-rank + .5) / (N + 1) in the frozen, sorted baseline.
Scores: location 2u - 1; spread 6u^2 - 6u + 1; tails 1{u in a tail}. Spread is centred on its own
baseline mean, so that ties (constant or discrete features) score 0.
Location and spread, either way: 1 + lambda (+-score - tau), lambda in {.1, .3, .6} (less where tau is
so large that a factor could fall below 0), tau = z sigma / sqrt(N) + 1.5 sqrt(v) with
sigma = .577 (location), .447 (spread) and v the wobble of the baseline's time blocks.
Tails, upwards only: likelihood ratios of p0 + eps (1 - p0) against p0, eps in {.02, .06, .2}, p0 the
Clopper-Pearson bound of the baseline's own rate (level 1e-7 or 1e-5) + 1.5 sqrt(v); v of a tail is at
least what the location's v does to it (``tail_swing``), since rare events hide their own.
While |E[score]| <= tau, and a tail's rate is at most p0, every bet has mean <= 1, so products are
e-values. Wobble of sd sqrt(v) between windows is paid for twice: by tau, which holds what lasts, and
by raising the product of a window to the power a = 1 / (1 + n rho) (``blocks``), which holds what is
drawn anew: (1 + x)^a <= 1 + a x (Bernoulli), so the power's mean is at most exp(n' lambda (m - tau)),
n' = a n, and over Gaussian m of variance v at most exp(-1.5 y + y^2 / 2), y = n' lambda sqrt(v):
so a window counts for at most n' = 3 / (lambda sqrt(v)) samples. In the same way, wobble too small
for the baseline to show (variance u = kappa sigma^2 / block size) uses n' lambda u / 2 of the
tolerance, and n' is at most 2 tau / (lambda u). For a tail, lambda = eps / p0 and tau = p0 - p.

The tolerance is what a finite, shared baseline costs: its error is the same in every window and
would otherwise accumulate. z = 6 is 4.2 sd of the difference between the baseline and a stream that
itself comes from no more samples. Shekhar & Ramdas 2021 (testing by betting); Wald 1945.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from monitor.drift.blocks import BLOCKS, intraclass, worth
from monitor.drift.rates import upper_bound

LAMBDAS = (0.1, 0.3, 0.6)
SHARES = (0.02, 0.06, 0.2)
"""The shares of new samples in a tail that are bet on."""
STAKES = 3
Tail = tuple[float, float]
"""Ranks below the first or above the second lie in the tail."""
BOTH: tuple[Tail, ...] = ((0.01, 0.99),)
EXTREMES: tuple[Tail, ...] = ((0.0, 0.95), (0.0, 0.99), (0.05, 1.0), (0.01, 1.0))
UNUSUAL: tuple[Tail, ...] = ((0.0, 0.9), (0.0, 0.95), (0.0, 0.98), (0.0, 0.995))
SIGMA = (0.577, 0.447)
Z = 6.0
TAIL_LEVEL = 1e-7
UNSEEN = 0.9
"""kappa: wobble of .9 of the blocks' sampling variance is missed by them one time in three."""
SWING = 1.35
"""Room above what a small shift of a normal feature does to its tails (``tail_swing``)."""
FEW_Z = 6.0
FEW_LEVEL = 1e-5
"""Of channels with a handful of features, where fewer errors can add up."""
SPREAD_SWING = 8 / 3 * 0.87
"""Where a normal feature moves, its spread score moves by .87 of the square of its location score: where
the location moves by 3 sqrt(v), by 8 * .87 v more than on average, which 3 sqrt of its own v must hold."""
FEW_MOVED = 0.3
"""Of such channels: the share of the location's standard errors that a tail may move with, unseen."""
GRID = 0.01
"""Values are compared on a grid of .01 sd: re-batching moves them by up to .007."""
_RANGE = 1200
_ROWS = 128

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class RankBets:
    """The baseline of some features: ``table`` (feature, grid) holds u for every grid value.

    ``centre``, ``tolerance`` (2, feature) of location and spread; ``tails`` and ``paid``
    (tail, feature), their p0; ``rho`` (score, feature), scores being location, spread, tails;
    ``most`` (score, stake, feature): how many samples a window may count for.
    """

    table: NDArray[np.float32]
    centre: Floats
    tolerance: Floats
    tails: tuple[Tail, ...]
    before: Floats
    paid: Floats
    rho: Floats
    most: Floats
    samples: int

    @property
    def kinds(self) -> tuple[tuple[int, int], ...]:
        """Score and sign of every kind of bet."""
        return ((0, 1), (0, -1), (1, 1), (1, -1), *((2 + index, 1) for index in range(len(self.tails))))

    def ranks(self, values: NDArray[np.floating]) -> NDArray[np.float32]:
        """Ranks u in (0, 1) of ``values`` (sample, feature), in units of the baseline's sd."""
        columns = np.arange(self.table.shape[0])
        ranks: NDArray[np.float32] = self.table[columns, _grid(values)]
        return ranks

    def scores(self, ranks: NDArray[np.float32]) -> Floats:
        """Scores (score, sample, feature): location and centred spread, then 0/1 for each tail."""
        scores = _raw_scores(ranks, self.tails)
        scores[:2] -= self.centre[:, None, :]
        return scores

    def quiet(self, score: int, feature: int) -> float:
        """The baseline's mean of a score."""
        return 0.0 if score < 2 else float(self.before[score - 2, feature])

    def gains(self, scores: Floats, power: float = 1.0) -> Floats:
        """Log of the products of the bets over the samples: (feature, kind, stake).

        ``power``: what each sample is worth besides (duplicates, very large windows).
        """
        samples = scores.shape[1]
        each = power * worth(power * samples, self.rho)
        worths = np.minimum(each[:, None, :], self.most / max(samples, 1))
        kinds = []
        for score, sign in self.kinds[:4]:
            slack = self.tolerance[score]
            signed = sign * scores[score]
            kinds.append(
                [_log_product(signed, slack, bet) * w for bet, w in zip(LAMBDAS, worths[score], strict=True)]
            )
        for index, paid in enumerate(self.paid):
            hits = scores[2 + index].sum(axis=0)
            shares = zip(SHARES, worths[2 + index], strict=True)
            kinds.append([tail_gain(hits, samples, paid, share) * w for share, w in shares])
        return np.moveaxis(np.array(kinds), 2, 0)


def tail_gain(hits: NDArray[np.floating], samples: int, paid: Floats, share: float) -> Floats:
    """Log likelihood ratio of p0 + share (1 - p0) against p0 = ``paid``, given ``hits`` in ``samples``."""
    p0 = np.clip(paid, 1e-9, 1.0 - 1e-9)
    p1 = p0 + share * (1.0 - p0)
    gain: Floats = hits * np.log(p1 / p0) + (samples - hits) * np.log1p(-share)
    return gain


def tail_swing(rate: Floats | float) -> Floats:
    """By how much a tail of this rate moves with the location score 2u - 1 of its feature.

    Where a normal feature moves by a little, its tail of rate p moves by phi(z_p) and its location
    score by 1 / sqrt(pi) of that: sqrt(pi) phi(z_p) = .05, .09, .18, .31 at 1, 2, 5, 10 %. The room of
    a third above that is for shifts of up to a quarter of an sd (1 %) or half an sd (10 %).
    """
    density = np.exp(-0.5 * ndtri(np.clip(rate, 1e-12, 0.5)) ** 2) / np.sqrt(2 * np.pi)
    swing: Floats = SWING * np.sqrt(np.pi) * density
    return swing


def fit_bets(
    values: NDArray[np.floating],
    times: NDArray[np.float64],
    tails: Sequence[Tail] = BOTH,
    z: float = Z,
    tail_level: float = TAIL_LEVEL,
    unseen: float = UNSEEN,
    moved: float = 0.0,
) -> RankBets:
    """Freeze the baseline: values (sample, feature) in units of its sd, time of each sample.

    ``z``: standard errors in the tolerance; ``tail_level``: of the bounds p0; ``unseen``: kappa;
    ``moved``: the share of the location's standard errors by which tails may move besides.
    """
    samples, features = values.shape
    grid = _grid(values)
    table = np.empty((features, 2 * _RANGE + 1), dtype=np.float32)
    for feature in range(features):
        count = np.bincount(grid[:, feature], minlength=2 * _RANGE + 1)
        table[feature] = (np.cumsum(count) - 0.5 * count + 0.5) / (samples + 1)
    raw = _raw_scores(table[np.arange(features), grid], tails)
    centre = raw[:2].mean(axis=1)
    centre[0] = 0.0
    rho = np.stack([intraclass(score, times) for score in raw])
    floor = np.array(SIGMA)[:, None] * z / np.sqrt(samples)
    hits = raw[2:].sum(axis=1)
    bound = upper_bound(hits.ravel(), samples, tail_level).reshape(hits.shape)
    # a tail is too rare for its own wobble to be seen in blocks: it goes with that of the location (so
    # does the spread, by its square, which blocks hardly show),
    # and where ``moved``, with what the location's standard errors tolerate unseen
    share = tail_swing(hits / samples)
    excess = rho * raw.var(axis=1)
    excess[1] = np.maximum(excess[1], (SPREAD_SWING * excess[0]) ** 2)
    excess[2:] = np.maximum(excess[2:], share**2 * excess[0])
    rho = excess / np.maximum(raw.var(axis=1), 1e-12)
    wobble = 1.5 * np.sqrt(excess)
    swing = wobble[2:] + moved * share * floor[0]
    tolerance, paid = floor + wobble[:2], np.minimum(bound + swing, 1.0)
    missed = np.maximum(unseen * raw.var(axis=1) * BLOCKS / samples, 1e-12)
    return RankBets(
        table=table,
        centre=centre,
        tolerance=tolerance,
        tails=tuple(tails),
        before=hits / samples,
        paid=paid,
        rho=rho,
        most=_most(tolerance, paid, hits / samples, missed, excess),
        samples=samples,
    )


def _most(tolerance: Floats, paid: Floats, before: Floats, missed: Floats, wobble: Floats) -> Floats:
    """The smaller of 2 tau / (lambda u) and 3 / (lambda sqrt(v)) for every score, stake and feature."""
    bets = np.array(LAMBDAS)[None, :, None]
    shares = np.array(SHARES)[None, :, None] / np.maximum(paid, 1e-9)[:, None, :]
    moved = 2 * tolerance[:, None, :] / (bets * missed[:2, None, :])
    tails = 2 * (paid - before)[:, None, :] / (shares * missed[2:, None, :])
    lambdas = np.concatenate([np.broadcast_to(bets, moved.shape), shares])
    seen = 3 / (lambdas * np.sqrt(np.maximum(wobble, 1e-12))[:, None, :])
    return np.minimum(np.concatenate([moved, tails]), seen)


def _raw_scores(ranks: NDArray[np.float32], tails: Sequence[Tail]) -> Floats:
    u = ranks.astype(np.float64)
    scores = np.empty((2 + len(tails), *u.shape))
    scores[0] = 2 * u - 1
    scores[1] = 6 * u * (u - 1) + 1
    for index, (low, high) in enumerate(tails):
        scores[2 + index] = (u < low) | (u > high)
    return scores


def _grid(values: NDArray[np.floating]) -> NDArray[np.intp]:
    """Positions on the grid, which spans 12 sd either side; values beyond it share its ends."""
    bounded = np.nan_to_num(np.clip(values, -_RANGE * GRID, _RANGE * GRID))
    return (np.rint(bounded / GRID) + _RANGE).astype(np.intp)


def _log_product(score: Floats, slack: Floats, stake: float) -> Floats:
    """Sum over samples of ln(1 + lambda (score - slack)); by products of few rows, which are cheap.

    No score lies below -1.5, so a lambda of .95 / (1.5 + slack) keeps every factor above 0.
    """
    bet = np.minimum(stake, 0.95 / (1.5 + slack))
    factors = 1.0 + bet * (score - slack)
    total = np.zeros(score.shape[1])
    for first in range(0, len(factors), _ROWS):
        total += np.log(np.multiply.reduce(factors[first : first + _ROWS], axis=0))
    return total
