"""The newest samples' input measures, one by one: what pipeline faults are recognised by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.drift.arrays import Arrays
from monitor.records import INPUT_MEASURES

MEASURES = (*INPUT_MEASURES, "surprisal")
KEPT = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class RecentInputs:
    """``values`` (sample, measure) after MEASURES, and the window (sample,) of each; newest last."""

    windows: NDArray[np.int64]
    values: NDArray[np.float32]

    def to_arrays(self) -> Arrays:
        """Plain arrays for an npz file."""
        return {"windows": self.windows, "values": self.values}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> RecentInputs:
        """The inverse of ``to_arrays``."""
        return cls(windows=arrays["windows"], values=arrays["values"])

    def add(self, window: int, values: NDArray[np.floating]) -> RecentInputs:
        """With the samples of one more window."""
        joined: NDArray[np.float32] = np.concatenate([self.values, values.astype(np.float32)])
        numbers = np.concatenate([self.windows, np.full(len(values), window)])
        return RecentInputs(windows=numbers[-KEPT:], values=joined[-KEPT:])

    def since(self, window: int) -> NDArray[np.float32]:
        """The samples (sample, measure) from ``window`` on."""
        return self.values[self.windows >= window]


def no_inputs() -> RecentInputs:
    """Nothing seen yet."""
    return RecentInputs(
        windows=np.zeros(0, dtype=np.int64), values=np.zeros((0, len(MEASURES)), dtype=np.float32)
    )
