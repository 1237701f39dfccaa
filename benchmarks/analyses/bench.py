"""What each analysis costs in plain forward passes, what it says of a real model, and flat memory.

``python -m benchmarks.analyses.bench [--smoke]`` prints three tables and writes
``benchmarks/results/analyses.json``. CPU seconds are medians of interleaved repeats in one process,
over batches of held-out reviews through the demo's sentiment model; each cost is the difference to
the pass that the analysis rides on, over the plain SDPA forward of the same batches.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import machine
from examples.sentiment.assemble import assemble
from examples.sentiment.texts import rotten_tomatoes
from monitor.analysis.heads.survey import HeadSurvey
from monitor.analysis.layout import TokenLayout
from monitor.analysis.settings import AnalysisSettings, AttributionSettings, ScheduledSettings
from monitor.analysis.tokens.faithfulness import faithfulness, ranking, removals
from monitor.analysis.tokens.flow import LayerMatrices, attention_flow
from monitor.reading.analyser import Analyser
from monitor.reading.examined import removal_effects
from monitor.reading.integrated import integrate_batch
from monitor.records import Attribution, Sample
from monitor.replay.batches import Batch
from monitor.replay.model import load_model
from monitor.replay.settings import ModelSettings
from monitor.replay.tokens import Encoded

RESULTS = Path(__file__).parents[1] / "results"
MODEL = Path(__file__).parents[2] / ".cache" / "sentiment"
OFF = ScheduledSettings(**dict.fromkeys(ScheduledSettings.model_fields, False))
ALL = ScheduledSettings(**dict.fromkeys(ScheduledSettings.model_fields, True))
PLAIN, PROFILE, GRADIENT = "plain forward", "head statistics", "gradient and relevance"
RIDES_ON = {GRADIENT: PROFILE, PROFILE: PLAIN}
METHODS = ("integrated_gradients", "relevance", "gradient_times_input", "rollout", "random")


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is measured: texts for costs, repeats, texts that are explained, samples for memory."""

    texts: int
    repeats: int
    explained: int
    samples: int


FULL = Size(texts=16, repeats=5, explained=60, samples=10_000)
SMOKE = Size(texts=4, repeats=1, explained=2, samples=40)


def variants(
    analyser: Analyser, batches: Sequence[tuple[Batch, list[Encoded]]]
) -> dict[str, Callable[[], Any]]:
    """What to time, as functions of nothing, each over all batches."""
    model = analyser.model
    parts = {
        name: OFF.model_copy(update={name: True})
        for name in ("roles", "sinks", "norm_weighted", "redundancy")
    }
    answers = [model.run(batch).answers for batch, _ in batches]

    def layout(batch: Batch) -> TokenLayout:
        return TokenLayout.of(batch.real, batch.special, causal=model.causal)

    def read(*, gradient: bool, settings: ScheduledSettings | None = None) -> Callable[[], Any]:
        def run() -> None:
            for batch, rows in batches:
                survey = None if settings is None else HeadSurvey(settings)
                analyser.reader.read_batch(batch, gradient=gradient, survey=survey, rows=rows)
                if survey is not None:
                    survey.commit()

        return run

    def flow() -> None:
        for batch, rows in batches:
            kept = LayerMatrices(layout(batch))
            model.run(batch, kept)
            for number in range(len(rows)):
                attention_flow(kept.of_row(number), 0)

    def without_tokens() -> None:
        draw = random.Random(0)
        for (batch, rows), said in zip(batches, answers, strict=True):
            for number, row in enumerate(rows):
                content = [place for place in range(len(row.ids)) if place not in row.special]
                ranked = [tuple(draw.sample(content, len(content))) for _ in range(3)]
                removal_effects(model, batch, number, said, frozenset().union(*map(removals, ranked)))

    def integrated() -> None:
        for (batch, _), said in zip(batches, answers, strict=True):
            integrate_batch(model, batch, said, AttributionSettings())

    return {
        PLAIN: lambda: [model.run(batch) for batch, _ in batches],
        PROFILE: read(gradient=False),
        GRADIENT: read(gradient=True),
        **{name: read(gradient=False, settings=settings) for name, settings in parts.items()},
        "attention_flow": flow,
        "faithfulness": without_tokens,
        "Integrated Gradients": integrated,
    }


def costs(analyser: Analyser, texts: Sequence[str], repeats: int) -> dict[str, float]:
    """Of each variant what it adds to the pass it rides on, in plain forwards of the same texts."""
    rows = list(analyser.encode([Sample(id=t, time=0.0, text=t) for t in texts])[0].values())
    batches = [
        (analyser.model.batch([rows[i] for i in members]), [rows[i] for i in members])
        for members in analyser.model.plan(rows)
    ]
    timed: dict[str, list[float]] = {}
    for repeat in range(repeats + 1):
        for name, variant in variants(analyser, batches).items():
            start = time.process_time()
            variant()
            if repeat or repeats == 1:  # the first round warms up
                timed.setdefault(name, []).append(time.process_time() - start)
    seconds = {name: statistics.median(values) for name, values in timed.items()}
    heads = ("roles", "sinks", "norm_weighted", "redundancy")
    below = {**RIDES_ON, **dict.fromkeys(heads, PROFILE)}
    return {
        name: round((value - (seconds[below[name]] if name in below else 0.0)) / seconds[PLAIN], 2)
        for name, value in seconds.items()
    }


