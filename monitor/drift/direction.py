"""B: a learned direction. Many small shifts along one line, which no single head shows.

Even time blocks of the baseline: ranks -> normal scores -> whitening into principal components.
From the last m samples seen before: d = mean component scores, V = 1/m + 1/h + v (h samples in the
even blocks, v excess block variance), w = d max(0, 1 - 2V/d^2) / (1 + v / (1/m + 1/h)).
The samples that come **next** are scored along w and ranked among the odd-block baseline rows,
which had no part in w: so the bet is fair whatever w is. Bets upwards only, on the location
2u - 1 (tau = 2.5 * .577 / sqrt(N_odd) + block term) and on the tail 1{u > .98} - .02.
Harmless persistence: what the windows come from may differ from the baseline for good, by somewhat
more than another sample of the baseline's size would (v0 = 1.5 / N in every component). Of the shift
learnt along w, the share v0 / (v0 + 1/m + 1/h) is expected of that alone and added to tau; without
it 120 components of a small, lasting difference add up to an alarm.
A window is played in pieces of about 50 samples: a piece is scored along what the ones before it
taught, so that evidence can come within the first shifted window already.

Shekhar & Ramdas 2021 (predictable bets); James & Stein 1961 (positive-part shrinkage).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from monitor.drift.arrays import Arrays
from monitor.drift.bets import LAMBDAS, TAIL_LAMBDAS
from monitor.drift.blocks import excess_variance

Floats = NDArray[np.float64]
PIECE = 50
MEMORIES = (200, 600, 2000)
"""How many samples back each direction learns from."""
PIECES_KEPT = 48
TAIL = 0.02
HARMLESS = 1.5
LOCATION_SLOPE = 0.564
"""E[2u - 1] of a normal score shifted by a little, per sd: 1 / sqrt(pi)."""
TAIL_SLOPE = 0.07
"""P(u > .98) per sd, a chord over shifts up to half an sd."""
_STEPS = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectionMemory:
    """The last pieces seen, newest last: mean component scores (piece, component) and sizes."""

    means: Floats
    sizes: Floats

    def to_arrays(self) -> Arrays:
        """Plain arrays for an npz file."""
        return {"means": self.means, "sizes": self.sizes}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> DirectionMemory:
        """The inverse of ``to_arrays``."""
        return cls(means=arrays["means"], sizes=arrays["sizes"])

    def add(self, scores: Floats) -> DirectionMemory:
        """The memory after one more piece of (sample, component) scores."""
        means = np.concatenate([self.means, scores.mean(axis=0, keepdims=True)])
        sizes = np.append(self.sizes, float(len(scores)))
        return DirectionMemory(means=means[-PIECES_KEPT:], sizes=sizes[-PIECES_KEPT:])


@dataclass(frozen=True, slots=True, kw_only=True)
class Direction:
    """Fitted components: ``project`` (feature, component), their ``centre``, and the odd rows' scores."""

    normal: Floats
    centre: Floats
    project: Floats
    wobble: Floats
    learnt: int
    harmless: float
    odd: Floats
    odd_blocks: NDArray[np.intp]

    @property
    def components(self) -> int:
        """How many components are kept."""
        return self.project.shape[1]

    def scores(self, ranks: NDArray[np.float32]) -> Floats:
        """Whitened component scores (sample, component) of ranks (sample, feature)."""
        normal = self.normal[np.rint(ranks * _STEPS).astype(np.intp)]
        scores: Floats = (normal - self.centre) @ self.project
        return scores

    def fresh(self) -> DirectionMemory:
        """What stands before the first window."""
        return DirectionMemory(means=np.zeros((0, self.components)), sizes=np.zeros(0))

    def weights(self, memory: DirectionMemory, samples: int) -> tuple[Floats, float]:
        """The direction w (component,) learnt from about the last ``samples``; zeros: no bet.

        And the harmless part of the shift along it: w.d v0 / (v0 + V).
        """
        used = np.cumsum(memory.sizes[::-1])
        pieces = int(np.searchsorted(used, samples) + 1)
        sizes = memory.sizes[-pieces:]
        if sizes.sum() == 0:
            return np.zeros(self.components), 0.0
        mean = sizes @ memory.means[-pieces:] / sizes.sum()
        sampling = 1.0 / sizes.sum() + 1.0 / self.learnt
        variance = sampling + self.wobble
        shrink = np.maximum(0.0, 1.0 - 2.0 * variance / np.maximum(mean**2, 1e-12))
        weights: Floats = mean * shrink / (1.0 + self.wobble / sampling)
        return weights, float(weights @ mean) * self.harmless / (self.harmless + sampling)

    def play(self, memory: DirectionMemory, scores: Floats) -> tuple[DirectionMemory, Floats]:
        """One window's log gains (memory, kind, lambda), and the memory after it."""
        gains = np.zeros((len(MEMORIES), 2, len(LAMBDAS)))
        for piece in np.array_split(scores, max(2, round(len(scores) / PIECE))):
            for index, samples in enumerate(MEMORIES):
                weights, harmless = self.weights(memory, samples)
                if weights.any():
                    gains[index] += self.gains(weights, harmless, piece)
            memory = memory.add(piece)
        return memory, gains

    def line(self, weights: Floats, harmless: float = 0.0) -> DirectionLine:
        """The odd rows of the baseline along ``weights``: what a sample's score is ranked in."""
        reference = self.odd @ weights
        order = np.argsort(reference, kind="stable")
        rows = len(reference)
        ranks = np.empty(rows)
        ranks[order] = (np.arange(rows) + 1.0) / (rows + 1)
        scores = np.stack([2 * ranks - 1, (ranks > 1 - TAIL).astype(np.float64)], axis=1)
        block = 1.5 * np.sqrt(excess_variance(scores, self.odd_blocks))
        allowed = harmless / max(float(reference.std()), 1e-12)
        return DirectionLine(
            weights=weights,
            reference=reference[order],
            slack=2.5 * 0.577 / np.sqrt(rows) + float(block[0]) + LOCATION_SLOPE * allowed,
            tail_slack=max(0.01, 2.5 * 0.14 / np.sqrt(rows)) + float(block[1]) + TAIL_SLOPE * allowed,
        )

    def gains(self, weights: Floats, harmless: float, scores: Floats) -> Floats:
        """Log gains (2, lambda) of the bets on ``scores`` (sample, component) along ``weights``."""
        line = self.line(weights, harmless)
        location, tail = line.scores(scores)
        gains = np.empty((2, len(LAMBDAS)))
        for index, (bet, tail_bet) in enumerate(zip(LAMBDAS, TAIL_LAMBDAS, strict=True)):
            gains[0, index] = np.log(np.maximum(1e-3, 1.0 + bet * (location - line.slack))).sum()
            stake = tail - TAIL - line.tail_slack
            gains[1, index] = np.log(np.maximum(1e-3, 1.0 + tail_bet * stake)).sum()
        return gains


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectionLine:
    """One direction and the sorted baseline along it."""

    weights: Floats
    reference: Floats
    slack: float
    tail_slack: float

    def scores(self, scores: Floats) -> tuple[Floats, Floats]:
        """Location 2u - 1 and tail 1{u > .98} of each sample, u its rank in the baseline."""
        along = scores @ self.weights
        left = np.searchsorted(self.reference, along, side="left")
        right = np.searchsorted(self.reference, along, side="right")
        ranks = (0.5 * (left + right) + 0.5) / (len(self.reference) + 1)
        return 2 * ranks - 1, (ranks > 1 - TAIL).astype(np.float64)


def fit_direction(ranks: NDArray[np.float32], blocks: NDArray[np.intp]) -> Direction:
    """Learn the components from the even blocks of ranks (sample, feature); keep the odd ones apart."""
    normal = _normal_scores()
    values = normal[np.rint(ranks * _STEPS).astype(np.intp)]
    even = blocks % 2 == 0
    learnt = values[even]
    centre = learnt.mean(axis=0)
    _, singular, axes = np.linalg.svd(learnt - centre, full_matrices=False)
    kept = int(min(120, len(ranks) // 16, (singular > 1e-3 * singular[0]).sum()))
    project = axes[:kept].T / (singular[:kept] / np.sqrt(len(learnt)))
    return Direction(
        normal=normal,
        centre=centre,
        project=project,
        wobble=excess_variance((learnt - centre) @ project, blocks[even]),
        learnt=len(learnt),
        harmless=HARMLESS / len(ranks),
        odd=(values[~even] - centre) @ project,
        odd_blocks=blocks[~even],
    )


def _normal_scores() -> Floats:
    """The normal quantile on a grid of ranks, clipped to [.003, .997]."""
    scores: Floats = ndtri(np.clip(np.arange(_STEPS + 1) / _STEPS, 0.003, 0.997))
    return scores
