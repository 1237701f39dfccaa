"""Head statistics and Integrated Gradients, beside the usual recipe, in one run.

``python -m benchmarks.attribution.bench [--smoke]`` prints a table and writes
``benchmarks/results/attribution.json``. The model is the demo's sentiment classifier, the texts held-out
sentences. CPU seconds a text are medians of interleaved repeats with one thread.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.attribution.accuracy import accuracy
from benchmarks.attribution.recipe import SETTINGS, Runner, competitors
from benchmarks.machine import machine
from examples.sentiment.assemble import assemble
from examples.sentiment.texts import rotten_tomatoes
from monitor.analysis.settings import AnalysisSettings, ScheduledSettings
from monitor.reading.analyser import Analyser
from monitor.records import Sample
from monitor.replay.model import load_model
from monitor.replay.settings import ModelSettings

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
OURS = "headwatch"
TEXTS, REPEATS, ATTRIBUTED, CHECKED = 16, 3, 100, 100
SMOKE = (2, 1, 4, 2)


def make_analyser(source: Path) -> Analyser:
    """Statistics, rollout and Integrated Gradients; nothing that the recipe does not give."""
    nothing = ScheduledSettings(**dict.fromkeys(ScheduledSettings.model_fields, False))
    return Analyser(load_model(ModelSettings(source=str(source))), AnalysisSettings(scheduled=nothing))


def samples(texts: Sequence[str]) -> list[Sample]:
    """Texts as what the analyser takes."""
    return [Sample(id=str(number), time=0.0, text=text) for number, text in enumerate(texts)]


def cpu_seconds(runners: dict[str, Runner], texts: Sequence[str], repeats: int) -> dict[str, float]:
    """Median CPU seconds a text, the repeats interleaved so that noise hits all alike."""
    taken: dict[str, list[float]] = {name: [] for name in runners}
    for runner in runners.values():
        runner(texts[:2])
    for _ in range(repeats):
        for name, runner in runners.items():
            start = time.process_time()
            runner(texts)
            taken[name].append((time.process_time() - start) / len(texts))
    return {name: statistics.median(values) for name, values in taken.items()}


def measure(texts: int, repeats: int, attributed: int, checked: int) -> dict[str, Any]:
    """Everything that goes into the JSON file."""
    source = assemble(ROOT / ".cache" / "sentiment")
    held_out = [labelled.text for labelled in rotten_tomatoes().held_out]
    analyser = make_analyser(source)
    others, missing = competitors(source)

    def ours(given: Sequence[str]) -> Any:
        return analyser.profile(samples(given), gradient=False), analyser.attribute(samples(given))

    torch.set_num_threads(1)
    seconds = cpu_seconds({OURS: ours, **others}, held_out[-texts:], repeats)
    return {
        "machine": machine(),
        "texts": texts,
        "repeats": repeats,
        "not_installed": missing,
        "settings": {name: SETTINGS[name] for name in seconds if name in SETTINGS},
        "cpu_seconds_per_text": {name: round(value, 4) for name, value in seconds.items()},
        "texts_per_cpu_second": {name: round(1 / value, 2) for name, value in seconds.items()},
        "recipe_over_headwatch": round(seconds["usual recipe"] / seconds[OURS], 2),
        "integrated_gradients": accuracy(
            analyser, analyser.attribute(samples(held_out[-attributed:])), checked
        ),
    }


def main() -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="a short run; nothing is stored")
    smoke = parser.parse_args().smoke
    result = measure(*(SMOKE if smoke else (TEXTS, REPEATS, ATTRIBUTED, CHECKED)))
    print(f"{'variant':24} {'CPU s/text':>10} {'texts/CPU s':>12}")
    for name, seconds in result["cpu_seconds_per_text"].items():
        print(f"{name:24} {seconds:10.4f} {result['texts_per_cpu_second'][name]:12.2f}")
    for name in result["not_installed"]:
        print(f"{name:24} not installed: left out")
    print(f"usual recipe over headwatch: {result['recipe_over_headwatch']:.2f}")
    for name, value in result["integrated_gradients"].items():
        print(f"  {name}: {value}")
    if not smoke:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "attribution.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
