"""B: a learned direction. Many small shifts along one line, which no single head shows.

Even time blocks of the baseline: standardised features, clipped to 4 sd, whitened into principal
components. From the last m samples seen before: d = mean component scores, V = (1/m + 1/h) s^2 + v
(h samples in the even blocks, s^2 their variance, v excess block variance), and
w = d max(0, 1 - 2V/d^2) / (s^2 (1 + v / ((1/m + 1/h) s^2))): the non-negative garrote (Breiman 1995),
then Fisher's discriminant. Two kinds of teacher:
  every   all samples, against all even rows: small shifts of everything;
  unusual only samples whose Q is unusual (``novelty``), against the even rows that are too: a few
          foreign samples among many usual ones, which the mean of all would hide.
The samples that come **next** are scored along w and ranked among the odd-block baseline rows,
whose means along w had no part in it (only their wobble and who is unusual had): so the bet is fair.
Bets upwards only: the location 2u - 1 (tau = SLACK * .577 / sqrt(N_odd) + block term) and likelihood
ratios on the tails u > .98 and u > .995 (p0 = Clopper-Pearson bound, level .005, + block term); a
window counts for as many samples as its wobble along w allows (``bets``).
Harmless persistence: what the windows come from may differ from the baseline for good, by somewhat
more than another sample of the baseline's size would (HARMLESS / N in every component), and the
pieces of one window share its wobble, which is too small to be seen in one component but not in
their mean (v_, the mean excess variance). Of the shift learnt along w, the share
v0 / (v0 + 1/m + 1/h), v0 = HARMLESS / N + v_, is expected of that alone and paid for by tau and p0;
without it 120 components of a small difference add up to an alarm.
A window is played in pieces of about 50 samples: a piece is scored along what the ones before it
taught, so that evidence can come within the first shifted window already; but only its first 200
samples teach the rest of it: the more of a window is known, the better it tells its own wobble.

Shekhar & Ramdas 2021 (predictable bets); Breiman 1995; Fisher 1936.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from monitor.drift.arrays import Arrays
from monitor.drift.bets import LAMBDAS, SHARES, STAKES, tail_gain, tail_swing
from monitor.drift.blocks import (
    CLEAR,
    SCALES,
    SHARED,
    SMALLEST_BLOCK,
    time_blocks,
    variance_ratio,
    worth,
)
from monitor.drift.components import principal_components
from monitor.drift.rates import upper_bound

Floats = NDArray[np.float64]
PIECE = 50
MEMORIES = (200, 600, 2000)
"""How many samples back each direction learns from."""
TEACHERS = ("every", "unusual")
BETS = ("location", "tail", "far tail")
SHAPE = (len(TEACHERS), len(MEMORIES), len(BETS), STAKES)
PIECES_KEPT = 48
TAILS = (0.02, 0.005)
TAIL_LEVEL = 0.005
SLACK = 3.0
HARMLESS = 0.5
LESSON = 200
"""Samples of a window that may teach the rest of it."""
CLIP = 4.0
MOST_COMPONENTS = 120
_FEWEST = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectionMemory:
    """The last pieces seen, newest last: mean component scores (piece, teacher, component) and
    sizes (piece, teacher).
    """

    means: Floats
    sizes: Floats

    def to_arrays(self) -> Arrays:
        """Plain arrays for an npz file."""
        return {"means": self.means.astype(np.float32), "sizes": self.sizes}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> DirectionMemory:
        """The inverse of ``to_arrays``."""
        return cls(means=arrays["means"].astype(np.float64), sizes=arrays["sizes"])

    def add(self, scores: Floats, unusual: NDArray[np.bool_]) -> DirectionMemory:
        """The memory after one more piece of (sample, component) scores."""
        chosen = scores[unusual]
        few = chosen.mean(axis=0) if len(chosen) else np.zeros(scores.shape[1])
        # float32, so that a memory that was saved and read again is the same to the last bit
        mean = np.stack([scores.mean(axis=0), few]).astype(np.float32).astype(np.float64)
        means = np.concatenate([self.means, mean[None]])
        sizes = np.concatenate([self.sizes, [[float(len(scores)), float(len(chosen))]]])
        return DirectionMemory(means=means[-PIECES_KEPT:], sizes=sizes[-PIECES_KEPT:])

    def without_last(self, samples: int) -> DirectionMemory:
        """Without the newest pieces that hold about ``samples``."""
        dropped = int(np.searchsorted(np.cumsum(self.sizes[::-1, 0]), samples) + 1)
        return DirectionMemory(means=self.means[:-dropped], sizes=self.sizes[:-dropped])


@dataclass(frozen=True, slots=True, kw_only=True)
class Teacher:
    """What a kind of sample looks like in the even rows: mean, variance s^2, wobble v (component,).

    ``lasting``: HARMLESS over the baseline's samples of this kind; ``shared``: v_, the mean wobble.
    """

    mean: Floats
    variance: Floats
    wobble: Floats
    learnt: int
    lasting: float
    shared: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Direction:
    """Fitted components: ``project`` (feature, component), their ``centre``, and the odd rows' scores.

    ``odd`` (sample, component) by block; ``odd_starts``, ``fine_starts``: the first row of every long
    and of every short block.
    """

    centre: Floats
    project: Floats
    teachers: tuple[Teacher, Teacher]
    odd: Floats
    odd_starts: NDArray[np.intp]
    fine_starts: NDArray[np.intp]

    @property
    def components(self) -> int:
        """How many components are kept."""
        return self.project.shape[1]

    def scores(self, standard: NDArray[np.floating]) -> Floats:
        """Whitened component scores (sample, component) of standardised features."""
        scores: Floats = (np.clip(standard, -CLIP, CLIP) - self.centre) @ self.project
        return scores

    def fresh(self) -> DirectionMemory:
        """What stands before the first window."""
        return DirectionMemory(means=np.zeros((0, len(TEACHERS), self.components)), sizes=np.zeros((0, 2)))

    def weights(self, memory: DirectionMemory, teacher: int, samples: int) -> tuple[Floats, float]:
        """The direction w (component,) learnt from about the last ``samples``; zeros: no bet.

        And how far all samples may be shifted along it for harmless reasons: w.d v0 / (v0 + V).
        """
        own = self.teachers[teacher]
        pieces = int(np.searchsorted(np.cumsum(memory.sizes[::-1, 0]), samples) + 1)
        sizes = memory.sizes[-pieces:, teacher]
        if sizes.sum() < _FEWEST or own.learnt < _FEWEST:
            return np.zeros(self.components), 0.0
        mean = sizes @ memory.means[-pieces:, teacher] / sizes.sum() - own.mean
        sampling = 1.0 / sizes.sum() + 1.0 / own.learnt
        variance = sampling * own.variance + own.wobble
        shrink = np.maximum(0.0, 1.0 - 2.0 * variance / np.maximum(mean**2, 1e-12))
        weights: Floats = mean * shrink / (own.variance + own.wobble / sampling)
        harmless = own.lasting + own.shared
        return weights, float(weights @ mean) * harmless / (harmless + sampling)

    def play(
        self, memory: DirectionMemory, scores: Floats, unusual: NDArray[np.bool_], power: float = 1.0
    ) -> tuple[DirectionMemory, Floats]:
        """One window's log gains (teacher, memory, bet, stake), and the memory after it.

        ``power``: what each sample is worth (duplicates, very large windows).
        """
        gains = np.zeros(SHAPE)
        lessons, taught = memory, 0
        pieces = max(2, round(len(scores) / PIECE))
        halves = zip(np.array_split(scores, pieces), np.array_split(unusual, pieces), strict=True)
        for piece, chosen in halves:
            for teacher in range(len(TEACHERS)):
                for index, samples in enumerate(MEMORIES):
                    weights, harmless = self.weights(lessons, teacher, samples)
                    if weights.any():
                        line = self.line(weights, harmless)
                        gains[teacher, index] += line.gains(piece, power, power * len(scores))
            memory = memory.add(piece, chosen)
            taught += len(piece)
            if taught <= LESSON:
                lessons = memory
        return memory, gains

    def _excess(self, scores: Floats) -> Floats:
        """Variance of the blocks' means that chance does not explain (score,), at the clearer scale."""
        centred = scores - scores.mean(axis=0)
        variance = (centred**2).mean(axis=0)
        found = np.zeros(scores.shape[1])
        for starts in (self.odd_starts, self.fine_starts):
            sizes = np.diff(np.append(starts, len(scores)))[:, None]
            means = np.add.reduceat(centred, starts) / sizes
            expected = variance * (1.0 / sizes).mean()
            spread = (means**2).mean(axis=0)
            clear = 1.0 + CLEAR * np.sqrt(2.0 / max(len(starts) - 1, 1))
            found = np.maximum(found, np.where(spread > clear * expected, spread - expected, 0.0))
        return found

    def line(self, weights: Floats, harmless: float = 0.0) -> DirectionLine:
        """The odd rows of the baseline along ``weights``: what a sample's score is ranked in.

        Samples may be shifted by the ``harmless`` amount; scores along w are taken as normal for that.
        """
        reference = self.odd @ weights
        order = np.argsort(reference, kind="stable")
        rows = len(reference)
        ranks = np.empty(rows)
        ranks[order] = (np.arange(rows) + 1.0) / (rows + 1)
        scores = np.stack([2 * ranks - 1, *((ranks > 1 - tail).astype(np.float64) for tail in TAILS)], axis=1)
        excess = self._excess(scores)
        excess[1:] = np.maximum(excess[1:], tail_swing(np.array(TAILS)) ** 2 * excess[0])
        block = 2.0 * np.sqrt(excess)
        variance = np.maximum(scores.var(axis=0), 1e-12)
        rho = np.maximum(excess / variance, self.teachers[0].shared)
        allowed = harmless / max(float(reference.std()), 1e-12)
        bound = upper_bound(scores[:, 1:].sum(axis=0), rows, TAIL_LEVEL)
        return DirectionLine(
            weights=weights,
            reference=reference[order],
            slack=SLACK * 0.577 / np.sqrt(rows) + float(block[0]) + 2 * float(ndtr(allowed / 2**0.5)) - 1,
            paid=np.minimum(bound + block[1:] + ndtr(allowed + ndtri(TAILS)) - TAILS, 1.0),
            rho=rho,
            wobble=np.sqrt(rho * variance),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectionLine:
    """One direction and the sorted baseline along it; ``paid`` (tail,) is p0, ``rho``, ``wobble`` (bet,)."""

    weights: Floats
    reference: Floats
    slack: float
    paid: Floats
    rho: Floats
    wobble: Floats

    def scores(self, scores: Floats) -> Floats:
        """Location 2u - 1 and tails 1{u > 1 - tail} (bet, sample), u each sample's baseline rank."""
        along = scores @ self.weights
        left = np.searchsorted(self.reference, along, side="left")
        right = np.searchsorted(self.reference, along, side="right")
        ranks = (0.5 * (left + right) + 0.5) / (len(self.reference) + 1)
        return np.stack([2 * ranks - 1, *((ranks > 1 - tail).astype(np.float64) for tail in TAILS)])

    def gains(self, scores: Floats, power: float, window: float) -> Floats:
        """Log gains (bet, stake) on (sample, component) scores that belong to a ``window`` of that many."""
        found = self.scores(scores)
        gains = np.empty((len(BETS), STAKES))
        slack = min(self.slack, 1.0)
        for index, bet in enumerate(LAMBDAS):
            safe = min(bet, 0.95 / (1.0 + slack))
            gains[0, index] = np.log(1.0 + safe * (found[0] - slack)).sum()
        hits = found[1:].sum(axis=1)
        for index, share in enumerate(SHARES):
            gains[1:, index] = tail_gain(hits, found.shape[1], self.paid, share)
        stakes = np.array([LAMBDAS, *(np.array(SHARES) / paid for paid in self.paid)])
        samples = max(window / power, 1.0)
        most = 3.0 / (stakes * np.maximum(self.wobble, 1e-9)[:, None] * samples)
        return gains * np.minimum((power * worth(window, self.rho))[:, None], most)


def fit_direction(
    standard: NDArray[np.floating], unusual: NDArray[np.bool_], times: NDArray[np.float64]
) -> Direction:
    """Learn the components from the even blocks of (sample, feature); keep the odd ones apart."""
    blocks = time_blocks(times)
    values = np.clip(standard, -CLIP, CLIP)
    even = blocks % 2 == 0
    learnt = values[even]
    centre = learnt.mean(axis=0)
    axes, spread = principal_components(learnt - centre, max(1, min(MOST_COMPONENTS, len(values) // 16)))
    project = axes / np.sqrt(spread)
    kept = len(spread)
    scores = (learnt - centre) @ project
    few = scores[unusual[even]]
    # blocks stand together: their means are then sums over stretches
    fine = time_blocks(times, SCALES[1])
    order = np.argsort(fine[~even], kind="stable")
    odd_blocks = blocks[~even][order]
    short = fine[~even][order] if len(values) >= SMALLEST_BLOCK * SCALES[1] else odd_blocks
    odd = ((values[~even] - centre) @ project)[order]
    # from the odd rows: the components were learnt on the even ones, wobble and all, and so hide it
    wobble, shared = np.zeros(kept), 0.0
    for found in {len(np.unique(item)): item for item in (odd_blocks, short)}.values():
        ratio, inverse = variance_ratio(odd, found)
        excess = (ratio - 1.0) * odd.var(axis=0)
        clear = 1.0 + CLEAR * np.sqrt(2.0 / max(len(np.unique(found)) - 1, 1))
        wobble = np.maximum(wobble, np.where(ratio > clear, excess, 0.0) * inverse)
        chance = min(SHARED, 2.0 * np.sqrt(2.0 / max(len(np.unique(found)) - 1, 1) / kept))
        shared = max(shared, inverse * float(excess.mean()) if excess.mean() > chance else 0.0)
    every = Teacher(
        mean=np.zeros(kept),
        variance=np.ones(kept),
        wobble=np.maximum(wobble, shared),
        learnt=len(scores),
        lasting=HARMLESS / len(values),
        shared=shared,
    )
    rare = Teacher(
        mean=few.mean(axis=0) if len(few) else np.zeros(kept),
        variance=np.maximum(few.var(axis=0), 0.2) if len(few) else np.ones(kept),
        wobble=every.wobble,
        learnt=len(few),
        lasting=HARMLESS / max(0.1 * len(values), 1.0),
        shared=shared,
    )
    return Direction(
        centre=centre,
        project=project,
        teachers=(every, rare),
        odd=odd,
        odd_starts=np.flatnonzero(np.diff(odd_blocks, prepend=-1)),
        fine_starts=np.flatnonzero(np.diff(short, prepend=-1)),
    )
