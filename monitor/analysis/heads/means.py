"""Measures of heads over many samples, in memory that does not grow with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Moments = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadMeans:
    """Count, sum and sum of squares of each (layer, head, measure) over samples: a monoid.

    A value that is NaN counts for no sample. ``measures`` names the last axis.
    """

    measures: tuple[str, ...]
    count: Moments
    total: Moments
    squares: Moments

    @classmethod
    def nothing(cls, measures: tuple[str, ...], layers: int, heads: int) -> HeadMeans:
        """Of no sample: ``merge`` with it changes nothing."""
        zeros = np.zeros((layers, heads, len(measures)))
        return cls(measures=measures, count=zeros, total=zeros, squares=zeros)

    def with_samples(self, values: NDArray[np.floating]) -> HeadMeans:
        """``values`` (sample, layer, head, measure) added."""
        known = ~np.isnan(values)
        filled = np.where(known, values, 0.0).astype(np.float64)
        return HeadMeans(
            measures=self.measures,
            count=self.count + known.sum(axis=0),
            total=self.total + filled.sum(axis=0),
            squares=self.squares + (filled**2).sum(axis=0),
        )

    def merge(self, other: HeadMeans) -> HeadMeans:
        """The samples of both."""
        return HeadMeans(
            measures=self.measures,
            count=self.count + other.count,
            total=self.total + other.total,
            squares=self.squares + other.squares,
        )

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """Plain arrays for an npz file."""
        return {
            "measures": np.array(self.measures, dtype=np.str_),
            "count": self.count,
            "total": self.total,
            "squares": self.squares,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> HeadMeans:
        """The inverse of ``to_arrays``."""
        count, total, squares = (
            arrays[name].astype(np.float64, copy=False) for name in ("count", "total", "squares")
        )
        measures = tuple(str(name) for name in arrays["measures"])
        return cls(measures=measures, count=count, total=total, squares=squares)

    @property
    def mean(self) -> Moments:
        """(layer, head, measure); NaN where no sample had a value."""
        with np.errstate(invalid="ignore"):
            return self.total / self.count

    @property
    def standard_error(self) -> Moments:
        """Of the mean; NaN below two samples."""
        with np.errstate(invalid="ignore", divide="ignore"):
            variance = (self.squares / self.count - self.mean**2) * self.count / (self.count - 1)
            error: Moments = np.sqrt(np.maximum(variance, 0.0) / self.count)
        return np.where(self.count > 1, error, np.nan)

    def of(self, measure: str) -> Moments:
        """The means (layer, head) of one measure."""
        return self.mean[..., self.measures.index(measure)]
