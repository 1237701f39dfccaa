"""ADWIN and Page-Hinkley of river, with its default settings, on every sample of a few series.

The series: probability of the predicted class, log of the token count, and the first six principal
components of the head statistics, each standardised by the baseline. The baseline is fed first. A
window is in alarm if any detector found a change in one of its samples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.detection.competitors.kolmogorov import head_columns
from benchmarks.detection.competitors.method import Begin, Decide, Method, Reference
from benchmarks.detection.pools import Pool

COMPONENTS = 6
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """The baseline's means and deviations, and the directions of its principal components."""

    mean: Floats
    deviation: Floats
    directions: Floats
    centre: Floats
    scale: Floats

    @classmethod
    def of(cls, baseline: Pool) -> Series:
        """Components by singular value decomposition of the standardised head statistics."""
        values = head_columns(baseline).astype(np.float64)
        mean, deviation = values.mean(axis=0), values.std(axis=0)
        deviation = np.where(deviation > 0, deviation, 1.0)
        _, _, rows = np.linalg.svd((values - mean) / deviation, full_matrices=False)
        bare = cls(
            mean=mean,
            deviation=deviation,
            directions=rows[:COMPONENTS].T,
            centre=np.zeros(1),
            scale=np.ones(1),
        )
        found = bare.values(baseline)
        scale = found.std(axis=0)
        return cls(
            mean=mean,
            deviation=deviation,
            directions=bare.directions,
            centre=found.mean(axis=0),
            scale=np.where(scale > 0, scale, 1.0),
        )

    def values(self, pool: Pool) -> Floats:
        """The series (sample, series) of a window."""
        heads = (head_columns(pool) - self.mean) / self.deviation @ self.directions
        others = [pool.features.inputs[:, 0], *pool.features.prediction.T[:1]]
        return (np.column_stack([*others, heads]) - self.centre) / self.scale


def _fitting(make: Callable[[], Any]) -> Callable[[Reference], Begin]:
    def fit(reference: Reference) -> Begin:
        series = Series.of(reference.baseline)
        first = series.values(reference.baseline)

        def begin() -> Decide:
            detectors = [make() for _ in first.T]
            _feed(detectors, first)
            return lambda window: (_feed(detectors, series.values(window)),)

        return begin

    return fit


def _feed(detectors: list[Any], values: Floats) -> bool:
    found = False
    for detector, column in zip(detectors, values.T, strict=True):
        for value in column.tolist():
            detector.update(value)
            found = found or detector.drift_detected
    return found


def _has_river() -> bool:
    return find_spec("river") is not None


def _adwin() -> Any:
    from river.drift import ADWIN

    return ADWIN()


def _page_hinkley() -> Any:
    from river.drift import PageHinkley

    return PageHinkley()


METHODS = (
    Method(names=("ADWIN",), fit=_fitting(_adwin), installed=_has_river),
    Method(names=("Page-Hinkley",), fit=_fitting(_page_hinkley), installed=_has_river),
)
