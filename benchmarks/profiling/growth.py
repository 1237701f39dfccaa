"""How the cost of profiling grows: with samples, tokens, layers and heads; and what padding wastes.

``python -m benchmarks.profiling.growth [--smoke]`` prints the figures, writes
``benchmarks/results/growth.json`` and draws ``docs/cost-growth.png``. Random weights; CPU seconds with one
thread, medians of interleaved repeats, each beside the plain SDPA forward of the same batch.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.machine import machine
from benchmarks.profiling.bench import PLAIN, PROFILE, RESULTS, Case, make_variants, write_model
from benchmarks.profiling.padding import review_waste

PLOT = Path(__file__).parents[2] / "docs" / "cost-growth.png"
SMALL = {"layers": 6, "hidden": 384}
SWEEPS: dict[str, tuple[int, ...]] = {
    "tokens": (64, 128, 256, 512, 1024),
    "layers": (2, 4, 8, 12),
    "heads": (4, 8, 16, 32),
}
SAMPLES, EVERY = 10_000, 1_000


def case_of(axis: str, size: int, repeats: int) -> Case:
    """A model of MiniLM's shape with one axis set to ``size``; a batch of about a thousand tokens."""
    if axis == "tokens":
        return Case(tokens=size, rows=max(1, 1024 // size), repeats=repeats, **SMALL)
    if axis == "layers":
        return Case(tokens=128, rows=8, repeats=repeats, layers=size, hidden=SMALL["hidden"])
    return Case(tokens=128, rows=8, repeats=repeats, heads=size, **SMALL)


def sweep(axis: str, sizes: tuple[int, ...], repeats: int) -> Iterator[dict[str, Any]]:
    """One point a size: CPU seconds of the plain forward and of the profile."""
    for size in sizes:
        case = case_of(axis, size, repeats)
        with tempfile.TemporaryDirectory() as name:
            variants = make_variants(case, write_model(case, Path(name)))
            taken: dict[str, list[float]] = {PLAIN: [], PROFILE: []}
            for repeat in range(repeats + 1):
                for variant, values in taken.items():
                    start = time.process_time()
                    variants[variant]()
                    if repeat:  # the first round warms up
                        values.append(time.process_time() - start)
        plain, profile = (statistics.median(taken[variant]) for variant in (PLAIN, PROFILE))
        yield {
            "axis": axis,
            "size": size,
            "tokens_in_batch": case.tokens * case.rows,
            "plain_cpu_seconds": round(plain, 4),
            "profile_cpu_seconds": round(profile, 4),
            "ratio": round(profile / plain, 3),
        }


def over_samples(count: int, every: int) -> list[dict[str, Any]]:
    """CPU seconds and resident memory as ever more samples go through one tiny analyser, window by window.

    Every window has the same lengths: oneDNN keeps what it prepared for each new shape, up to 1,024 of
    them, and that growth (some 30 MiB over 10,000 samples of ever new shapes) is not the analyser's.
    """
    import torch

    from monitor.analysis.settings import AnalysisSettings
    from monitor.reading.analyser import Analyser
    from monitor.records import Sample
    from monitor.replay.model import load_model
    from monitor.replay.settings import ModelSettings

    torch.set_num_threads(1)
    case = Case(tokens=64, rows=16, repeats=1, layers=2, hidden=96)
    points: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        source = write_model(case, Path(name))
        analyser = Analyser(load_model(ModelSettings(source=str(source))), AnalysisSettings())
        start = time.process_time()
        for done in range(0, count, every):
            draw = torch.Generator().manual_seed(0)
            for window in range(0, every, min(100, every)):
                lengths = torch.randint(4, case.tokens, (min(100, every),), generator=draw).tolist()
                analyser.profile(
                    [
                        Sample(
                            id=f"{window}-{i}", time=0.0, input_ids=tuple(4 + j % 2 for j in range(length))
                        )
                        for i, length in enumerate(lengths)
                    ]
                )
            points.append(
                {
                    "samples": done + every,
                    "cpu_seconds": round(time.process_time() - start, 2),
                    "resident_mib": round(resident_mib(), 1),
                }
            )
    return points


def resident_mib() -> float:
    """Memory of this process."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return float("nan")


def draw_growth(result: dict[str, Any], file: Path) -> None:
    """Four panels: samples (seconds and memory), tokens, layers, heads."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 4, figsize=(15, 3.4), constrained_layout=True)
    points = result["samples"]
    samples = [point["samples"] for point in points]
    axes[0].plot(samples, [point["cpu_seconds"] for point in points], "o-", label="CPU seconds")
    memory = axes[0].twinx()
    memory.plot(samples, [point["resident_mib"] for point in points], "s--", color="tab:red")
    memory.set_ylim(0, 1.3 * max(point["resident_mib"] for point in points))
    memory.set_ylabel("resident MiB", color="tab:red")
    axes[0].set_xlabel("samples")
    axes[0].set_ylabel("CPU seconds")
    axes[0].set_ylim(bottom=0)
    for panel, axis in zip(axes[1:], SWEEPS, strict=True):
        chosen = [point for point in result["sweeps"] if point["axis"] == axis]
        for key, label in (("plain_cpu_seconds", PLAIN), ("profile_cpu_seconds", PROFILE)):
            per_token = [1e3 * point[key] / point["tokens_in_batch"] for point in chosen]
            panel.plot([point["size"] for point in chosen], per_token, "o-", label=label)
        panel.set_xlabel(axis)
        panel.set_ylabel("CPU ms a token")
        panel.set_ylim(bottom=0)
        panel.legend()
    figure.savefig(file, dpi=110)
    plt.close(figure)


def main() -> None:
    """Measure, print, store, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="a short run; nothing is stored")
    smoke = parser.parse_args().smoke
    sweeps = {axis: sizes[:1] if smoke else sizes for axis, sizes in SWEEPS.items()}
    result = {
        "machine": machine(),
        "padding": [point for texts in ((60,) if smoke else (200, 2000)) for point in review_waste(texts)],
        "samples": over_samples(*((40, 20) if smoke else (SAMPLES, EVERY))),
        "sweeps": [
            point for axis, sizes in sweeps.items() for point in sweep(axis, sizes, 1 if smoke else 5)
        ],
    }
    for part in ("padding", "samples", "sweeps"):
        for point in result[part]:  # type: ignore[attr-defined]
            print("  ".join(f"{name} {value}" for name, value in point.items()))
    if not smoke:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "growth.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        draw_growth(result, PLOT)


if __name__ == "__main__":
    main()
