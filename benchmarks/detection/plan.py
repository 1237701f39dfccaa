"""What a whole run measures, and what a short one does: pieces that processes share out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from benchmarks.detection.pools import Scenario, World
from benchmarks.detection.scenarios import SCENARIOS, scenarios
from benchmarks.detection.simulation import KINDS
from benchmarks.detection.streams import BASELINE_SAMPLES
from benchmarks.detection.worlds import load_world

RATES = ("1 per 100 windows", "1 per 1000 windows", "1 per 8640 windows")
SIZES = (30, 50, 100, 200, 500, 1000)
BASELINES = (100, 300, 500, 1000, 2000)
WOBBLES = (0.0, 0.05, 0.1, 0.15, 0.2)
LEARNT_WOBBLES = (0.0, 0.05, 0.1, 0.2, 0.3)
WINDOW = 200
MAIN, DECODER = "sentiment", "smollm2"
IMAGINARY = "simulation"
TRACED = "guardian 5 %"
QUIET = (
    "clean, iid",
    "label mix",
    "length mix",
    "time of day, sine of .2 sd",
    "bursts of one request",
    "recurring requests, 50 % of 300 texts",
)
COMPARED = (
    *QUIET,
    "imdb 5 %",
    "imdb 10 %",
    "imdb same style 10 %",
    "imdb same style 25 %",
    "guardian 5 %",
    "guardian 10 %",
    "german 5 %",
    "doubled separator 10 %",
    "punctuation stripped 10 %",
    "cut to 16 10 %",
    "trigger cf 5 %",
    "trigger cf 10 %",
    "bf16",
    "output zeroed L2H5",
    "class prior 70 %",
)
"""The rows on which every method is run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Something that one process measures; ``arguments`` are plain values."""

    part: str
    world: str = MAIN
    smoke: bool = False
    arguments: Mapping[str, Any] = field(default_factory=dict)


@lru_cache(maxsize=4)
def world_of(name: str, *, smoke: bool) -> World:
    """Read once per process."""
    return load_world(name, smoke=smoke)


@lru_cache(maxsize=4)
def rows_of(name: str, *, smoke: bool) -> Mapping[str, Scenario]:
    """The scenarios that the cached pools allow, by name."""
    possible, _ = scenarios(world_of(name, smoke=smoke))
    return MappingProxyType({row.name: row for row in possible})


def worlds() -> list[str]:
    """The models of which at least the baseline's texts are in the cache."""
    return [name for name in SCENARIOS if "held_out" in world_of(name, smoke=False).pools]


def _chosen(world: str, groups: Sequence[str]) -> list[Scenario]:
    """Rows of these groups, faults of single heads left out: those have a part of their own."""
    return [row for row in rows_of(world, smoke=False).values() if row.group in groups and row.head is None]


def _quiet() -> Iterator[Piece]:
    """10,000 windows over 10 baselines at each rate; 800 over 8 for the other models, 320 for the decoder."""
    for world in worlds():
        baselines, windows = (10, 1000) if world == MAIN else (8, 100 if world != DECODER else 40)
        for seed in range(baselines):
            yield Piece(
                part="quiet",
                world=world,
                arguments={
                    "seed": seed,
                    "rates": RATES,
                    "size": WINDOW,
                    "samples": BASELINE_SAMPLES,
                    "windows": windows,
                },
            )


def _windows_by_size() -> dict[int, int]:
    """Windows of each size against one baseline: fewer of the large ones, which cost more."""
    return {size: 40 if size <= WINDOW else 15 for size in SIZES}


def _sizes() -> Iterator[Piece]:
    """Every window size with every size of baseline: 320 windows over 8 baselines, 120 of large ones."""
    for samples in BASELINES:
        for seed in range(100, 108):
            arguments = {"seed": seed, "false_alarms": RATES[0], "samples": samples}
            yield Piece(part="sizes", arguments={**arguments, "sizes": _windows_by_size()})


def _simulation() -> Iterator[Piece]:
    """Every wobble with every window size: 320 windows over 8 baselines, 120 of large ones."""
    kinds = [(kind, wobble) for kind in KINDS for wobble in WOBBLES if wobble or kind == KINDS[0]]
    for kind, wobble in kinds:
        for seed in range(8):
            arguments = {"seed": seed, "false_alarms": RATES[0], "kind": kind, "wobble": wobble}
            yield Piece(
                part="simulation", world=IMAGINARY, arguments={**arguments, "sizes": _windows_by_size()}
            )


def _learnt() -> Iterator[Piece]:
    """The baseline that the sidecar learns by default, where every window wobbles: 320 windows over 8."""
    kinds = [(kind, wobble) for kind in KINDS for wobble in LEARNT_WOBBLES if wobble or kind == KINDS[0]]
    for kind, wobble in kinds:
        for seed in range(8):
            arguments = {"seed": seed, "false_alarms": RATES[0], "kind": kind, "wobble": wobble}
            yield Piece(
                part="learnt",
                world=IMAGINARY,
                arguments={**arguments, "learnt": True, "sizes": {WINDOW: 40}},
            )


