"""Rates of yes/no events: exact confidence bounds, and what a window of them is worth under wobble.

Clopper & Pearson 1934, through the incomplete beta function.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainccinv, betaincinv


def upper_bound(hits: ArrayLike, trials: int, level: float) -> NDArray[np.float64]:
    """One-sided upper bounds, at ``level``, of the rates behind ``hits`` (count,) in ``trials``.

    The bound p of k hits in n solves P(Bin(n, p) <= k) = level.

    >>> float(upper_bound([0], 100, 0.05)[0].round(4))
    0.0295
    """
    counts = np.asarray(hits, dtype=np.float64)
    inside = counts < trials
    bound = betainccinv(counts + 1, np.where(inside, trials - counts, 1.0), level)
    return np.where(inside, bound, 1.0)


def lower_bound(hits: ArrayLike, trials: int, level: float) -> NDArray[np.float64]:
    """One-sided lower bounds: p solves P(Bin(n, p) >= k) = level.

    >>> float(lower_bound([100], 100, 0.05)[0].round(4))
    0.9705
    """
    counts = np.asarray(hits, dtype=np.float64)
    inside = counts > 0
    bound = betaincinv(np.where(inside, counts, 1.0), trials - counts + 1, level)
    return np.where(inside, bound, 0.0)


def tempered(power: float, samples: float, wobble: float, bound: float, rate: float) -> float:
    """The power of a window's likelihood ratio of ``rate`` against ``bound`` under wobble of that sd.

    power / (1 + n rho), rho = w^2 / (p0 (1 - p0)), and at most 3 / (lambda w n) with the stake
    lambda = |p1 - p0| / (p0 (1 - p0)); see ``bets``.

    >>> tempered(1.0, 200, 0.0, 0.1, 0.3), round(tempered(1.0, 200, 0.05, 0.1, 0.3), 3)
    (1.0, 0.135)
    """
    if wobble <= 0 or samples <= 0:
        return power
    variance = max(bound * (1.0 - bound), 1e-9)
    worth = power / (1.0 + power * samples * wobble**2 / variance)
    return min(worth, 3.0 * variance / (abs(rate - bound) * wobble * samples))
