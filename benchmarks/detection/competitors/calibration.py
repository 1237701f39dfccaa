"""Thresholds at a matched false-alarm rate: what a careful user of a test per window would do.

Quiet windows are drawn from one random half of the baseline and scored against the other half, for
several halvings. The wanted quantile, 1 - 1 / mean_windows, lies beyond so few windows, so it is
extrapolated by an exponential tail: q_.9 + mean excess over q_.9 * ln(.1 mean_windows). Scores are
scaled by what their sampling error grows with (1/n + 1/m), so that a threshold found on half a
baseline holds for the whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from benchmarks.detection.competitors.method import Reference
from benchmarks.detection.pools import Pool

Scores = Callable[[Pool], NDArray[np.float64]]
"""Scores of a window, larger for more drift, already scaled."""
HALVINGS = 6
WINDOWS = 40
TAIL = 0.9


def quiet_scores(reference: Reference, score_against: Callable[[Pool], Scores]) -> NDArray[np.float64]:
    """Scores (window, score) of quiet windows: one half of the baseline against the other.

    Windows larger than half the baseline are drawn with replacement.
    """
    baseline, draw, found = reference.baseline, reference.draw, []
    for _ in range(HALVINGS):
        order = draw.permutation(len(baseline))
        half = len(baseline) // 2
        score, others = score_against(baseline.take(order[:half])), order[half:]
        for _ in range(WINDOWS):
            rows = draw.choice(others, reference.size, replace=reference.size > len(others))
            found.append(score(baseline.take(rows)))
    return np.array(found)


def matched_threshold(scores: NDArray[np.float64], mean_windows: float) -> NDArray[np.float64]:
    """The score that quiet windows exceed once in ``mean_windows``, per column of (window, score).

    >>> draw = np.random.default_rng(0).exponential(size=(5000, 1))
    >>> bool(abs(matched_threshold(draw, 1000)[0] - np.log(1000)) < 0.5)
    True
    """
    start = np.quantile(scores, TAIL, axis=0)
    over = scores - start
    excess = np.where(over > 0, over, 0).sum(axis=0) / np.maximum((over > 0).sum(axis=0), 1)
    return start + excess * math.log((1 - TAIL) * mean_windows)


def pooled_size(reference: int, window: int) -> float:
    """1 / (1/n + 1/m).

    >>> pooled_size(200, 200)
    100.0
    """
    return reference * window / (reference + window)
