"""Evidence that accumulates over windows: Shiryaev-Roberts e-detectors, kept in logs.

For a stream of bets whose product over window t is X_t with E[X_t | past] <= 1 while nothing has
changed, R_t = (R_{t-1} + 1) X_t. Then R_t - t is a supermartingale, so the mean time until
R_t >= c is at least c windows: the false-alarm guarantee. Averages of such streams, with weights
that sum to 1, keep it. W_t = max(W_{t-1}, 1) X_t (the CUSUM form) only dates the change: the window
at which it last left 1.

Shin, Ramdas & Rinaldo 2022, "E-detectors"; Shiryaev 1963; Roberts 1966.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.drift.arrays import Arrays

Floats = NDArray[np.float64]
CARRIED = 50.0
"""At most so much log evidence is carried over, so that ended drift can be forgotten (valid: less)."""
LARGEST_WINDOW = 400
"""Windows with more samples are weighed as this many: E[X^a] <= 1 for a <= 1 (Jensen)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """Many streams of any shape: log R, log W and the window at which W last left 1."""

    log_r: Floats
    log_w: Floats
    start: NDArray[np.int64]

    def step(self, gain: Floats, window: int) -> Streams:
        """The streams after a window in which each gained ``gain`` = log X."""
        rising = self.log_w > 0
        return Streams(
            log_r=np.minimum(np.logaddexp(self.log_r, 0.0), CARRIED) + gain,
            log_w=np.minimum(np.maximum(self.log_w, 0.0), CARRIED) + gain,
            start=np.where(rising, self.start, window),
        )

    def to_arrays(self) -> Arrays:
        """Plain arrays for an npz file."""
        return {"log_r": self.log_r, "log_w": self.log_w, "start": self.start}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Streams:
        """The inverse of ``to_arrays``."""
        return cls(log_r=arrays["log_r"], log_w=arrays["log_w"], start=arrays["start"])


def fresh(shape: tuple[int, ...]) -> Streams:
    """Streams that have seen nothing: R = 0."""
    return Streams(
        log_r=np.full(shape, -np.inf), log_w=np.full(shape, -np.inf), start=np.zeros(shape, dtype=np.int64)
    )


def temper(samples: int) -> float:
    """The power to which a window's product is raised."""
    return min(1.0, LARGEST_WINDOW / samples)


def log_mean(log_values: Floats, axis: int | tuple[int, ...] | None = None) -> Floats:
    """The log of the mean of exp(log_values).

    >>> float(log_mean(np.log(np.array([1.0, 3.0]))).round(6)) == round(float(np.log(2)), 6)
    True
    """
    largest = np.max(log_values, axis=axis, keepdims=True)
    largest = np.where(np.isfinite(largest), largest, 0.0)
    with np.errstate(divide="ignore"):
        mean = np.log(np.mean(np.exp(log_values - largest), axis=axis, keepdims=True)) + largest
    return np.squeeze(mean, axis=axis)
