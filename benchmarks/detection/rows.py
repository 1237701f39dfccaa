"""The rows that every model's table is made of: what is done, in which shares, and what is wanted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from benchmarks.detection.faults import DAMAGES
from benchmarks.detection.pools import Pool, Scenario, Stream, World
from benchmarks.detection.streams import (
    BASELINE_SAMPLES,
    ONSET,
    WINDOW_SECONDS,
    bursts,
    quiet,
    recurring,
    relabelled,
    shifting,
    twice,
    with_daily_sine,
    wobbling,
)
from benchmarks.detection.wobble import (
    WEEK,
    Weights,
    by_regime,
    by_weekend,
    daily_sine,
    main_component,
    mixed,
    standardised,
    tilted,
)

Goals = Mapping[float, float | None]
Members = NDArray[np.bool_]
Between = tuple[float, float]
FAST = BASELINE_SAMPLES / 100 * WINDOW_SECONDS
"""The span of a baseline read from a log of busy windows: a hundred samples of each."""


def shift(
    name: str, pool: str, goals: Goals, *, words: Sequence[str] = (), trigger: bool = False
) -> list[Scenario]:
    """A row per share of ``pool`` in the windows."""
    return [
        Scenario(
            name=f"{name} {100 * share:g} %",
            group="trigger" if trigger else "shift",
            build=partial(_constant, pool, share),
            goal=goal,
            words=tuple(words),
            needs=("held_out", pool),
        )
        for share, goal in goals.items()
    ]


def fault(name: str, pool: str, goal: float | None, *, head: tuple[int, int] | None = None) -> Scenario:
    """A row for a fault on all inputs."""
    return Scenario(
        name=name,
        group="fault",
        build=partial(_constant, pool, 1.0),
        goal=goal,
        needs=("held_out", pool),
        head=head,
    )


def _constant(pool: str, share: float, world: World, seed: int, size: int) -> Stream:
    return shifting(world, pool, lambda _: share, seed, size)


def _slow(pool: str, world: World, seed: int, size: int) -> Stream:
    return shifting(world, pool, lambda k: min(1.0, 0.01 * (k + 1)), seed, size)


def _returning(pool: str, world: World, seed: int, size: int) -> Stream:
    """A quarter for ten windows, then less by a fortieth in each."""
    return shifting(world, pool, lambda k: 0.25 - 0.025 * max(0, k - 9), seed, size, end=ONSET + 20)


def _label_mix(world: World, seed: int, size: int, *, label: int, between: Between, slow: bool) -> Stream:
    pool = world.pools["held_out"]
    return _in_regimes(pool, partial(mixed, pool.labels == label), between, seed, size, slow=slow)


def _length_mix(world: World, seed: int, size: int, *, between: Between, slow: bool) -> Stream:
    pool = world.pools["held_out"]
    score = standardised(pool.features.inputs[:, 0])
    return _in_regimes(pool, partial(tilted, score), between, seed, size, slow=slow)


def _source_mix(world: World, seed: int, size: int, *, second: str, between: Between, slow: bool) -> Stream:
    pool, members = _both(world, second)
    return _in_regimes(pool, partial(mixed, members), between, seed, size, slow=slow)


def _both(world: World, second: str) -> tuple[Pool, Members]:
    one, other = world.pools["held_out"], world.pools[second]
    return one.joined(other), np.arange(len(one) + len(other)) >= len(one)


def _in_regimes(
    pool: Pool,
    weights: Callable[[float], Weights],
    between: Between,
    seed: int,
    size: int,
    *,
    slow: bool,
) -> Stream:
    """``slow``: each level holds for 8.4 h, a twentieth of the baseline's week; else for one window."""
    hours = WEEK / 20 / 3600 if slow else WINDOW_SECONDS / 3600
    wobble = by_regime(weights, *between, hours=hours, seed=seed)
    return wobbling(pool, wobble, seed, size, span=WEEK if slow else FAST)


def _time_of_day(world: World, seed: int, size: int) -> Stream:
    pool = world.pools["held_out"]
    return wobbling(pool, daily_sine(main_component(pool), 0.2), seed, size)


def _every_head(world: World, seed: int, size: int) -> Stream:
    return with_daily_sine(quiet(world, seed, size), 0.2)


