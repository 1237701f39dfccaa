"""A channel of measured features: bets A on every feature and, for the heads, the direction B.

``heads``, ``rollout``, ``prediction`` and ``input`` are this same part with other columns.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from monitor.drift.arrays import Arrays, nest, part
from monitor.drift.bets import KINDS, RankBets, fit_bets
from monitor.drift.direction import MEMORIES, Direction, DirectionMemory, fit_direction
from monitor.drift.effects import Recent, no_windows
from monitor.drift.evidence import Floats, Streams, fresh, log_mean, temper
from monitor.drift.length import LengthModel, fit_length

BETS = (len(KINDS), 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureState:
    """Evidence (feature, kind, lambda), what was seen lately, and the direction's evidence and memory."""

    streams: Streams
    recent: Recent
    along: Streams
    memory: DirectionMemory

    def to_arrays(self) -> Arrays:
        """Plain arrays for an npz file."""
        return nest(
            {
                "streams": self.streams.to_arrays(),
                "recent": self.recent.to_arrays(),
                "along": self.along.to_arrays(),
                "memory": self.memory.to_arrays(),
            }
        )

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> MeasureState:
        """The inverse of ``to_arrays``."""
        return cls(
            streams=Streams.from_arrays(part(arrays, "streams")),
            recent=Recent.from_arrays(part(arrays, "recent")),
            along=Streams.from_arrays(part(arrays, "along")),
            memory=DirectionMemory.from_arrays(part(arrays, "memory")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One window as a channel sees it: ranks and centred scores, and component scores of B."""

    scores: Floats
    components: Floats | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """A fitted channel. ``before`` (feature): the baseline's means in raw units."""

    before: Floats
    length: LengthModel
    bets: RankBets
    direction: Direction | None

    @property
    def features(self) -> int:
        """How many features the channel has."""
        return len(self.before)

    def fresh(self) -> MeasureState:
        """What stands before the first window."""
        memory = self.direction.fresh() if self.direction else _NO_MEMORY
        return MeasureState(
            streams=fresh((self.features, *BETS)),
            recent=no_windows(self.features),
            along=fresh((len(MEMORIES), 2, 3)),
            memory=memory,
        )

    def step(
        self, state: MeasureState, values: NDArray[np.floating], log_tokens: NDArray[np.floating], window: int
    ) -> tuple[MeasureState, Seen]:
        """The state after a window of ``values`` (sample, feature)."""
        standard = self.length.apply(values, log_tokens)
        ranks = self.bets.ranks(standard)
        scores = self.bets.scores(ranks)
        power = temper(len(values))
        stepped = replace(
            state,
            streams=state.streams.step(self.bets.gains(scores) * power, window),
            recent=state.recent.add(window, values, standard, scores),
        )
        if self.direction is None:
            return stepped, Seen(scores=scores, components=None)
        components = self.direction.scores(ranks)
        memory, gains = self.direction.play(state.memory, components)
        along = state.along.step(gains * power, window)
        return replace(stepped, along=along, memory=memory), Seen(scores=scores, components=components)

    def evidence(self, state: MeasureState) -> tuple[float, float]:
        """The log R of A and of B (-inf where there is no B)."""
        single = float(log_mean(state.streams.log_r))
        return single, float(log_mean(state.along.log_r)) if self.direction else -np.inf

    def pooled(self, state: MeasureState) -> float:
        """The log R of the channel: the mean of A and B."""
        single, along = self.evidence(state)
        return single if self.direction is None else float(np.logaddexp(single, along) - np.log(2))


_NO_MEMORY = DirectionMemory(means=np.zeros((0, 0)), sizes=np.zeros(0))


def fit_measures(
    values: NDArray[np.floating],
    log_tokens: NDArray[np.floating],
    blocks: NDArray[np.intp],
    *,
    length_out: bool,
    direction: bool,
) -> Measures:
    """Freeze a channel's baseline: values (sample, feature), their lengths and time blocks."""
    length = fit_length(values, log_tokens, use=length_out)
    bets = fit_bets(length.apply(values, log_tokens), blocks)
    learned = None
    if direction and len(values) >= 64:
        learned = fit_direction(bets.ranks(length.apply(values, log_tokens)), blocks)
    before = np.asarray(values, dtype=np.float64).mean(axis=0)
    return Measures(before=before, length=length, bets=bets, direction=learned)
