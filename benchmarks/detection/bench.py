"""The detection benchmark: one table of goals, scenarios and methods, JSON and plots.

    python -m benchmarks.detection.bench [--smoke] [--only PART ...] [--processes 2]

runs on the pools of ``benchmarks.detection.worlds`` and stores what it measured in
``benchmarks/results``; ``--smoke`` measures a little of each part in seconds and writes nothing;
``--only`` measures some parts and leaves the others as they are stored; ``--table`` measures nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.detection import plots
from benchmarks.detection.comparison import not_installed
from benchmarks.detection.competitors.listing import methods
from benchmarks.detection.goals import goals
from benchmarks.detection.null import Row
from benchmarks.detection.parts import PARTS, measured
from benchmarks.detection.plan import PIECES, SMOKE, Piece, world_of
from benchmarks.detection.scenarios import SCENARIOS, scenarios
from benchmarks.detection.table import tables
from benchmarks.machine import machine
from monitor import __version__

RESULTS = Path(__file__).resolve().parents[1] / "results" / "detection.json"
SCHEMA = 2
SHOWN = 8
LARGE = ("comparison", "causes")
"""Parts of few pieces that take minutes: begun first, so that no process ends alone."""


def run(pieces: Sequence[Piece], *, processes: int) -> tuple[dict[str, list[Row]], dict[str, float]]:
    """The figures of each part, and the seconds of computing that they took."""
    rows: dict[str, list[tuple[int, list[Row]]]] = {piece.part: [] for piece in pieces}
    seconds = dict.fromkeys(rows, 0.0)
    started = time.monotonic()
    for done, (index, found, spent) in enumerate(_measured(pieces, processes), start=1):
        part = pieces[index].part
        rows[part].append((index, found))
        seconds[part] += spent
        elapsed = time.monotonic() - started
        print(f"\r{done}/{len(pieces)} pieces, {elapsed:.0f} s ({part})   ", end="", file=sys.stderr)
    print(file=sys.stderr)
    figures = {
        name: PARTS[name].figures([row for _, few in sorted(found, key=lambda item: item[0]) for row in few])
        for name, found in rows.items()
    }
    return figures, {name: round(value, 1) for name, value in seconds.items()}


def _measured(pieces: Sequence[Piece], processes: int) -> Iterator[tuple[int, list[Row], float]]:
    if processes == 1:
        yield from (_timed(index, piece) for index, piece in enumerate(pieces))
        return
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")  # the processes share out the cores
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        largest_first = sorted(enumerate(pieces), key=lambda item: item[1].part not in LARGE)
        waiting = [pool.submit(_timed, index, piece) for index, piece in largest_first]
        for future in as_completed(waiting):
            yield future.result()


def _timed(index: int, piece: Piece) -> tuple[int, list[Row], float]:
    started = time.process_time()
    return index, measured(piece), time.process_time() - started


def missing() -> list[str]:
    """Methods and scenarios that could not be run here, and why."""
    found = [f"{name} (not installed)" for name in not_installed(methods())]
    for world in SCENARIOS:
        lacking = scenarios(world_of(world, smoke=False))[1]
        pools = list(dict.fromkeys(pool for _, pool in lacking))
        if lacking:
            more = "" if len(pools) <= SHOWN else f" and {len(pools) - SHOWN} more"
            found.append(
                f"{len(lacking)} scenarios of {world} (not in the cache: {', '.join(pools[:SHOWN])}{more})"
            )
    return found


def stored(path: Path) -> dict[str, Any]:
    """What earlier runs left, of this schema."""
    if not path.exists():
        return {}
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content if content.get("schema") == SCHEMA else {}


def merged(
    before: Mapping[str, Any],
    figures: Mapping[str, list[Row]],
    seconds: Mapping[str, float],
    *,
    left_out: Sequence[str],
) -> dict[str, Any]:
    """The stored results with the parts that were measured now in their place."""
    parts = {**before.get("parts", {}), **figures}
    ordered = {name: parts[name] for name in PIECES if name in parts}
    return {
        "schema": SCHEMA,
        "headwatch": __version__,
        "machine": machine(),
        "left_out": list(left_out),
        "goals": [
            {"goal": g.name, "wanted": g.wanted, "measured": g.figure, "reached": g.reached}
            for g in goals(ordered)
        ],
        "cpu_seconds": {**before.get("cpu_seconds", {}), **seconds},
        "parts": ordered,
    }


def written(content: Mapping[str, Any]) -> str:
    """JSON with one line per row of a part."""
    head = {key: value for key, value in content.items() if key != "parts"}
    lines = [
        f" {json.dumps(name)}: [\n" + ",\n".join(f"  {json.dumps(row)}" for row in rows) + "\n ]"
        for name, rows in content["parts"].items()
    ]
    return json.dumps(head, indent=1)[:-2] + ',\n "parts": {\n' + ",\n".join(lines) + "\n }\n}\n"


def main() -> int:
    """0; with ``--check`` 1 if a goal that was measured was missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--smoke", action="store_true", help="a little of each part; nothing is written")
    parser.add_argument("--only", nargs="+", choices=PIECES, default=list(PIECES), metavar="PART")
    parser.add_argument("--table", action="store_true", help="print what is stored")
    parser.add_argument("--check", action="store_true", help="exit 1 where a goal was missed")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    before = stored(arguments.output)
    if arguments.smoke:
        figures, _ = run([p for p in SMOKE if p.part in arguments.only], processes=1)
        print("Too few windows for any goal: this only shows that every part runs.\n")
        print(tables(figures, [f"{name} (not installed)" for name in not_installed(methods())]))
        return 0
    if not arguments.table:
        pieces = [piece for name in arguments.only for piece in PIECES[name]()]
        figures, seconds = run(pieces, processes=arguments.processes)
        before = merged(before, figures, seconds, left_out=missing())
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(written(before), encoding="utf-8")
    text = tables(before["parts"], before["left_out"])
    print(text)
    arguments.output.with_suffix(".md").write_text(
        f"# Detection benchmark\n\nPrinted by `make bench-detection`.\n\n{text}", encoding="utf-8"
    )
    plots.draw(before["parts"], arguments.output.parent)
    return 1 if arguments.check and not all(goal["reached"] for goal in before["goals"]) else 0


if __name__ == "__main__":
    sys.exit(main())
