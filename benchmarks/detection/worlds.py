"""The measured samples of every world: extracted once, kept in the cache folder, read when asked for.

    python -m benchmarks.detection.worlds all
    python -m benchmarks.detection.worlds sentiment [--only PREFIX ...] [--list]

About an hour and a half for all on one core, half of it the decoder's. What is there already
is left as it is, so a run that was cut short goes on where it stopped.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from benchmarks.detection.corpora import Missing
from benchmarks.detection.extraction import (
    extract,
    pool_key,
    read_pool,
    read_reading,
    reading_key,
    save_pool,
    save_reading,
)
from benchmarks.detection.faults import loaded
from benchmarks.detection.models import CACHE, MODELS
from benchmarks.detection.pools import Pool, World
from benchmarks.detection.recipes import RECIPES, Recipe
from monitor.analysis.settings import AnalysisSettings
from monitor.reading.analyser import Analyser
from monitor.replay.probe_inputs import load_probe_texts
from monitor.replay.weights import weights_hash

T = TypeVar("T")
BASELINE = "baseline"
"""The name of the reading of the model as it is."""


class OnDisk(Mapping[str, T]):
    """What of ``names`` a folder holds, read when it is asked for."""

    def __init__(self, folder: Path, names: Sequence[str], read: Callable[[Path], T]) -> None:
        self._paths = {name: folder / f"{name}.npz" for name in names}
        self._read = read

    def __getitem__(self, name: str) -> T:
        """Raises KeyError naming the command that makes it."""
        path = self._paths[name]
        if not path.exists():
            raise KeyError(
                f"{name}: is not in the cache; "
                f"extract it with: python -m benchmarks.detection.worlds WORLD --only {name}"
            )
        return self._read(path)

    def __iter__(self) -> Iterator[str]:
        return (name for name, path in self._paths.items() if path.exists())

    def __len__(self) -> int:
        return sum(1 for _ in self)


@lru_cache(maxsize=64)
def _pool(path: Path) -> Pool:
    return read_pool(path)


def load_world(name: str, *, smoke: bool = False) -> World:
    """A world of what is in the cache; ``smoke``: a few samples, extracted now if need be (seconds)."""
    recipes = RECIPES[name](smoke=smoke)
    folder, readings = _places(name, smoke=smoke)
    if smoke or not (readings / f"{BASELINE}.npz").exists():
        fill(name, only=None if smoke else (), smoke=smoke)
    pools = OnDisk(folder, list(recipes), _pool)
    faults = [label for label, recipe in recipes.items() if recipe.fault is not None]
    known = OnDisk(readings, [BASELINE, *faults], read_reading)
    return World(
        name=name,
        identity=known[BASELINE].identity,
        statistics=_statistics(folder),
        pools=pools,
        readings=known,
    )


def fill(name: str, *, only: Sequence[str] | None = None, smoke: bool = False) -> list[str]:
    """Extract what is missing (of the pools whose names begin with one of ``only``); what could not be had.

    The baseline's probe reading is always taken.
    """
    folder, readings = _places(name, smoke=smoke)
    wanted = {
        label: recipe
        for label, recipe in RECIPES[name](smoke=smoke).items()
        if only is None or label.startswith(tuple(only))
    }
    model = MODELS[name]()
    _fill_one(BASELINE, None, model, folder, readings)
    problems = []
    for label, recipe in wanted.items():
        try:
            _fill_one(label, recipe, model, folder, readings)
        except Missing as missing:
            problems.append(str(missing))
            print(missing, file=sys.stderr, flush=True)
    return problems


def _fill_one(label: str, recipe: Recipe | None, model: Path, folder: Path, readings: Path) -> None:
    path, reading = folder / f"{label}.npz", readings / f"{label}.npz"
    lacks_pool = recipe is not None and not path.exists()
    lacks_reading = (recipe is None or recipe.fault is not None) and not reading.exists()
    if not (lacks_pool or lacks_reading):
        return
    started = time.monotonic()
    texts = recipe.texts(model) if recipe is not None and lacks_pool else None
    with loaded(model, None if recipe is None else recipe.fault) as replayed:
        analyser = Analyser(replayed, AnalysisSettings())
        if texts is not None and recipe is not None:
            save_pool(extract(analyser, texts, gradient=recipe.gradient), path)
        if lacks_reading:
            save_reading(analyser.probe(load_probe_texts()), reading)
        if recipe is None:
            _write_statistics(folder, analyser.statistics)
    count = "" if texts is None else f"{len(texts)} texts, "
    print(f"{label}: {count}{time.monotonic() - started:.1f} s", file=sys.stderr, flush=True)


def _places(name: str, *, smoke: bool) -> tuple[Path, Path]:
    """The folder of a world's pools and that of its readings: the model's files and the formats name them."""
    digest = weights_hash(MODELS[name]())[:16]
    folder = CACHE / "detection" / digest / (pool_key() + ("-smoke" if smoke else ""))
    return folder, folder / f"readings-{reading_key()}"


def _write_statistics(folder: Path, names: Sequence[str]) -> None:
    (folder / "statistics.txt").write_text("\n".join(names), encoding="utf-8")


def _statistics(folder: Path) -> tuple[str, ...]:
    return tuple((folder / "statistics.txt").read_text(encoding="utf-8").split())


def main() -> int:
    """0; what could not be had is printed, and its scenarios are left out."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("world", choices=(*MODELS, "all"))
    parser.add_argument("--only", nargs="*", help="pools whose names begin so")
    parser.add_argument("--list", action="store_true", help="the names of all pools")
    arguments = parser.parse_args()
    names = list(MODELS) if arguments.world == "all" else [arguments.world]
    for name in names:
        if arguments.list:
            print("\n".join(f"{name}  {label}" for label in RECIPES[name](smoke=False)))
            continue
        print(f"{name}:", file=sys.stderr, flush=True)
        try:
            fill(name, only=arguments.only)
        except Missing as missing:
            print(missing, file=sys.stderr, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
