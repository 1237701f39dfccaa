"""A way to decide whether a window has drifted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.detection.pools import Pool, World

Decide = Callable[[Pool], tuple[bool, ...]]
"""Judges the next window of a stream: one answer per name of the method."""
Begin = Callable[[], Decide]
"""Starts on a new stream with the same baseline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What a method may learn from: the baseline, and the size of the windows to come.

    ``mean_windows``: the windows between false alarms that matched rates are calibrated to.
    """

    world: World
    baseline: Pool
    size: int
    mean_windows: float
    draw: np.random.Generator


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """Deciders that share one computation, ``names`` in the order of their answers.

    ``installed``: whether what it needs is there. ``slow``: judges a few windows only.
    """

    names: tuple[str, ...]
    fit: Callable[[Reference], Begin]
    installed: Callable[[], bool] = lambda: True
    slow: bool = False


def without_memory(decide: Decide) -> Begin:
    """Begin for deciders that judge every window by itself."""
    return lambda: decide
