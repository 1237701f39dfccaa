"""How large a change is: recent windows' sums, so that before -> after can be said since the onset."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.drift.arrays import Arrays

KEPT = 16
"""Windows remembered; an older onset is judged by the last ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recent:
    """Sums per window, newest last: ``raw`` values, ``standard`` ones (length-free, in sd) and
    ``scores`` (location, spread, each tail) of every feature; ``sizes`` and indices of the windows.
    """

    windows: NDArray[np.int64]
    sizes: NDArray[np.float64]
    raw: NDArray[np.float32]
    standard: NDArray[np.float32]
    scores: NDArray[np.float32]

    def to_arrays(self) -> Arrays:
        """Plain arrays for an npz file."""
        return {
            "windows": self.windows,
            "sizes": self.sizes,
            "raw": self.raw,
            "standard": self.standard,
            "scores": self.scores,
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Recent:
        """The inverse of ``to_arrays``."""
        return cls(
            windows=arrays["windows"],
            sizes=arrays["sizes"],
            raw=arrays["raw"],
            standard=arrays["standard"],
            scores=arrays["scores"],
        )

    def add(
        self,
        window: int,
        raw: NDArray[np.floating],
        standard: NDArray[np.floating],
        scores: NDArray[np.floating],
    ) -> Recent:
        """With one more window: raw and standard (sample, feature), scores (score, sample, feature)."""

        def joined(old: NDArray[np.float32], total: NDArray[np.floating]) -> NDArray[np.float32]:
            kept: NDArray[np.float32] = np.concatenate([old, total[None].astype(np.float32)])[-KEPT:]
            return kept

        return Recent(
            windows=np.append(self.windows, window)[-KEPT:],
            sizes=np.append(self.sizes, float(len(raw)))[-KEPT:],
            raw=joined(self.raw, raw.sum(axis=0, dtype=np.float64)),
            standard=joined(self.standard, np.clip(standard, -20, 20).sum(axis=0)),
            scores=joined(self.scores, scores.sum(axis=1)),
        )

    def since(self, window: int) -> Since:
        """Means over the windows from ``window`` on (at least the newest)."""
        used = self.windows >= window
        if len(used):
            used[-1] = True
        samples = max(float(self.sizes[used].sum()), 1.0)
        return Since(
            samples=int(samples),
            raw=self.raw[used].sum(axis=0, dtype=np.float64) / samples,
            standard=self.standard[used].sum(axis=0, dtype=np.float64) / samples,
            scores=self.scores[used].sum(axis=0, dtype=np.float64) / samples,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Since:
    """Means per feature since an onset; ``scores`` (score, feature)."""

    samples: int
    raw: NDArray[np.float64]
    standard: NDArray[np.float64]
    scores: NDArray[np.float64]


def no_windows(features: int, scores: int) -> Recent:
    """Nothing seen yet."""
    return Recent(
        windows=np.zeros(0, dtype=np.int64),
        sizes=np.zeros(0),
        raw=np.zeros((0, features), dtype=np.float32),
        standard=np.zeros((0, features), dtype=np.float32),
        scores=np.zeros((0, scores, features), dtype=np.float32),
    )
