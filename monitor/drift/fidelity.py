"""Served against replayed prediction: how often the labels differ, and how often probabilities part.

Two yes/no streams: label differs; |gap| above max(.05, the baseline's 99 % quantile). p0 is the
Clopper-Pearson upper bound (level .0001) of the baseline's rate, at least .02 (also when the
baseline has fewer than 300 served answers), + 1.5 times the sd of its wobble between time blocks, which also
tempers a window as in ``bets``; likelihood-ratio bets at p1 in {.05, .1, .3, .9} where p1 > 1.2 p0,
averaged, Shiryaev-Roberts over windows. Samples without a served answer take no part.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.drift.arrays import Arrays
from monitor.drift.blocks import intraclass
from monitor.drift.evidence import Floats, Streams, fresh, log_mean
from monitor.drift.rates import tempered, upper_bound

RATES = (0.05, 0.1, 0.3, 0.9)
MEASURES = ("label_differs", "probability_gap")
_UNKNOWN = 0.02
_ENOUGH = 300
_NEVER = -1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class FidelityState:
    """Streams (measure, p1), and hits and trials of each measure since its evidence began to rise."""

    streams: Streams
    hits: Floats
    trials: Floats

    def to_arrays(self) -> Arrays:
        """Plain arrays for an npz file."""
        return {**self.streams.to_arrays(), "hits": self.hits, "trials": self.trials}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> FidelityState:
        """The inverse of ``to_arrays``."""
        return cls(streams=Streams.from_arrays(arrays), hits=arrays["hits"], trials=arrays["trials"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Fidelity:
    """Fitted on the baseline: the gap that counts, the baseline's rates, bounds and wobble (measure,)."""

    gap: float
    before: Floats
    bound: Floats
    wobble: Floats

    def fresh(self) -> FidelityState:
        """What stands before the first window."""
        return FidelityState(streams=fresh((2, len(RATES))), hits=np.zeros(2), trials=np.zeros(2))

    def events(self, fidelity: NDArray[np.floating]) -> tuple[Floats, Floats]:
        """Events 0/1 (sample, measure) of (sample, 2), and where they are known."""
        known = np.isfinite(fidelity)
        events = np.nan_to_num(fidelity) > np.array([0.5, self.gap])
        return (events & known).astype(np.float64), known.astype(np.float64)

    def step(
        self, state: FidelityState, fidelity: NDArray[np.floating], window: int, power: float
    ) -> FidelityState:
        """The state after a window; unchanged if nothing was served."""
        events, known = self.events(fidelity)
        hits, trials = events.sum(axis=0), known.sum(axis=0)
        if not trials.any():
            return state
        rising = state.streams.log_w.max(axis=1) > 0
        return FidelityState(
            streams=state.streams.step(self._gains(hits, trials, power), window),
            hits=np.where(rising, state.hits, 0.0) + hits,
            trials=np.where(rising, state.trials, 0.0) + trials,
        )

    def evidence(self, state: FidelityState) -> float:
        """The log of the mean R over measures and bets."""
        return float(log_mean(state.streams.log_r))

    def _gains(self, hits: Floats, trials: Floats, power: float) -> Floats:
        gains = np.full((2, len(RATES)), _NEVER)
        for measure, bound in enumerate(self.bound):
            for index, rate in enumerate(RATES):
                if rate > 1.2 * bound:
                    failed = trials[measure] - hits[measure]
                    won, lost = math.log(rate / bound), math.log((1 - rate) / (1 - bound))
                    counts = tempered(power, float(trials[measure]), self.wobble[measure], bound, rate)
                    gains[measure, index] = counts * (hits[measure] * won + failed * lost)
        return gains


def fit_fidelity(fidelity: NDArray[np.floating], times: NDArray[np.float64]) -> Fidelity:
    """Fit on the baseline's (sample, 2); rows without a served answer are NaN."""
    gaps = fidelity[:, 1][np.isfinite(fidelity[:, 1])]
    fitted = Fidelity(
        gap=max(0.05, float(np.quantile(gaps, 0.99))) if len(gaps) else 0.05,
        before=np.zeros(2),
        bound=np.full(2, _UNKNOWN),
        wobble=np.zeros(2),
    )
    events, known = fitted.events(fidelity)
    hits, trials = events.sum(axis=0), known.sum(axis=0)
    bounds = [
        max(_UNKNOWN, float(upper_bound([int(hit)], int(trial), 1e-4)[0])) if trial >= _ENOUGH else _UNKNOWN
        for hit, trial in zip(hits, trials, strict=True)
    ]
    before = hits / np.maximum(trials, 1.0)
    wobble = np.zeros(2)
    for measure in range(2):
        rows = known[:, measure] > 0
        if rows.sum() >= _ENOUGH:
            column = events[rows, measure : measure + 1]
            wobble[measure] = float(np.sqrt(intraclass(column, times[rows]) * column.var(axis=0))[0])
    bound = np.minimum(np.maximum(bounds, 2 * before) + 1.5 * wobble, 0.99)
    return Fidelity(gap=fitted.gap, before=before, bound=bound, wobble=wobble)