def what_it_says(analyser: Analyser, texts: Sequence[str]) -> dict[str, Any]:
    """Agreement with Integrated Gradients, and faithfulness beside that of a random ranking."""
    samples = [Sample(id=str(i), time=0.0, text=text) for i, text in enumerate(texts)]
    explained = [item for item in analyser.attribute(samples) if item.converged]
    chance = dict(zip((item.id for item in explained), _random_faithfulness(analyser, samples), strict=False))
    agreements = {
        name: {
            "spearman": _mean(item.agreements[name].spearman for item in explained),
            "overlap_at_5": _mean(item.agreements[name].overlap_at_5 for item in explained),
        }
        for name in explained[0].agreements
    }
    return {
        "texts": len(explained),
        "agreement_with_integrated_gradients": agreements,
        "faithfulness": {name: _faithful(explained, name, chance) for name in METHODS},
    }


def _faithful(explained: Sequence[Attribution], name: str, chance: Mapping[str, Any]) -> dict[str, float]:
    found = [chance[item.id] if name == "random" else item.faithfulness[name] for item in explained]
    thirds = [removal for item in found for removal in item.removals if removal.tokens == 3]
    return {
        "comprehensiveness": _mean(item.comprehensiveness for item in found),
        "sufficiency": _mean(item.sufficiency for item in found),
        "top_3_drop": _mean(removal.drop for removal in thirds),
        "top_3_flips": _mean(float(bool(removal.flips)) for removal in thirds),
    }


def _random_faithfulness(analyser: Analyser, samples: Sequence[Sample]) -> list[Any]:
    """Of a random ranking: what a method must beat to say anything."""
    model, draw, found = analyser.model, np.random.default_rng(0), []
    for row in analyser.encode(samples)[0].values():
        batch = model.batch([row])
        content = [place for place in range(len(row.ids)) if place not in row.special]
        ranked = ranking(draw.normal(size=len(row.ids)), content)
        effects = removal_effects(model, batch, 0, model.run(batch).answers, removals(ranked))
        found.append(faithfulness(ranked, effects))
    return found


def memory(analyser: Analyser, texts: Sequence[str], samples: int) -> list[dict[str, float]]:
    """Resident MiB as more and more samples go through every analysis there is; results are dropped."""
    everything = Analyser(analyser.model, AnalysisSettings(scheduled=ALL, watch_lists={"words": ("the",)}))
    survey, done, rows = HeadSurvey(ALL), 0, []
    step = max(1, samples // 10)
    while done < samples:
        chunk = [Sample(id=str(done + i), time=0.0, text=texts[(done + i) % len(texts)]) for i in range(step)]
        for start in range(0, step, 50):
            everything.attribute(chunk[start : start + 50], survey=survey)
        done += step
        gc.collect()
        rows.append({"samples": done, "resident_mib": round(_resident(), 1)})
    return rows


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * 4096 / 2**20


def _mean(values: Any) -> float:
    return round(float(np.mean(list(values))), 3)


def small_model(folder: Path) -> Path:
    """A tiny classifier: memory does not depend on how large the model is."""
    from tests.models import save_tiny

    return save_tiny("bert", folder)


def main() -> None:
    """Measure, print, store."""
    import tempfile

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="a short run; nothing is stored")
    size = SMOKE if parser.parse_args().smoke else FULL
    analyser = Analyser(load_model(ModelSettings(source=str(assemble(MODEL)))), AnalysisSettings())
    texts = [labelled.text for labelled in rotten_tomatoes().held_out]
    found = costs(analyser, texts[: size.texts], size.repeats)
    for name, value in found.items():
        print(f"{name:24} {value:8.2f} forwards", flush=True)
    says = what_it_says(analyser, texts[-size.explained :])
    print(json.dumps(says, indent=2))
    with tempfile.TemporaryDirectory() as name:
        tiny = Analyser(load_model(ModelSettings(source=str(small_model(Path(name))))), AnalysisSettings())
        grown = memory(
            tiny, ["the cat sat on the mat.", "a small dog ran", "it was very old, but quick"], size.samples
        )
    for row in grown:
        print(f"{row['samples']:>8} samples {row['resident_mib']:8.1f} MiB")
    if size is FULL:
        document = {"machine": machine(), "forwards": found, **says, "memory": grown}
        (RESULTS / "analyses.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
