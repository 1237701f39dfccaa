"""Time blocks of the baseline: what wobbles between them is not drift."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BLOCKS = 20


def time_blocks(times: NDArray[np.float64]) -> NDArray[np.intp]:
    """The block 0..19 of every sample, by time; each block has nearly as many samples.

    >>> time_blocks(np.arange(40.0))[:4].tolist()
    [0, 0, 1, 1]
    """
    count = len(times)
    blocks = np.empty(count, dtype=np.intp)
    blocks[np.argsort(times, kind="stable")] = np.arange(count) * BLOCKS // max(count, 1)
    return blocks


def excess_variance(scores: NDArray[np.float64], blocks: NDArray[np.intp]) -> NDArray[np.float64]:
    """Variance of the block means beyond what sampling explains, per column of (sample, score).

    v = max(0, mean over blocks of (block mean)^2 - 1.6 variance / block size); 1.6 and not 1, so
    that chance alone (a chi-square with 19 degrees of freedom) rarely passes for wobble.
    """
    centred = scores - scores.mean(axis=0)
    names, index = np.unique(blocks, return_inverse=True)
    sizes = np.bincount(index).astype(np.float64)
    sums = np.zeros((len(names), scores.shape[1]))
    np.add.at(sums, index, centred)
    spread = ((sums / sizes[:, None]) ** 2).mean(axis=0)
    expected: NDArray[np.float64] = 1.6 * centred.var(axis=0) * (1.0 / sizes).mean()
    return np.maximum(0.0, spread - expected)
