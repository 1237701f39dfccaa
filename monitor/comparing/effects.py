"""How far each head moved between two checkpoints, and which head the change began with.

For head h and statistic k over the samples s: d_s = after_s - before_s, on the same input.

    spread = sd of before over the samples (at least .001)
    effect = mean d / spread                (signed: the change of the mean)
    size   = sqrt(mean d^2) / spread        (how far a typical sample moved, whichever way)

A head's size is the largest of its statistics'. Equal weights in equal batches give exactly 0; other
batches gave up to .007, so a size up to ``TOLERANCE`` is nothing. A head has *moved* where its size
is over ``FLOOR_FACTOR`` times its noise floor too: the size that running the same weights in bfloat16
gives it, or gives the median head if that is more. Of 36 random perturbations of all weights within
bfloat16's rounding, each of 72 heads, one head came over that, to 1.09 of its limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.drift.changes import Changes

TOLERANCE = 0.01
FLOOR_FACTOR = 5.0
SMALLEST_SPREAD = 1e-3
MOST_ORIGINS = 10
Place = tuple[int, int]
Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """All (layer, head, statistic). A value that is no number in the candidate has an infinite size."""

    before: Values
    after: Values
    effect: Values
    size: Values

    @property
    def by_head(self) -> Values:
        """(layer, head): the size of the statistic that moved most."""
        return np.asarray(self.size.max(axis=2))


def effects(before: NDArray[np.floating], after: NDArray[np.floating]) -> Effects:
    """Paired change of profiles (sample, layer, head, statistic) of the same samples."""
    first, second = before.astype(np.float64), after.astype(np.float64)
    spread = np.maximum(first.std(axis=0), SMALLEST_SPREAD)
    # a broken candidate gives infinities, and their differences
    with np.errstate(invalid="ignore", over="ignore"):
        moved = second - first
        size = np.sqrt((moved**2).mean(axis=0)) / spread
        return Effects(
            before=first.mean(axis=0),
            after=second.mean(axis=0),
            effect=moved.mean(axis=0) / spread,
            size=np.nan_to_num(size, nan=np.inf, posinf=np.inf),
        )


def noise_floor(before: NDArray[np.floating], rounded: NDArray[np.floating]) -> Values:
    """(layer, head): what a lower precision does to a head, or to the median head if that is more.

    ``rounded`` are the first of the samples in ``before``; the spread is that of all.
    """
    count = len(rounded)
    spread = np.maximum(before.astype(np.float64).std(axis=0), SMALLEST_SPREAD)
    moved = rounded.astype(np.float64) - before[:count]
    own = np.nan_to_num(np.sqrt((moved**2).mean(axis=0)) / spread, nan=0.0, posinf=0.0).max(axis=2)
    return np.maximum(own, np.median(own))


def limits(floor: Values | None, shape: Place) -> Values:
    """(layer, head): the size above which a head has moved."""
    least = np.full(shape, TOLERANCE)
    return least if floor is None else np.maximum(least, FLOOR_FACTOR * floor)


def first_moved(by_head: Values, moved: NDArray[np.bool_], order: Sequence[int] = ()) -> Place | None:
    """The strongest head of the first layer in which one moved: later layers only inherit it.

    ``order``: the layers as they run; empty where they are numbered so.
    """
    there = np.asarray(moved.any(axis=1))
    layer = next((layer for layer in order or range(len(moved)) if there[layer]), None)
    return None if layer is None else (layer, int(np.where(moved[layer], by_head[layer], -1.0).argmax()))


def origins(
    by_head: Values, moved: NDArray[np.bool_], found: Changes, order: Sequence[int] = ()
) -> tuple[tuple[Place, ...], str]:
    """The heads that the change began with, and by what they are told: ``weights`` or ``behaviour``.

    Where parameters are known to differ, those heads whose own do, if nothing else differs and they
    are few; none if other parts differ too. Else the head that ``first_moved`` gives.
    """
    if found.parameters:
        alone = not found.layers and not found.modules and len(found.heads) <= MOST_ORIGINS
        places = [(item.layer, item.head) for item in found.heads] if alone else []
        turn = {layer: place for place, layer in enumerate(order or range(len(moved)))}
        return tuple(sorted(places, key=lambda place: (turn[place[0]], -by_head[place]))), "weights"
    first = first_moved(by_head, moved, order)
    return (() if first is None else (first,)), "behaviour"
