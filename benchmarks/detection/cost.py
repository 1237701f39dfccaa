"""What judging a window of 12 x 12 heads x 10 statistics x 200 samples costs, and the state's size."""

from __future__ import annotations

import io
import time
from dataclasses import replace

import numpy as np

from benchmarks.detection.judging import fitted
from benchmarks.detection.null import Row
from benchmarks.detection.pools import Pool, World
from benchmarks.detection.simulation import imaginary_world
from benchmarks.detection.streams import BASELINE_SAMPLES
from monitor.backtest import window_facts
from monitor.privacy import in_clear
from monitor.records import INPUT_MEASURES, STATISTICS, Features

LAYERS = HEADS = 12
SAMPLES = 200
WORDS = 12
VOCABULARY = 8000


def judged_cost(*, windows: int, samples: int = BASELINE_SAMPLES, seed: int = 0) -> Row:
    """Median CPU milliseconds of ``judge``, quiet and in alarm; bytes of the state's npz in both."""
    world, draw = large_world(), np.random.default_rng(seed)
    baseline = imaginary_samples(draw, samples)
    started = time.process_time()
    detector = fitted(world, baseline.at(np.arange(len(baseline), dtype=float)))
    fit_seconds = time.process_time() - started
    state, times, sizes, evidence = detector.start(), [], [], []
    for index in range(2 * windows):
        window = imaginary_samples(draw, SAMPLES, shift=0.0 if index < windows else 0.5)
        facts = window_facts(window.features, index)
        started = time.process_time()
        state, verdict = detector.judge(state, window.features, window=facts, probe=None, word_name=in_clear)
        times.append(1000 * (time.process_time() - started))
        evidence.append(verdict.alarm)
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **state.to_arrays())
        sizes.append(buffer.tell())
    in_alarm = [cost for cost, alarm in zip(times, evidence, strict=True) if alarm]
    return {
        "heads": f"{LAYERS} x {HEADS}",
        "statistics": len(STATISTICS),
        "samples": SAMPLES,
        "baseline_samples": samples,
        "windows": len(times),
        "cpu_ms_quiet": round(float(np.median(times[:windows])), 1),
        "cpu_ms_in_alarm": round(float(np.median(in_alarm)), 1) if in_alarm else None,
        "cpu_ms_largest": round(max(times), 1),
        "state_bytes": max(sizes),
        "fit_cpu_seconds": round(fit_seconds, 2),
    }


def large_world() -> World:
    """An imaginary model of the size of BERT base."""
    world = imaginary_world()
    return replace(world, identity=replace(world.identity, layers=LAYERS, heads=HEADS), statistics=STATISTICS)


def imaginary_samples(draw: np.random.Generator, count: int, *, shift: float = 0.0) -> Pool:
    """Samples with words of a Zipf distribution; ``shift`` in sd on every head's first statistic."""
    shape = (count, LAYERS, HEADS, len(STATISTICS))
    profile = draw.standard_normal(shape, dtype=np.float32)
    profile += draw.standard_normal((count, 1, 1, 1), dtype=np.float32)
    profile[..., 0] += shift
    inputs = np.zeros((count, len(INPUT_MEASURES)), dtype=np.float32)
    inputs[:, 0] = draw.normal(3, 0.4, count)
    positive = 1 / (1 + np.exp(-draw.normal(size=count)))
    certain = np.maximum(positive, 1 - positive)
    chosen = np.minimum(draw.zipf(1.3, (count, WORDS)), VOCABULARY)
    words = tuple(tuple(f"word{number}" for number in row) for row in chosen.tolist())
    return Pool(
        features=Features(
            ids=tuple(map(str, range(count))),
            times=np.zeros(count),
            profile=profile,
            rollout=draw.standard_normal((count, 3), dtype=np.float32),
            prediction=np.stack([certain, -np.log(certain), 1 - positive, positive], axis=1).astype(
                np.float32
            ),
            inputs=inputs,
            fidelity=np.full((count, 2), np.nan, dtype=np.float32),
            words=words,
            top_words=tuple(own[:3] for own in words),
            importance=np.ones((LAYERS, HEADS), dtype=np.float32),
        ),
        pooled=np.zeros((count, 1), dtype=np.float32),
        labels=np.full(count, -1),
    )