def _weekend(world: World, seed: int, size: int, *, second: str) -> Stream:
    """A window an hour: 600 of them are three and a half weeks."""
    pool, members = _both(world, second)
    wobble = by_weekend(mixed(members, 0.05), mixed(members, 0.25))
    return wobbling(pool, wobble, seed, size, seconds=3600.0)


def wobbles(second: str, *, label: int, labels: Between, sources: Between = (0.1, 0.4)) -> list[Scenario]:
    """Mixes that change within what the baseline saw, and in the same rhythm: no alarm is wanted.

    ``labels`` and ``sources`` bound the share of the class ``label`` and of the corpus ``second``.
    """
    both = ("held_out", second)
    rows: list[Scenario] = []
    for slow in (False, True):
        rhythm = ", for 8 h" if slow else ""
        rows += [
            _wobble(f"label mix{rhythm}", partial(_label_mix, label=label, between=labels, slow=slow)),
            _wobble(f"length mix{rhythm}", partial(_length_mix, between=(-0.3, 0.3), slow=slow)),
            _wobble(
                f"source mix{rhythm}", partial(_source_mix, second=second, between=sources, slow=slow), both
            ),
        ]
    return [
        *rows,
        _wobble("time of day, sine of .2 sd", _time_of_day),
        _wobble("time of day, sine of .2 sd in every head", _every_head),
        _wobble("weekend", partial(_weekend, second=second), both),
    ]


def _wobble(
    name: str, build: Callable[[World, int, int], Stream], needs: tuple[str, ...] = ("held_out",)
) -> Scenario:
    return Scenario(name=name, group="wobble", build=build, needs=needs)


def clean() -> Scenario:
    """Nothing happens."""
    return Scenario(name="clean, iid", group="quiet", build=quiet)


def life(shifts: Sequence[str], *, label: int, shares: Sequence[float]) -> list[Scenario]:
    """Slow drift and return of each shift, repeated requests, the classes' prior."""
    rows = [
        Scenario(
            name=f"{name.replace('_', ' ')}, +1 % a window",
            group="life",
            build=partial(_slow, name),
            needs=("held_out", name),
        )
        for name in shifts
    ]
    rows += [
        Scenario(
            name=f"{name.replace('_', ' ')}, 25 % and gone by and by",
            group="life",
            build=partial(_returning, name),
            needs=("held_out", name),
        )
        for name in shifts
    ]
    rows += [
        Scenario(name="every request twice", group="wobble", build=twice),
        *(
            Scenario(
                name=f"recurring requests, {100 * share:g} % of {texts:,} texts",
                group="wobble",
                build=partial(recurring, share=share, texts=texts),
            )
            for share, texts in ((0.3, 100), (0.5, 300), (0.9, 1000))
        ),
        Scenario(name="bursts of one request", group="wobble", build=bursts),
        Scenario(
            name="bursts of near-duplicates",
            group="wobble",
            build=partial(bursts, pool="near_duplicates"),
            needs=("held_out", "near_duplicates"),
        ),
    ]
    return rows + [
        Scenario(
            name=f"class prior {100 * share:g} %",
            group="life",
            build=partial(relabelled, share=share, label=label),
        )
        for share in shares
    ]


def triggers(words: Sequence[str], goals: Goals) -> list[Scenario]:
    """A row per trigger word and share."""
    return [
        row
        for word in words
        for row in shift(f"trigger {word}", f"trigger_{word}", goals, words=[word], trigger=True)
    ]


def on_all_inputs(names: Mapping[str, float | None]) -> list[Scenario]:
    """A row per fault, by the name of its pool, with its goal."""
    return [fault(name.replace("_", " "), name, goal) for name, goal in names.items()]


def heads(layers: int, count: int) -> list[Scenario]:
    """Every damage to every head."""
    return [
        fault(f"{damage.replace('_', ' ')} L{i}H{j}", f"{damage}_L{i}H{j}", 1, head=(i, j))
        for damage in DAMAGES
        for i in range(layers)
        for j in range(count)
    ]


def shifts(goals_of: Mapping[str, Goals]) -> list[Scenario]:
    """A row per pool and share, named after the pool."""
    return [row for pool, goals in goals_of.items() for row in shift(pool.replace("_", " "), pool, goals)]
