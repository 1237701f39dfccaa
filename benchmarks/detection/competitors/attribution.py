"""Drift of attributions: ranks by NDCG as SageMaker Clarify has it, and Jensen-Shannon.

The attribution of a word is the share of the window's texts in which it is among the top-attributed
words; that of a head is the mean of what it writes to the residual stream (``output_norm``).
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import jensenshannon

from benchmarks.detection.competitors.calibration import (
    Scores,
    matched_threshold,
    quiet_scores,
)
from benchmarks.detection.competitors.method import Begin, Method, Reference, without_memory
from benchmarks.detection.pools import Pool

Floats = NDArray[np.float64]


def ndcg(before: Floats, now: Floats) -> float:
    """The baseline's attributions in the window's order, discounted, over those in their own order.

    DCG = sum of a_(i) / log2(i + 1), where a is the baseline's attribution of the window's i-th feature.

    >>> ndcg(np.array([3.0, 2.0, 1.0]), np.array([30.0, 20.0, 10.0]))
    1.0
    """
    discount = 1 / np.log2(np.arange(2, len(before) + 2))
    ideal = (np.sort(before)[::-1] * discount).sum()
    return float((before[np.argsort(-now, kind="stable")] * discount).sum() / ideal) if ideal > 0 else 1.0


def divergence(before: Counter[str], now: Counter[str]) -> float:
    """Jensen-Shannon distance (base 2, within [0, 1]) between two distributions of words."""
    words = sorted({*before, *now})
    p, q = (np.array([counts[word] for word in words], dtype=np.float64) for counts in (before, now))
    if not p.sum() or not q.sum():
        return 0.0
    return float(jensenshannon(p, q, base=2))


def top_words(pool: Pool) -> Counter[str]:
    """In how many texts each word was among the top-attributed ones."""
    return Counter(word for words in pool.features.top_words for word in set(words))


def head_output(pool: Pool, statistic: int) -> Floats:
    """What every head writes to the residual stream, in the mean (layer * head,)."""
    return np.exp(pool.features.profile[..., statistic].astype(np.float64)).mean(axis=0).ravel()


def _words(reference: Pool) -> Scores:
    before = top_words(reference)
    return lambda window: np.array([divergence(before, top_words(window))])


def _fit(reference: Reference) -> Begin:
    statistic = reference.world.statistics.index("output_norm")
    before, counts = head_output(reference.baseline, statistic), top_words(reference.baseline)
    names = sorted(counts)
    rates = np.array([counts[name] for name in names], dtype=np.float64)
    limit = matched_threshold(quiet_scores(reference, _words), reference.mean_windows)
    # words that were never seen make the distance grow as no sampling error does: only a reference of
    # the size of those that gave the threshold keeps its rate
    half = _words(reference.baseline.take(range(0, len(reference.baseline), 2)))

    def decide(window: Pool) -> tuple[bool, ...]:
        now = top_words(window)
        return (
            ndcg(before, head_output(window, statistic)) < 0.9,
            bool(names) and ndcg(rates, np.array([float(now[name]) for name in names])) < 0.9,
            divergence(counts, now) > 0.3,
            bool(half(window)[0] > limit[0]),
        )

    return without_memory(decide)


METHOD = Method(
    names=(
        "NDCG < .9 of heads",
        "NDCG < .9 of words",
        "Jensen-Shannon > .3 of words",
        "Jensen-Shannon of words, matched rate",
    ),
    fit=_fit,
)
