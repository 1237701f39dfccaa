"""Text-embedding drift: maximum mean discrepancy of the encoder's pooled output.

MMD^2 with the kernel exp(-|x - y|^2 / (2 s^2)), s^2 half the median squared distance, unbiased
(Gretton et al. 2012, eq. 3). The threshold per window is the .95 quantile over random windows taken
out of the baseline, and a second one is at the matched rate.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.detection.competitors.calibration import WINDOWS, matched_threshold, pooled_size
from benchmarks.detection.competitors.method import Begin, Method, Reference, without_memory
from benchmarks.detection.pools import Pool

PERMUTATIONS = 12 * WINDOWS
Floats = NDArray[np.float64]


def squared_distances(one: Floats, other: Floats) -> Floats:
    """|x - y|^2 of every pair of rows."""
    squares = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1)
    return np.maximum(squares - 2 * one @ other.T, 0.0)


def unbiased_mmd(within: float, own: Floats, between: Floats) -> float:
    """MMD^2 from the baseline's mean kernel ``within``, the window's ``own`` and the one ``between``."""
    size = len(own)
    return within + float((own.sum() - np.trace(own)) / (size * (size - 1))) - 2 * float(between.mean())


def permuted(kernel: Floats, window: int, draw: np.random.Generator) -> Floats:
    """MMD^2 of random windows taken out of the sample, against the rest of it (permutation,)."""
    count = len(kernel)
    rest = count - window
    inside = np.zeros((count, PERMUTATIONS))
    for column in inside.T:
        column[draw.choice(count, window, replace=False)] = 1.0
    sums, diagonal = kernel.sum(axis=1), np.diag(kernel)
    both = kernel @ inside
    own = (inside * both).sum(axis=0)
    own_diagonal = inside.T @ diagonal
    between = inside.T @ sums - own
    others = kernel.sum() - own - 2 * between
    return (
        (own - own_diagonal) / (window * (window - 1))
        + (others - (diagonal.sum() - own_diagonal)) / (rest * (rest - 1))
        - 2 * between / (window * rest)
    )


def _fit(reference: Reference) -> Begin:
    own = reference.baseline.pooled.astype(np.float64)
    distances = squared_distances(own, own)
    width = float(np.median(distances[np.triu_indices(len(own), 1)])) or 1.0
    kernel = np.exp(-distances / width)
    count = len(own)
    within = float((kernel.sum() - np.trace(kernel)) / (count * (count - 1)))
    window = min(reference.size, count // 2)
    quiet = pooled_size(count - window, window) * permuted(kernel, window, reference.draw)
    limits = np.quantile(quiet, 0.95), matched_threshold(quiet[:, None], reference.mean_windows)[0]

    def decide(seen: Pool) -> tuple[bool, ...]:
        values = seen.pooled.astype(np.float64)
        found = unbiased_mmd(
            within,
            np.exp(-squared_distances(values, values) / width),
            np.exp(-squared_distances(values, own) / width),
        )
        scaled = pooled_size(count, len(seen)) * found
        return bool(scaled > limits[0]), bool(scaled > limits[1])

    return without_memory(decide)


METHOD = Method(names=("MMD of embeddings, .05", "MMD of embeddings, matched rate"), fit=_fit)
