"""Population stability index of every feature: sum over bins of (q - p) ln(q / p)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.detection.competitors.kolmogorov import head_columns
from benchmarks.detection.competitors.method import Begin, Method, Reference, without_memory
from benchmarks.detection.pools import Pool

BINS = 10
SMALLEST = 1e-4
"""Shares of empty bins are taken to be this, as is usual."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deciles:
    """The baseline's inner decile edges (edge, feature) and its shares (bin, feature)."""

    edges: NDArray[np.float32]
    shares: NDArray[np.float64]

    @classmethod
    def of(cls, values: NDArray[np.float32]) -> Deciles:
        """Edges and shares of (sample, feature)."""
        edges = np.quantile(values, np.arange(1, BINS) / BINS, axis=0).astype(np.float32)
        return cls(edges=edges, shares=_shares(values, edges))

    def index(self, window: NDArray[np.float32]) -> NDArray[np.float64]:
        """The index of every column of a window (sample, feature)."""
        shares = _shares(window, self.edges)
        return ((shares - self.shares) * np.log(shares / self.shares)).sum(axis=0)


def _shares(values: NDArray[np.float32], edges: NDArray[np.float32]) -> NDArray[np.float64]:
    over = np.array([(values > edge).mean(axis=0) for edge in edges])
    ends = np.ones((1, values.shape[1])), np.zeros((1, values.shape[1]))
    return np.maximum(-np.diff(np.concatenate([ends[0], over, ends[1]]), axis=0), SMALLEST)


def _fit(reference: Reference) -> Begin:
    deciles = Deciles.of(head_columns(reference.baseline))

    def decide(window: Pool) -> tuple[bool, ...]:
        largest = deciles.index(head_columns(window)).max()
        return bool(largest > 0.1), bool(largest > 0.2)

    return without_memory(decide)


METHOD = Method(names=("PSI > .1 of any head", "PSI > .2 of any head"), fit=_fit)
