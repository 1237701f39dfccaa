"""headwatch itself, whole and with its predictions alone, as one more method."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmarks.detection.competitors.method import Begin, Decide, Method, Reference
from benchmarks.detection.judging import fitted
from benchmarks.detection.pools import Pool
from monitor.backtest import window_facts
from monitor.drift.detector import Detector
from monitor.drift.settings import ChannelWeights
from monitor.privacy import in_clear

NEXT_TO_NOTHING = 1e-9


def watching(detector: Detector) -> Decide:
    """Whether the alarm stands after each window of a new stream."""
    state, index = detector.start(), 0

    def decide(window: Pool) -> tuple[bool, ...]:
        nonlocal state, index
        facts = window_facts(window.features, index)
        state, verdict = detector.judge(state, window.features, window=facts, probe=None, word_name=in_clear)
        index += 1
        return (verdict.alarm,)

    return decide


def _fit(reference: Reference) -> Begin:
    setting = f"1 per {reference.mean_windows:g} windows"
    detector = fitted(reference.world, reference.baseline, setting)
    return lambda: watching(detector)


def predictions_alone(pool: Pool) -> Pool:
    """The same samples without what heads, words and inputs tell (one head that never changes)."""
    features = pool.features
    nothing = ((),) * len(pool)
    return replace(
        pool,
        features=replace(
            features,
            profile=np.zeros_like(features.profile[:, :1, :1, :1]),
            rollout=np.zeros_like(features.rollout),
            inputs=np.zeros_like(features.inputs),
            words=nothing,
            top_words=nothing,
            importance=np.ones((1, 1), dtype=np.float32),
        ),
    )


def _fit_predictions(reference: Reference) -> Begin:
    world = replace(reference.world, statistics=reference.world.statistics[:1])
    weights = dict.fromkeys(ChannelWeights.model_fields, NEXT_TO_NOTHING)
    detector = fitted(
        world,
        predictions_alone(reference.baseline),
        f"1 per {reference.mean_windows:g} windows",
        channels=ChannelWeights(**{**weights, "prediction": 1.0}),
    )

    def begin() -> Decide:
        judge = watching(detector)
        return lambda window: judge(predictions_alone(window))

    return begin


WHOLE = Method(names=("headwatch",), fit=_fit)
PREDICTIONS = Method(names=("headwatch, predictions alone",), fit=_fit_predictions)
