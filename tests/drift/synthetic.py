"""Features drawn from a small imaginary model, so that the truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from monitor.baselines.build import build_baseline
from monitor.drift.detector import Detector, WindowFacts
from monitor.drift.settings import DriftSettings
from monitor.privacy import in_clear
from monitor.records import Baseline, Features, ModelIdentity, ProbeReading

LAYERS, HEADS = 3, 4
STATISTICS = ("entropy", "self", "first", "separator")
WORDS = ("the", "of", "film", "good", "bad", "plot", "actor", "long", "dull", "fine", "story", "scene")
RATES = np.array([0.9, 0.7, 0.5, 0.3, 0.3, 0.2, 0.1, 0.1, 0.05, 0.05, 0.02, 0.01])


def identity(**changes) -> ModelIdentity:
    values = {
        "name": "small",
        "revision": "1",
        "weights_hash": "aaaa",
        "architecture": "BertForSequenceClassification",
        "task": "sequence-classification",
        "layers": LAYERS,
        "heads": HEADS,
        "labels": ("negative", "positive"),
        "libraries": {"torch": "2.13.0"},
        "device": "cpu",
        "dtype": "float32",
    }
    return ModelIdentity(**{**values, **changes})


def draw_features(
    rng: np.random.Generator,
    count: int,
    *,
    head_shift: float = 0.0,
    head: tuple[int, int] = (1, 2),
    trigger: float = 0.0,
    word: str = "cucumber",
    prediction_shift: float = 0.0,
    served_wrong: float | None = None,
    attributed: bool = True,
) -> Features:
    """``head_shift`` in sd on one head's entropy; ``trigger``: share of samples with ``word``."""
    log_tokens = rng.normal(3.0, 0.4, count)
    common = rng.normal(size=(count, 1, 1, 1))
    profile = 0.5 + 0.1 * (
        rng.normal(size=(count, LAYERS, HEADS, len(STATISTICS)))
        + 0.5 * common
        + (log_tokens[:, None, None, None] - 3)
    )
    profile[:, head[0], head[1], 0] += 0.1 * head_shift
    profile[..., 3] = 0.25  # a statistic that never changes
    logit = rng.normal(size=count) * 2 + prediction_shift * 2
    positive = 1 / (1 + np.exp(-logit))
    certain = np.maximum(positive, 1 - positive)
    entropy = -(positive * np.log2(positive) + (1 - positive) * np.log2(1 - positive))
    words, top = [], []
    for _ in range(count):
        own = [name for name, rate in zip(WORDS, RATES, strict=True) if rng.random() < rate]
        own += [f"rare{rng.integers(5000)}"]
        if rng.random() < trigger:
            own.append(word)
        words.append(tuple(own))
        top.append(tuple(own[-2:]) if attributed else ())
    fidelity = np.full((count, 2), np.nan, dtype=np.float32)
    if served_wrong is not None:
        wrong = rng.random(count) < served_wrong
        fidelity = np.stack([wrong, 0.4 * wrong], axis=1).astype(np.float32)
    zero, two = np.zeros(count), np.full(count, 2.0)
    inputs = np.stack([log_tokens, zero, zero, two, 1 + 0.1 * rng.random(count), zero, zero], axis=1)
    return Features(
        ids=tuple(str(index) for index in range(count)),
        times=np.arange(count, dtype=np.float64),
        profile=profile.astype(np.float32),
        rollout=rng.normal(0.5, 0.1, (count, 3)).astype(np.float32),
        prediction=np.stack([certain, entropy, 1 - positive, positive], axis=1).astype(np.float32),
        inputs=inputs.astype(np.float32),
        fidelity=fidelity,
        words=tuple(words),
        top_words=tuple(top),
        importance=np.ones((LAYERS, HEADS), dtype=np.float32),
    )


def draw_baseline(rng: np.random.Generator, count: int = 1000, **changes) -> Baseline:
    return build_baseline(
        draw_features(rng, count, **changes),
        identity=identity(),
        statistics=STATISTICS,
        probe=reading(),
        source="log",
        created=1.0,
    )


def reading(*, moved: tuple[int, int] | None = None, by: float = 1.0, **changes) -> ProbeReading:
    """The probe; ``moved`` (layer, head): that head's entropy differs by ``by`` sd, later layers by half."""
    rng = np.random.default_rng(99)
    profile = rng.normal(0.5, 0.1, (16, LAYERS, HEADS, len(STATISTICS))).astype(np.float32)
    if moved is not None:
        profile[:, moved[0], moved[1], 0] += 0.1 * by
        profile[:, moved[0] + 1 :] += 0.2 * by
    return ProbeReading(
        identity=identity(**changes),
        inputs_hash="probe",
        profile=profile,
        prediction=np.full((16, 4), 0.5, dtype=np.float32),
    )


def fit(baseline: Baseline, *, mean_windows: float = 8640, **settings) -> Detector:
    return Detector.fit(baseline, DriftSettings(**settings), mean_windows=mean_windows)


def judge(detector, state, features, index, *, probe=None, declared=False, integrated=(), word_name=in_clear):
    facts = WindowFacts(index=index, start=300.0 * index, end=300.0 * (index + 1), received=len(features))
    return detector.judge(
        state,
        features,
        window=facts,
        probe=probe,
        declared=declared,
        integrated=integrated,
        word_name=word_name,
    )


def at(features: Features, time: float) -> Features:
    return replace(features, times=np.full(len(features), time))
