"""Principal components of the baseline, by the smaller of the two Gram matrices (the same, and quick)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def principal_components(centred: NDArray[np.floating], most: int) -> tuple[Floats, Floats]:
    """Axes (feature, component) of unit length and their variances, largest first.

    ``centred`` (sample, feature) has column means of 0. Axes below a millionth of the largest
    variance are left out.
    """
    rows, columns = centred.shape
    wide = columns > rows
    gram = centred @ centred.T if wide else centred.T @ centred
    values, vectors = np.linalg.eigh(gram.astype(np.float64) / rows)
    kept = min(most, max(1, int((values > 1e-6 * values[-1]).sum())))
    variance = np.maximum(values[::-1][:kept], 1e-12)
    vectors = vectors[:, ::-1][:, :kept]
    axes = centred.T @ vectors / np.sqrt(variance * rows) if wide else vectors
    return np.ascontiguousarray(axes), variance
