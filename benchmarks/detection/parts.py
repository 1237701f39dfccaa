"""How each part of the benchmark is measured, and how its pieces become figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from benchmarks.detection import comparison, cost, delays, localisation, null, simulation, trace
from benchmarks.detection.competitors.listing import methods
from benchmarks.detection.null import Row
from benchmarks.detection.plan import Piece, rows_of, world_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What a process makes of a piece, and the ``figures`` made of all that the pieces gave."""

    measure: Callable[[Piece], list[Row]]
    figures: Callable[[list[Row]], list[Row]] = list


def _quiet(piece: Piece) -> list[Row]:
    arguments = dict(piece.arguments)
    rates, world = arguments.pop("rates"), world_of(piece.world, smoke=piece.smoke)
    return null.at_every_rate(lambda rate: null.undisturbed(world, false_alarms=rate, **arguments), rates)


def _wobbling(piece: Piece) -> list[Row]:
    arguments = dict(piece.arguments)
    rates, world = arguments.pop("rates"), world_of(piece.world, smoke=piece.smoke)
    row = rows_of(piece.world, smoke=piece.smoke)[arguments.pop("scenario")]
    return null.at_every_rate(lambda rate: null.wobbling(world, row, false_alarms=rate, **arguments), rates)


def _of_sizes(measure: Callable[..., Row]) -> Callable[[Piece], list[Row]]:
    def measured(piece: Piece) -> list[Row]:
        arguments = dict(piece.arguments)
        sizes = arguments.pop("sizes")
        return [measure(piece, **arguments, size=size, windows=windows) for size, windows in sizes.items()]

    return measured


def _undisturbed(piece: Piece, **arguments: Any) -> Row:
    return null.undisturbed(world_of(piece.world, smoke=piece.smoke), **arguments)


def _simulated(_: Piece, **arguments: Any) -> Row:
    return simulation.simulated(**arguments)


def _of_scenario(measure: Callable[..., Row]) -> Callable[[Piece], list[Row]]:
    def measured(piece: Piece) -> list[Row]:
        arguments = dict(piece.arguments)
        row = rows_of(piece.world, smoke=piece.smoke)[arguments.pop("scenario")]
        return [measure(world_of(piece.world, smoke=piece.smoke), row, **arguments)]

    return measured


def _localised(piece: Piece) -> list[Row]:
    known = rows_of(piece.world, smoke=piece.smoke)
    faults = [known[name] for name in piece.arguments["scenarios"]]
    return localisation.localised(
        world_of(piece.world, smoke=piece.smoke), faults, seed=piece.arguments["seed"]
    )


def _compared(piece: Piece) -> list[Row]:
    known, arguments = rows_of(piece.world, smoke=piece.smoke), piece.arguments
    chosen = [method for method in methods() if not method.slow or arguments["slow_ones"]]
    return comparison.compared(
        world_of(piece.world, smoke=piece.smoke),
        [known[name] for name in arguments["scenarios"]],
        chosen,
        seed=arguments["seed"],
        size=arguments["size"],
        quiet_windows=arguments["quiet_windows"],
    )


def _costs(piece: Piece) -> list[Row]:
    return [cost.judged_cost(**piece.arguments)]


def _causes(piece: Piece) -> list[Row]:
    from benchmarks.detection import causes

    return [causes.run(world_of(piece.world, smoke=piece.smoke), smoke=piece.smoke)]


def _null_figures(*keys: str) -> Callable[[list[Row]], list[Row]]:
    return lambda rows: null.figures(rows, keys)


PARTS: Mapping[str, Part] = MappingProxyType(
    {
        "quiet": Part(measure=_quiet, figures=_null_figures("world", "false_alarms")),
        "sizes": Part(measure=_of_sizes(_undisturbed), figures=_null_figures("baseline_samples", "window")),
        "simulation": Part(
            measure=_of_sizes(_simulated), figures=_null_figures("wobble", "wobble_sd", "window")
        ),
        "learnt": Part(measure=_of_sizes(_simulated), figures=_null_figures("wobble", "wobble_sd", "window")),
        "wobble": Part(measure=_wobbling, figures=_null_figures("world", "scenario", "false_alarms")),
        "delays": Part(measure=_of_scenario(delays.told), figures=delays.figures),
        "localisation": Part(measure=_localised, figures=localisation.figures),
        "causes": Part(measure=_causes),
        "cost": Part(measure=_costs),
        "comparison": Part(measure=_compared, figures=comparison.figures),
        "trace": Part(measure=_of_scenario(trace.traced)),
    }
)


def measured(piece: Piece) -> list[Row]:
    """What a process does with a piece."""
    return PARTS[piece.part].measure(piece)
