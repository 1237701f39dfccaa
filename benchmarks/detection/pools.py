"""What every part of the benchmark passes on: measured samples, and streams of windows drawn from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from monitor.records import Features, ModelIdentity, ProbeReading

Group = Literal["quiet", "wobble", "fault", "shift", "trigger", "life"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Samples measured once: features, the encoder's pooled output (sample, dim), class labels.

    ``labels`` (sample,) are the texts' true classes, -1 where unknown.
    """

    features: Features
    pooled: NDArray[np.float32]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.features)

    def take(self, rows: Sequence[int] | NDArray[np.intp]) -> Pool:
        """The samples at ``rows``, in that order."""
        index = np.asarray(rows, dtype=np.intp)
        return Pool(features=self.features.take(index), pooled=self.pooled[index], labels=self.labels[index])

    def joined(self, other: Pool) -> Pool:
        """The samples of both; the importance of the first."""
        one, two = self.features.to_arrays(), other.features.to_arrays()
        both = {
            item.name: one[item.name]
            if item.name == "importance"
            else np.concatenate([one[item.name], two[item.name]])
            for item in fields(Features)
        }
        return Pool(
            features=Features.from_arrays(both),
            pooled=np.concatenate([self.pooled, other.pooled]),
            labels=np.concatenate([self.labels, other.labels]),
        )

    def at(self, times: NDArray[np.float64]) -> Pool:
        """The same samples, seen at ``times`` (seconds)."""
        return replace(self, features=replace(self.features, times=times))


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A model, what it made of every corpus (``pools``), and its probe's reading in each condition.

    ``readings`` has ``"baseline"`` and one entry per model fault, under the fault's name.
    """

    name: str
    identity: ModelIdentity
    statistics: tuple[str, ...]
    pools: Mapping[str, Pool]
    readings: Mapping[str, ProbeReading]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """A baseline in time order, and windows without end.

    ``onset``: index of the first shifted window (None: never, so that every alarm is false);
    ``end``: of the first quiet one after it.
    """

    baseline: Pool
    windows: Iterator[Pool]
    onset: int | None = None
    end: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One row of the table. ``goal``: the median delay in windows that is wanted, if one is.

    ``build(world, seed, size)`` draws a baseline and windows of ``size`` samples from the pools that
    it ``needs``. ``words`` are those that tell the shift; ``head`` (layer, head) the damaged one.
    """

    name: str
    group: Group
    build: Callable[[World, int, int], Stream]
    goal: float | None = None
    words: tuple[str, ...] = ()
    needs: tuple[str, ...] = ("held_out",)
    head: tuple[int, int] | None = None
