"""Exact confidence bounds of a rate, for every possible count at once.

Clopper & Pearson 1934: the upper bound p of k hits in n solves P(Bin(n, p) <= k) = level; the lower
one P(Bin(n, p) >= k) = level. Found by bisection on the binomial distribution, in logs.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_ROUNDS = 40


def upper_bound(trials: int, level: float) -> NDArray[np.float64]:
    """Upper bounds for k = 0 .. trials hits; one-sided, at ``level``.

    >>> round(float(upper_bound(100, 0.05)[0]), 4)
    0.0295
    """
    if trials == 0:
        return np.ones(1)
    lower: NDArray[np.float64] = lower_bound(trials, level)
    return 1.0 - lower[::-1]


def lower_bound(trials: int, level: float) -> NDArray[np.float64]:
    """Lower bounds for k = 0 .. trials hits; one-sided, at ``level``."""
    if trials == 0:
        return np.zeros(1)
    hits = np.arange(trials + 1)
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, trials + 1)))])
    choose = factorials[trials] - factorials - factorials[::-1]
    low, high = np.zeros(trials + 1), hits / trials
    for _ in range(_ROUNDS):
        middle = 0.5 * (low + high)
        reached = _upper_tail(choose, middle) >= math.log(level)
        high = np.where(reached, middle, high)
        low = np.where(reached, low, middle)
    low[0] = 0.0
    return low


def _upper_tail(choose: NDArray[np.float64], rates: NDArray[np.float64]) -> NDArray[np.float64]:
    """log P(Bin(n, rates[k]) >= k) for every k, from the terms near the mode of the tail."""
    trials = len(choose) - 1
    result = np.full(trials + 1, -np.inf)
    result[0] = 0.0
    with np.errstate(divide="ignore"):
        logs, others = np.log(rates), np.log1p(-np.minimum(rates, 1 - 1e-15))
    span = np.arange(0, max(60, int(4 * math.sqrt(trials))))
    counts = np.arange(trials + 1)[:, None] + span[None, :]
    inside = counts <= trials
    counts = np.minimum(counts, trials)
    with np.errstate(invalid="ignore"):
        terms = choose[counts] + counts * logs[:, None] + (trials - counts) * others[:, None]
    terms = np.where(inside & np.isfinite(terms), terms, -np.inf)
    largest = terms.max(axis=1)
    finite = np.isfinite(largest)
    result[finite] = largest[finite] + np.log(np.exp(terms[finite] - largest[finite, None]).sum(axis=1))
    return result
