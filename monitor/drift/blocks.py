"""Time blocks of the baseline: what wobbles between them is not drift.

v = the variance of a score's block means beyond what sampling explains; rho = v / sigma^2 is its
intraclass correlation. Within one window the same wobble moves all n samples together, so a window
is worth n / (1 + n rho) independent ones (Kish 1965, the design effect; 1 + (n - 1) rho there).
Wobble is looked for at two scales, in 20 long blocks and in 60 short ones, and the larger counts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BLOCKS = 20
SCALES = (20, 60)
SMALLEST_BLOCK = 5
CLEAR = 1.9
"""A ratio of variances passes for wobble only this many standard errors above 1 (1.6 at 20 blocks)."""
MANY = 30
SHARED = 0.1
"""The mean ratio over many features that chance and their correlation may explain."""


def time_blocks(times: NDArray[np.float64], count: int = BLOCKS) -> NDArray[np.intp]:
    """The block 0..count-1 of every sample, by time; each block has nearly as many samples.

    >>> time_blocks(np.arange(40.0))[:4].tolist()
    [0, 0, 1, 1]
    """
    samples = len(times)
    blocks = np.empty(samples, dtype=np.intp)
    blocks[np.argsort(times, kind="stable")] = np.arange(samples) * count // max(samples, 1)
    return blocks


def variance_ratio(
    scores: NDArray[np.float64], blocks: NDArray[np.intp]
) -> tuple[NDArray[np.float64], float]:
    """Variance of the block means over its expectation without wobble, per column; and 1 / block size.

    The expectation holds the one degree of freedom that centring costs.
    """
    centred = scores - scores.mean(axis=0)
    names, index = np.unique(blocks, return_inverse=True)
    sizes = np.bincount(index).astype(np.float64)
    sums = np.zeros((len(names), scores.shape[1]))
    np.add.at(sums, index, centred)
    spread = ((sums / sizes[:, None]) ** 2).mean(axis=0)
    inverse = float((1.0 / sizes).mean())
    variance = np.maximum(centred.var(axis=0), 1e-12)
    freedom = max(1.0 - 1.0 / len(names), 0.5)
    ratio: NDArray[np.float64] = spread / (variance * inverse * freedom)
    return np.where(centred.var(axis=0) > 1e-12, ratio, 1.0), inverse


def intraclass(scores: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.float64]:
    """rho of every column of (sample, score): 0 where chance explains the block means.

    Where the columns' mean ratio is above what chance explains, all share in it.
    """
    found = np.zeros(scores.shape[1])
    for count in SCALES:
        if len(scores) < SMALLEST_BLOCK * count:
            continue
        ratio, inverse = variance_ratio(scores, time_blocks(times, count))
        clear = 1.0 + CLEAR * np.sqrt(2.0 / (count - 1))
        own = np.where(ratio > clear, ratio - 1.0, 0.0)
        mean = float(np.minimum(ratio, 5.0).mean()) - 1.0
        shared = mean if mean > SHARED and len(ratio) >= MANY else 0.0
        found = np.maximum(found, np.maximum(own, shared) * inverse)
    return found


def worth(samples: float, rho: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """The power 1 / (1 + n rho) to which a window's product of n bets is raised."""
    return 1.0 / (1.0 + samples * np.asarray(rho, dtype=np.float64))
