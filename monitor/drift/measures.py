"""A channel of measured features: bets A on every feature; for the heads, direction B and charts C too.

``heads``, ``rollout``, ``prediction`` and ``input`` are this same part with other columns.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from monitor.drift.arrays import Arrays, nest, part
from monitor.drift.bets import EXTREMES, FEW_LEVEL, FEW_MOVED, FEW_Z, STAKES, RankBets, fit_bets
from monitor.drift.direction import SHAPE, Direction, DirectionMemory, fit_direction
from monitor.drift.effects import Recent, no_windows
from monitor.drift.evidence import Floats, Streams, fresh, log_mean
from monitor.drift.length import LengthModel, fit_length
from monitor.drift.novelty import SMALLEST, Novelty, fit_novelty

PARTS = ("single heads", "learned direction", "unusual samples")


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureState:
    """Evidence (feature, kind, stake), what was seen lately, and the evidence and memory of B and C."""

    streams: Streams
    recent: Recent
    along: Streams
    memory: DirectionMemory
    charts: Streams

    def to_arrays(self) -> Arrays:
        """Plain arrays for an npz file."""
        return nest(
            {
                "streams": self.streams.to_arrays(),
                "recent": self.recent.to_arrays(),
                "along": self.along.to_arrays(),
                "memory": self.memory.to_arrays(),
                "charts": self.charts.to_arrays(),
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
            charts=Streams.from_arrays(part(arrays, "charts")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One window as a channel sees it: scores of A and C, component scores of B (heads only)."""

    scores: Floats
    components: Floats | None = None
    charts: Floats | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """B and C: what is seen of all features together."""

    direction: Direction
    novelty: Novelty


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """A fitted channel. ``before`` (feature): the baseline's means in raw units."""

    before: Floats
    length: LengthModel
    bets: RankBets
    whole: Whole | None

    @property
    def features(self) -> int:
        """How many features the channel has."""
        return len(self.before)

    def fresh(self) -> MeasureState:
        """What stands before the first window."""
        kinds = len(self.bets.kinds)
        charts = (
            (0, 0) if self.whole is None else (self.whole.novelty.charts, len(self.whole.novelty.bets.kinds))
        )
        return MeasureState(
            streams=fresh((self.features, kinds, STAKES)),
            recent=no_windows(self.features, 2 + len(self.bets.tails)),
            along=fresh(SHAPE),
            memory=_NO_MEMORY if self.whole is None else self.whole.direction.fresh(),
            charts=fresh((*charts, STAKES)),
        )

    def step(
        self,
        state: MeasureState,
        values: NDArray[np.floating],
        log_tokens: NDArray[np.floating],
        window: int,
        power: float,
    ) -> tuple[MeasureState, Seen]:
        """The state after a window of ``values`` (sample, feature), each sample worth ``power``."""
        standard = self.length.apply(values, log_tokens)
        scores = self.bets.scores(self.bets.ranks(standard))
        stepped = replace(
            state,
            streams=state.streams.step(self.bets.gains(scores, power), window),
            recent=state.recent.add(window, values, standard, scores),
        )
        if self.whole is None:
            return stepped, Seen(scores=scores)
        novelty, direction = self.whole.novelty, self.whole.direction
        ranks = novelty.bets.ranks(novelty.values(values, log_tokens))
        unusual = novelty.bets.scores(ranks)
        components = direction.scores(novelty.folds[0].length.apply(values, log_tokens))
        memory, gains = direction.play(state.memory, components, novelty.unusual(ranks), power)
        stepped = replace(
            stepped,
            along=state.along.step(gains, window),
            memory=memory,
            charts=state.charts.step(novelty.bets.gains(unusual, power), window),
        )
        return stepped, Seen(scores=scores, components=components, charts=unusual)

    def evidence(self, state: MeasureState) -> tuple[float, ...]:
        """The log R of A and, for the heads, of B and of C."""
        single = float(log_mean(state.streams.log_r))
        if self.whole is None:
            return (single,)
        return single, float(log_mean(state.along.log_r)), float(log_mean(state.charts.log_r))

    def pooled(self, state: MeasureState) -> float:
        """The log R of the channel: the mean of its parts."""
        return float(log_mean(np.array(self.evidence(state))))


_NO_MEMORY = DirectionMemory(means=np.zeros((0, 2, 0)), sizes=np.zeros((0, 2)))


def fit_measures(
    values: NDArray[np.floating],
    log_tokens: NDArray[np.floating],
    times: NDArray[np.float64],
    *,
    statistics: int,
    length_out: bool,
) -> Measures:
    """Freeze a channel's baseline: values (sample, feature), their lengths and times.

    ``statistics``: of every head, for the channel of the heads, which gets B and C; 0 for the few
    measures of other channels, which get more tails instead.
    """
    length = fit_length(values, log_tokens, use=length_out)
    standard = length.apply(values, log_tokens)
    whole = None
    if statistics and len(values) >= SMALLEST:
        novelty, own = fit_novelty(values, log_tokens, times, statistics)
        unusual = novelty.unusual(novelty.bets.ranks(own))
        # lengths as the even blocks have them: the odd ones, which samples are ranked in, had no part
        fair = novelty.folds[0].length.apply(values, log_tokens)
        whole = Whole(direction=fit_direction(fair, unusual, times), novelty=novelty)
    return Measures(
        before=np.asarray(values, dtype=np.float64).mean(axis=0),
        length=length,
        bets=fit_bets(standard, times)
        if statistics
        else fit_bets(standard, times, EXTREMES, FEW_Z, FEW_LEVEL, moved=FEW_MOVED),
        whole=whole,
    )
