"""False alarms where the truth is known: Gaussian heads of one factor, whose means wobble.

Feature j of sample i in window t: x = .6 f_i + .8 e_ij + m_tj, with f, e standard normal and m_tj of
standard deviation ``wobble``: one value for all features (kind ``common``, as a mix of texts moves
them) or one for each by itself (``own``, 216 directions at once). The baseline of 2,000 samples is 20
blocks of 100, each with a wobble of its own, so that there is something to learn from; or what the
sidecar learns by default from a week of windows of 200 in five minutes, each with a wobble of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np

from benchmarks.detection.judging import fitted
from benchmarks.detection.null import Row, counted
from benchmarks.detection.pools import Pool, World
from benchmarks.detection.streams import BASELINE_SAMPLES
from monitor.config.configuration import BaselineSettings
from monitor.drift.blocks import BLOCKS
from monitor.live.learning import LiveBaseline
from monitor.privacy import WordPrivacy
from monitor.records import INPUT_MEASURES, STATISTICS, Features, ModelIdentity
from monitor.state.settings import StateSettings, WindowSettings
from monitor.state.store import StateStore

Kind = Literal["common", "own"]
KINDS: Sequence[Kind] = ("common", "own")
LAYERS, HEADS, STATISTICS_WATCHED = 6, 12, 3


def simulated(
    *,
    seed: int,
    kind: Kind,
    wobble: float,
    size: int,
    windows: int,
    false_alarms: str,
    learnt: bool = False,
) -> Row:
    """One baseline's share of a null figure; ``learnt``: as the sidecar learns it."""
    draw = np.random.default_rng([seed, KINDS.index(kind), round(1000 * wobble)])
    block = BASELINE_SAMPLES // BLOCKS
    sizes = _learnt_sizes() if learnt else [block] * BLOCKS
    parts = [_samples(draw, count, kind, wobble) for count in sizes]
    baseline = Pool(
        features=Features.concatenate([part.features for part in parts]),
        pooled=np.concatenate([part.pooled for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
    )
    draw = np.random.default_rng([seed, KINDS.index(kind), round(1000 * wobble), size])
    detector = fitted(imaginary_world(), baseline.at(np.arange(len(baseline), dtype=float)), false_alarms)
    return {
        "wobble": kind,
        "wobble_sd": wobble,
        "false_alarms": false_alarms,
        "window": size,
        "baseline_samples": len(baseline),
        **counted(detector, (_samples(draw, size, kind, wobble) for _ in range(windows))),
    }


@lru_cache(maxsize=1)
def _learnt_sizes() -> list[int]:
    """How many samples the sidecar takes, with its defaults, from each window that it learns from."""
    window, settings = WindowSettings(), BaselineSettings()
    now = 0.0
    taken: list[int] = []
    with TemporaryDirectory() as folder:
        store = StateStore(
            Path(folder) / "state.sqlite", settings=StateSettings(), window=window, clock=lambda: now
        )
        learning = LiveBaseline(
            store=store,
            privacy=WordPrivacy(key=bytes(32)),
            window=window,
            settings=settings,
            clock=lambda: now,
        )
        draw = np.random.default_rng(0)
        while not learning.complete():
            now += window.duration
            taken.append(min(window.samples, learning.quota()))
            learning.add(_samples(draw, taken[-1], KINDS[0], 0.0).features)
        store.close()
    return [count for count in taken if count]


@lru_cache(maxsize=1)
def imaginary_world() -> World:
    """A model that exists only as numbers: 6 layers of 12 heads with three statistics."""
    identity = ModelIdentity(
        name="imaginary",
        revision="1",
        weights_hash="0" * 64,
        architecture="none",
        task="sequence-classification",
        layers=LAYERS,
        heads=HEADS,
        labels=("negative", "positive"),
        libraries={},
        device="cpu",
        dtype="float32",
    )
    return World(
        name="simulation",
        identity=identity,
        statistics=STATISTICS[:STATISTICS_WATCHED],
        pools={},
        readings={},
    )


def _samples(draw: np.random.Generator, count: int, kind: Kind, wobble: float) -> Pool:
    shape = (LAYERS, HEADS, STATISTICS_WATCHED)
    mean = wobble * draw.normal(size=shape if kind == "own" else ())
    factor = draw.normal(size=(count, 1, 1, 1))
    profile = 0.6 * factor + 0.8 * draw.normal(size=(count, *shape)) + mean
    logit = draw.normal(size=count) + wobble * draw.normal()
    positive = 1 / (1 + np.exp(-2 * logit))
    certain = np.maximum(positive, 1 - positive)
    inputs = np.zeros((count, len(INPUT_MEASURES)))
    inputs[:, 0] = 3 + 0.4 * (draw.normal(size=count) + wobble * draw.normal())
    prediction = np.stack([certain, -np.log(certain), 1 - positive, positive], axis=1)
    nothing = ((),) * count
    return Pool(
        features=Features(
            ids=tuple(map(str, range(count))),
            times=np.zeros(count),
            profile=profile.astype(np.float32),
            rollout=(draw.normal(size=(count, 3)) + wobble * draw.normal(size=3)).astype(np.float32),
            prediction=prediction.astype(np.float32),
            inputs=inputs.astype(np.float32),
            fidelity=np.full((count, 2), np.nan, dtype=np.float32),
            words=nothing,
            top_words=nothing,
            importance=np.ones((LAYERS, HEADS), dtype=np.float32),
        ),
        pooled=np.zeros((count, 1), dtype=np.float32),
        labels=np.full(count, -1),
    )
