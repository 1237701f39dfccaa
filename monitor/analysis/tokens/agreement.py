"""How far two methods agree about the tokens of one input."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from monitor.records import Agreement

OVERLAP = 5


def agreement(one: NDArray[np.floating], other: NDArray[np.floating], content: Sequence[int]) -> Agreement:
    """Rank correlation and overlap of the top 5, by magnitude over the content positions.

    >>> agreement(np.array([9.0, 1.0, -2.0]), np.array([0.0, 0.1, 0.2]), [1, 2])
    Agreement(spearman=1.0, overlap_at_5=1.0)
    """
    places = np.asarray(content, dtype=np.int64)
    first, second = np.abs(one[places]), np.abs(other[places])
    return Agreement(spearman=spearman(first, second), overlap_at_5=overlap_at(OVERLAP, first, second))


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
