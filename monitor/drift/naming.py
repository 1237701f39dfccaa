"""Which of many may be named: e-BH, valid however the streams depend on each other.

Sort log e descending; the k-th is named if it and all before it fulfil e_(j) >= n / (alpha k) for
the largest such k, with alpha = 1/ARL. Wang & Ramdas 2022, "False discovery rate control with
e-values".
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def named(log_e: Sequence[float], *, count: int, log_limit: float) -> list[int]:
    """Indices of the named ones, strongest first; ``count`` is how many there are in all.

    >>> named([12.0, 0.0, 11.0], count=3, log_limit=math.log(100))
    [0, 2]
    """
    order = np.argsort(-np.asarray(log_e, dtype=np.float64), kind="stable").tolist()
    passed = 0
    for rank, index in enumerate(order, start=1):
        if log_e[index] >= math.log(count / rank) + log_limit:
            passed = rank
    return order[:passed]
