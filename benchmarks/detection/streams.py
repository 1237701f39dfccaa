"""A baseline and windows drawn from a world's pools: quiet, with a shift that comes and goes, wobbling.

What a baseline has taken is never in its windows: a corrupted text keeps its sentence's id, and goes
with it. Within a window no text comes twice. The same world, seed and size give the same stream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.detection.pools import Pool, Stream, World
from benchmarks.detection.recipes import FRESH, RESERVED
from benchmarks.detection.wobble import DAY, WEEK, Rows, Wobble, draw_rows

BASELINE_SAMPLES = 2000
WINDOW_SECONDS = 300.0
ONSET = 5
SHIFTED_WINDOWS = 60
SMALL = 1000
"""Pools below this have no reserve: only smoke runs have such."""
_STEP = 20
"""A baseline's weights are looked up once for that many samples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """A pool's rows for the baseline, in time order, and those that are left for windows."""

    pool: Pool
    baseline: Rows
    rest: Rows
    span: float

    def baseline_pool(self) -> Pool:
        """The baseline's samples, evenly over its time."""
        count = len(self.baseline)
        return self.pool.take(self.baseline).at((np.arange(count) + 0.5) * self.span / count)

    def origins(self, other: Pool) -> Rows:
        """The row of this pool that each sample of ``other`` was made from; -1: none."""
        places = {identity: row for row, identity in enumerate(self.pool.features.ids)}
        own = [places.get(identity.split("~")[0], -1) for identity in other.features.ids]
        return np.array(own, dtype=np.intp)

    def left_of(self, other: Pool) -> Rows:
        """The rows of ``other`` that were not made from a sentence of the baseline."""
        return np.flatnonzero(~np.isin(self.origins(other), self.baseline))


