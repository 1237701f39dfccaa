"""Named arrays as the one form of every detector state: they go into an npz file as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]


def nest(parts: Mapping[str, Arrays]) -> dict[str, NDArray[Any]]:
    """Join the arrays of several parts under ``part/name``.

    >>> sorted(nest({"a": {"x": np.zeros(1)}, "b": {"x": np.ones(1)}}))
    ['a/x', 'b/x']
    """
    return {f"{part}/{name}": value for part, arrays in parts.items() for name, value in arrays.items()}


def part(arrays: Arrays, name: str) -> dict[str, NDArray[Any]]:
    """The arrays of one part; the inverse of ``nest``."""
    prefix = f"{name}/"
    return {key[len(prefix) :]: value for key, value in arrays.items() if key.startswith(prefix)}


def scalar(value: float | str) -> NDArray[Any]:
    """One number or text as a 0-dimensional array."""
    return np.array(value)