def _wobble() -> Iterator[Piece]:
    """75 windows of each of 8 baselines (25 on the second encoder), at two rates of false alarms."""
    for world in worlds():
        if world == DECODER:
            continue
        for row in _chosen(world, ("wobble",)):
            for seed in range(8):
                yield Piece(
                    part="wobble",
                    world=world,
                    arguments={
                        "scenario": row.name,
                        "seed": seed,
                        "rates": (RATES[0], RATES[2]),
                        "size": WINDOW,
                        "windows": 75 if world == MAIN else 25,
                    },
                )


def _delays() -> Iterator[Piece]:
    """8 baselines of rows with a goal, 3 of the others; on the other models 4 and 2 of rows with a goal."""
    for world in worlds():
        for row in _chosen(world, ("fault", "shift", "trigger", "life")):
            if world != MAIN and row.goal is None:
                continue
            wanted = 8 if row.goal is not None else 3
            for seed in range(wanted if world == MAIN else 4 if world != DECODER else 2):
                yield Piece(
                    part="delays",
                    world=world,
                    arguments={"scenario": row.name, "seed": seed, "size": WINDOW},
                )


def _localisation() -> Iterator[Piece]:
    """Every fault of one head of the main model, in packets that share a fitted detector."""
    for world in worlds():
        faults = [row.name for row in rows_of(world, smoke=False).values() if row.head is not None]
        for seed in range(1):
            for first in range(0, len(faults), 36):
                yield Piece(
                    part="localisation",
                    world=world,
                    arguments={"seed": seed, "scenarios": faults[first : first + 36]},
                )


def _causes() -> Iterator[Piece]:
    yield Piece(part="causes")


def _cost() -> Iterator[Piece]:
    yield Piece(part="cost", world=IMAGINARY, arguments={"windows": 20})


def _comparison() -> Iterator[Piece]:
    """8 baselines of the quiet rows, 3 of the others, on the main model; one for what is slow (Evidently)."""
    known = [name for name in COMPARED if name in rows_of(MAIN, smoke=False)]
    for seed in range(8):
        yield Piece(
            part="comparison",
            arguments={
                "seed": seed,
                "scenarios": known if seed < 3 else [name for name in known if name in QUIET],
                "size": WINDOW,
                "quiet_windows": 60,
                "slow_ones": seed == 0,
            },
        )


def _trace() -> Iterator[Piece]:
    if TRACED in rows_of(MAIN, smoke=False):
        arguments = {"scenario": TRACED, "seed": 0, "size": WINDOW, "shifted": 15, "after": 10}
        yield Piece(part="trace", arguments=arguments)


PIECES: Mapping[str, Callable[[], Iterator[Piece]]] = MappingProxyType(
    {
        "quiet": _quiet,
        "sizes": _sizes,
        "simulation": _simulation,
        "learnt": _learnt,
        "wobble": _wobble,
        "delays": _delays,
        "localisation": _localisation,
        "causes": _causes,
        "cost": _cost,
        "comparison": _comparison,
        "trace": _trace,
    }
)
"""The pieces of every part of a whole run, in the order in which the parts are run."""

SMALL = {"seed": 0, "false_alarms": RATES[0]}
FEW = {"size": 50, "windows": 3}
SMOKE: Sequence[Piece] = (
    Piece(part="quiet", smoke=True, arguments={"seed": 0, "rates": RATES, **FEW, "samples": 300}),
    Piece(part="sizes", smoke=True, arguments={**SMALL, "samples": 100, "sizes": {50: 3}}),
    Piece(
        part="simulation",
        world=IMAGINARY,
        smoke=True,
        arguments={**SMALL, "kind": "own", "wobble": 0.15, "sizes": {50: 3}},
    ),
    Piece(
        part="learnt",
        world=IMAGINARY,
        smoke=True,
        arguments={**SMALL, "kind": "own", "wobble": 0.1, "learnt": True, "sizes": {50: 3}},
    ),
    Piece(
        part="wobble",
        smoke=True,
        arguments={"seed": 0, "rates": RATES[:1], **FEW, "scenario": "time of day, sine of .2 sd"},
    ),
    Piece(
        part="delays",
        smoke=True,
        arguments={"scenario": "imdb same length 50 %", "seed": 0, "size": 50},
    ),
    Piece(part="cost", world=IMAGINARY, smoke=True, arguments={"windows": 2, "samples": 300}),
    Piece(
        part="comparison",
        smoke=True,
        arguments={
            "seed": 0,
            "scenarios": ["clean, iid"],
            "size": 50,
            "quiet_windows": 3,
            "slow_ones": False,
        },
    ),
)
"""A little of the parts that need no cached pools of faults."""