def split(
    pool: Pool,
    rng: np.random.Generator,
    *,
    samples: int = BASELINE_SAMPLES,
    span: float = WEEK,
    wobble: Wobble | None = None,
) -> Split:
    """Draw a baseline of ``samples``, at most half of a small pool, over ``span`` seconds."""
    reserved = RESERVED if len(pool) >= SMALL else 0
    samples = min(samples, len(pool) // 2)
    free = np.arange(reserved, len(pool))
    chosen: list[Rows] = []
    for start in range(0, samples, _STEP):
        count = min(_STEP, samples - start)
        weights = None if wobble is None else wobble((start + count / 2) * span / samples)
        rows = draw_rows(free, count, weights, rng)
        free = np.setdiff1d(free, rows, assume_unique=True)
        chosen.append(rng.permutation(rows))
    rest = np.sort(np.concatenate([np.arange(reserved), free]))
    return Split(pool=pool, baseline=np.concatenate(chosen), rest=rest, span=span)


def timed(windows: Iterator[Pool], *, start: float, seconds: float) -> Iterator[Pool]:
    """Each window's samples evenly over its time, the first window at ``start``."""
    for number, window in enumerate(windows):
        count = len(window)
        yield window.at(start + (number + (np.arange(count) + 0.5) / max(count, 1)) * seconds)


def quiet(
    world: World, seed: int, size: int, *, samples: int = BASELINE_SAMPLES, seconds: float = WINDOW_SECONDS
) -> Stream:
    """Windows of the baseline's own distribution, for ever.

    They come from what the baseline left and, where a world has it, the pool ``fresh`` too. The
    fewer there are, the more a pool's own error lasts through all windows, as a stream's would not.
    """
    rng = np.random.default_rng([seed, 0])
    parts = split(world.pools["held_out"], rng, samples=samples)
    fresh = world.pools.get(FRESH)

    def windows() -> Iterator[Pool]:
        while True:
            count = 0 if fresh is None else int(rng.hypergeometric(len(fresh), len(parts.rest), size))
            window = parts.pool.take(draw_rows(parts.rest, size - count, None, rng))
            if fresh is not None and count:
                more = fresh.take(draw_rows(np.arange(len(fresh)), count, None, rng))
                window = window.joined(more).take(rng.permutation(size))
            yield window

    return Stream(baseline=parts.baseline_pool(), windows=timed(windows(), start=parts.span, seconds=seconds))


def with_daily_sine(stream: Stream, amplitude: float) -> Stream:
    """The same stream with a sine of a day added to every head statistic, ``amplitude`` sd high.

    No text does this: it is the worst that a rhythm of that size can do, all heads moving as one.
    """
    sd = stream.baseline.features.profile.astype(np.float64).std(axis=0)

    def moved(pool: Pool) -> Pool:
        wave = np.sin(2 * np.pi * pool.features.times / DAY)[:, None, None, None]
        profile = (pool.features.profile + amplitude * sd * wave).astype(np.float32)
        return replace(pool, features=replace(pool.features, profile=profile))

    return replace(stream, baseline=moved(stream.baseline), windows=map(moved, stream.windows))


def wobbling(
    pool: Pool,
    wobble: Wobble,
    seed: int,
    size: int,
    *,
    samples: int = BASELINE_SAMPLES,
    span: float = WEEK,
    seconds: float = WINDOW_SECONDS,
) -> Stream:
    """Quiet windows whose mix follows ``wobble``, after a baseline that followed it too."""
    rng = np.random.default_rng([seed, 1])
    parts = split(pool, rng, samples=samples, span=span, wobble=wobble)

    def windows() -> Iterator[Pool]:
        number = 0
        while True:
            weights = wobble(span + (number + 0.5) * seconds)
            yield pool.take(rng.permutation(draw_rows(parts.rest, size, weights, rng)))
            number += 1

    return Stream(baseline=parts.baseline_pool(), windows=timed(windows(), start=span, seconds=seconds))


def shifting(
    world: World,
    shifted: str,
    share: Callable[[int], float],
    seed: int,
    size: int,
    *,
    end: int = ONSET + SHIFTED_WINDOWS,
) -> Stream:
    """Quiet windows, then windows of which a share comes from another pool, then quiet ones again.

    ``share(k)`` is that of the k-th shifted window, from 0; the window has that many samples on average.
    """
    rng = np.random.default_rng([seed, 2])
    parts = split(world.pools["held_out"], rng)
    other = world.pools[shifted]
    left, origins = parts.left_of(other), parts.origins(other)

    def windows() -> Iterator[Pool]:
        number = 0
        while True:
            wanted = size * share(number - ONSET) if ONSET <= number < end else 0.0
            count = int(wanted + rng.random()) if wanted < size else size
            chosen = draw_rows(left, count, None, rng)
            rest = np.setdiff1d(parts.rest, origins[chosen], assume_unique=True)
            window = parts.pool.take(draw_rows(rest, size - count, None, rng))
            if count:
                window = window.joined(other.take(chosen))
            yield window.take(rng.permutation(size))
            number += 1

    return Stream(
        baseline=parts.baseline_pool(),
        windows=timed(windows(), start=parts.span, seconds=WINDOW_SECONDS),
        onset=ONSET,
        end=end,
    )


def twice(world: World, seed: int, size: int) -> Stream:
    """Every request comes twice, in the baseline and in the windows."""
    rng = np.random.default_rng([seed, 3])
    parts = split(world.pools["held_out"], rng, samples=BASELINE_SAMPLES // 2)
    doubled = np.repeat(np.arange(len(parts.baseline)), 2)
    baseline = parts.baseline_pool()

    def windows() -> Iterator[Pool]:
        while True:
            rows = draw_rows(parts.rest, -(-size // 2), None, rng)
            yield parts.pool.take(rng.permutation(np.repeat(rows, 2)[:size]))

    return Stream(
        baseline=baseline.take(doubled),
        windows=timed(windows(), start=parts.span, seconds=WINDOW_SECONDS),
    )


def recurring(world: World, seed: int, size: int, *, share: float, texts: int) -> Stream:
    """A ``share`` of all requests, before and after, is one of ``texts`` popular ones (Zipf, exponent .8)."""
    rng = np.random.default_rng([seed, 6])
    parts = split(world.pools["held_out"], rng)
    popular = rng.choice(parts.rest, min(texts, len(parts.rest) // 2), replace=False)
    rest = np.setdiff1d(parts.rest, popular, assume_unique=True)
    chance = np.arange(1.0, len(popular) + 1.0) ** -0.8
    chance /= chance.sum()

    def mixed_in(fresh: Rows) -> Rows:
        often = rng.random(len(fresh)) < share
        return np.where(often, rng.choice(popular, len(fresh), p=chance), fresh)

    def windows() -> Iterator[Pool]:
        while True:
            yield parts.pool.take(mixed_in(draw_rows(rest, size, None, rng)))

    return Stream(
        baseline=replace(parts, baseline=mixed_in(parts.baseline)).baseline_pool(),
        windows=timed(windows(), start=parts.span, seconds=WINDOW_SECONDS),
    )


def bursts(
    world: World, seed: int, size: int, *, pool: str = "held_out", share: float = 0.3, every: int = 10
) -> Stream:
    """Quiet, but every so often a ``share`` of a window is one text over and over, or edits of it.

    ``pool``: ``held_out`` repeats a text verbatim; ``near_duplicates`` gives its edits.
    """
    rng = np.random.default_rng([seed, 4])
    parts = split(world.pools["held_out"], rng)
    other = world.pools[pool]
    left, origins = parts.left_of(other), parts.origins(other)

    def windows() -> Iterator[Pool]:
        number = 0
        while True:
            count = round(size * share) if number % every == every - 1 else 0
            origin = origins[rng.choice(left)] if count else -1
            rest = np.setdiff1d(parts.rest, origin, assume_unique=True)
            window = parts.pool.take(draw_rows(rest, size - count, None, rng))
            if count:
                same = left[origins[left] == origin]
                window = window.joined(other.take(rng.choice(same, count, replace=True)))
            yield window.take(rng.permutation(size))
            number += 1

    return Stream(
        baseline=parts.baseline_pool(),
        windows=timed(windows(), start=parts.span, seconds=WINDOW_SECONDS),
    )


def relabelled(world: World, seed: int, size: int, *, share: float, label: int) -> Stream:
    """The share of one true class rises to ``share``; the texts of each class stay as they were."""
    from benchmarks.detection.wobble import mixed

    rng = np.random.default_rng([seed, 5])
    parts = split(world.pools["held_out"], rng)
    weights = mixed(parts.pool.labels == label, share)
    end = ONSET + SHIFTED_WINDOWS

    def windows() -> Iterator[Pool]:
        number = 0
        while True:
            chosen = weights if ONSET <= number < end else None
            yield parts.pool.take(draw_rows(parts.rest, size, chosen, rng))
            number += 1

    return Stream(
        baseline=parts.baseline_pool(),
        windows=timed(windows(), start=parts.span, seconds=WINDOW_SECONDS),
        onset=ONSET,
        end=end,
    )
