"""How far attention rollout and attribution agree about one input."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def spearman(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """Rank correlation with mean ranks for ties; 0 where either is constant or shorter than two.

    >>> spearman(np.array([1.0, 2.0, 3.0]), np.array([10.0, 30.0, 20.0]))
    0.5
    """
    if len(one) < 2:
        return 0.0
    first, second = _ranks(one), _ranks(other)
    first -= first.mean()
    second -= second.mean()
    scale = np.sqrt((first**2).sum() * (second**2).sum())
    return float((first * second).sum() / scale) if scale > 0 else 0.0


def overlap_at(count: int, one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """Share of the ``count`` largest positions that both have in common (of all, if there are fewer).

    >>> overlap_at(2, np.array([3.0, 2.0, 1.0]), np.array([3.0, 0.0, 2.0]))
    0.5
    """
    count = min(count, len(one))
    if not count:
        return 0.0
    tops = [set(np.argsort(-values, kind="stable")[:count].tolist()) for values in (one, other)]
    return len(tops[0] & tops[1]) / count


def _ranks(values: NDArray[np.floating]) -> NDArray[np.float64]:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[inverse], dtype=np.float64)
