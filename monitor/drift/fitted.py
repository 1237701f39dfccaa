"""Everything fitted on one baseline: the channels it can watch, their budget, and what they say."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from monitor.drift import describe
from monitor.drift.blocks import time_blocks
from monitor.drift.cause import untouched
from monitor.drift.decision import Budget, share_budget
from monitor.drift.fidelity import Fidelity, fit_fidelity
from monitor.drift.measures import Measures, fit_measures
from monitor.drift.recent_inputs import no_inputs
from monitor.drift.settings import DriftSettings
from monitor.drift.severity import largest_by_chance
from monitor.drift.state import DetectorState, ProbeState
from monitor.drift.surprisal import Halves, surprisal
from monitor.drift.tokens import WordBets, WordName, fit_words
from monitor.records import (
    CHANNELS,
    INPUT_MEASURES,
    ROLLOUT_MEASURES,
    Array,
    Baseline,
    ChannelName,
    Features,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """The frozen fit. ``importance`` (layer, head) sums to 1; ``head_sd`` (layer, head, statistic).

    ``foreign_words``: the baseline's rare words are hashed with another key. ``halves``: how many of
    its samples lie in even and in odd time blocks.
    """

    baseline: Baseline
    foreign_words: bool
    halves: tuple[int, int]
    settings: DriftSettings
    budget: Budget
    measures: Mapping[ChannelName, Measures]
    names: Mapping[ChannelName, tuple[str, ...]]
    words: WordBets
    fidelity: Fidelity
    importance: NDArray[np.float64]
    head_sd: NDArray[np.float64]
    prediction_sd: NDArray[np.float64]
    prediction_skewness: NDArray[np.float64]

    def start(self) -> DetectorState:
        """The state of a detector that has seen nothing."""
        return DetectorState(
            baseline=self.baseline.version,
            mean_windows=self.budget.mean_windows,
            measures={name: item.fresh() for name, item in self.measures.items()},
            words=self.words.fresh(),
            fidelity=self.fidelity.fresh(),
            latches={},
            probe=ProbeState(),
            inputs=no_inputs(),
            episode=None,
            waiting=None,
            waiting_words=(),
            times=(),
        )

    def evidence(self, state: DetectorState) -> dict[ChannelName, float]:
        """The log R of every stochastic channel."""
        found = {name: self.measures[name].pooled(item) for name, item in state.measures.items()}
        found["tokens"] = self.words.evidence(state.words)
        found["fidelity"] = self.fidelity.evidence(state.fidelity)
        return found

    def surprise(self, samples: Sequence[Sequence[str]], word_name: WordName) -> NDArray[np.float32]:
        """How surprising the words of new samples are (sample,)."""
        if self.foreign_words:
            return np.zeros(len(samples), dtype=np.float32)

        def counts(word: str) -> Halves:
            known = self.baseline.words.get(self.words.key(word, word_name))
            return (0, 0) if known is None else known.halves

        return surprisal(samples, counts, self.halves, np.arange(len(samples)) % 2)

    def untouched(self, state: DetectorState) -> frozenset[ChannelName]:
        """The channels whose drift no change of the model can bring about."""
        return untouched(
            state.probe.changes,
            present_words=describe.presence_evidence(self.words, state.words),
            words_limit=self.budget.limit("tokens"),
        )

    def onset(self, state: DetectorState, name: ChannelName, window: int) -> int:
        """The window at which a channel's evidence began to rise."""
        if name == "tokens":
            return describe.word_onset(state.words, window)
        if name == "fidelity":
            return describe.fidelity_onset(state.fidelity, window)
        return describe.measure_onset(state.measures[name], window)

    def prediction_effect(self, state: DetectorState, since: int) -> float:
        """By how many sd the predictions moved since ``since``; 0 where chance alone explains it."""
        own = state.measures.get("prediction")
        if own is None or not len(own.recent.sizes):
            return 0.0
        means = own.recent.since(since)
        chance = largest_by_chance(
            1.0 / (1.0 / means.samples + 1.0 / len(self.baseline.features)), self.prediction_skewness
        )
        effects = np.abs(means.standard)
        moved = effects[effects >= np.maximum(self.settings.minimum_effect, chance)]
        return float(moved.max(initial=0.0))


def fit_baseline(
    baseline: Baseline, settings: DriftSettings, *, mean_windows: float, unseen_count: int
) -> Fitted:
    """Fit every channel that the baseline can watch.

    Where rare words were hashed with another key (``unseen_count``), new samples' words would all look
    rarer than the baseline's own, so the surprise of the words is not watched.
    """
    if unseen_count:
        baseline = replace(baseline, surprisal=np.zeros_like(baseline.surprisal))
    features = baseline.features
    odd = int((time_blocks(features.times) % 2).sum())
    log_tokens = features.inputs[:, 0]
    fitted: dict[ChannelName, Measures] = {}
    names: dict[ChannelName, tuple[str, ...]] = {}
    for channel, columns in channel_values(features, baseline.surprisal).items():
        if columns.shape[1]:
            fitted[channel] = fit_measures(
                columns,
                log_tokens,
                features.times,
                statistics=features.profile.shape[3] if channel == "heads" else 0,
                length_out=channel in ("heads", "rollout"),
            )
            names[channel] = _measure_names(channel, baseline)
    watched: dict[ChannelName, float] = {
        name: getattr(settings.channels, name)
        for name in CHANNELS
        if name in fitted or name in ("tokens", "fidelity")
    }
    return Fitted(
        baseline=baseline,
        foreign_words=unseen_count > 0,
        halves=(len(features) - odd, odd),
        settings=settings,
        budget=share_budget(mean_windows, watched),
        measures=fitted,
        names=names,
        words=fit_words(
            baseline.words,
            total=(baseline.requests, baseline.attributed_requests, baseline.integrated_requests),
            unseen_count=unseen_count,
        ),
        fidelity=fit_fidelity(features.fidelity, features.times),
        importance=_shares(features.importance),
        head_sd=features.profile.std(axis=0, dtype=np.float64),
        prediction_sd=features.prediction.std(axis=0, dtype=np.float64),
        prediction_skewness=_skewness(features.prediction),
    )


def channel_values(features: Features, surprise: NDArray[np.floating]) -> dict[ChannelName, Array]:
    """The columns (sample, feature) of every channel of measured features; ``surprise`` (sample,)."""
    return {
        "heads": features.profile.reshape(len(features), math.prod(features.profile.shape[1:])),
        "rollout": features.rollout,
        "prediction": features.prediction,
        "input": np.column_stack([features.inputs, surprise]),
    }


def _measure_names(channel: ChannelName, baseline: Baseline) -> tuple[str, ...]:
    if channel == "rollout":
        return ROLLOUT_MEASURES
    if channel == "input":
        return (*INPUT_MEASURES, "surprisal")
    if channel == "prediction":
        classes = baseline.features.prediction.shape[1] - 2
        labels = baseline.identity.labels
        named = labels if len(labels) == classes else tuple(str(index) for index in range(classes))
        if baseline.identity.task == "regression":
            return ("top_probability", "entropy", *(f"predicted value {index}" for index in named))
        return ("top_probability", "entropy", *(f"probability of {label}" for label in named))
    return ()


def _skewness(values: Array) -> NDArray[np.float64]:
    """Of each column of (sample, measure); 0 for one that does not vary."""
    centred = values - values.mean(axis=0, dtype=np.float64)
    standard = centred / np.maximum(centred.std(axis=0), 1e-9)
    skewness: NDArray[np.float64] = (standard**3).mean(axis=0)
    return skewness


def _shares(importance: NDArray[np.floating]) -> NDArray[np.float64]:
    total = float(importance.sum())
    if total <= 0 or not math.isfinite(total):
        return np.full(importance.shape, 1.0 / max(importance.size, 1))
    return importance.astype(np.float64) / total
