"""The detector as a whole: a frozen fit of the baseline, and one pure step per window.

    features -> every channel's evidence -> one budget -> latched alarms -> cause -> severity -> Verdict

Guarantee: while inputs, model and serving are those of the baseline (up to the tolerances stated
in ``bets``, ``direction`` and ``tokens``), the mean number of windows between alarms of the
stochastic channels is at least ``mean_windows``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from monitor.drift import describe, witnesses
from monitor.drift.blocks import time_blocks
from monitor.drift.cause import causes, explained
from monitor.drift.decision import Budget, Latch, share_budget
from monitor.drift.fidelity import Fidelity, fit_fidelity
from monitor.drift.measures import Measures, Seen, fit_measures
from monitor.drift.probe import ProbeResult, compare
from monitor.drift.recovery import Witness
from monitor.drift.settings import DriftSettings
from monitor.drift.severity import severity
from monitor.drift.state import TIMES_KEPT, DetectorState, ProbeState
from monitor.drift.summary import summarise
from monitor.drift.tokens import WordBets, count_words, fit_words
from monitor.errors import StateError
from monitor.records import (
    CHANNELS,
    INPUT_MEASURES,
    ROLLOUT_MEASURES,
    Array,
    Baseline,
    ChannelName,
    ChannelVerdict,
    Features,
    ProbeReading,
    State,
    Verdict,
)

__all__ = ["Detector", "DetectorState", "WindowFacts", "channel_values"]

WordName = Callable[[str, int], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowFacts:
    """When a window was: its index, start and end (seconds since the epoch), requests received."""

    index: int
    start: float
    end: float
    received: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """A channel's alarm in one window: standing, newly raised, newly cleared."""

    alarm: bool
    raised: bool
    cleared: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Detector:
    """Everything fitted on one baseline; immutable. Build it with ``Detector.fit``."""

    baseline: Baseline
    settings: DriftSettings
    budget: Budget
    measures: Mapping[ChannelName, Measures]
    names: Mapping[ChannelName, tuple[str, ...]]
    words: WordBets
    fidelity: Fidelity
    importance: NDArray[np.float64]
    head_sd: NDArray[np.float64]
    prediction_sd: NDArray[np.float64]

    @classmethod
    def fit(
        cls, baseline: Baseline, settings: DriftSettings, *, mean_windows: float, unseen_count: int = 0
    ) -> Detector:
        """Fit every channel that the baseline can watch.

        ``mean_windows``: mean windows between false alarms. ``unseen_count``: see ``WordBets``.
        """
        features = baseline.features
        blocks = time_blocks(features.times)
        log_tokens = features.inputs[:, 0]
        fitted: dict[ChannelName, Measures] = {}
        names: dict[ChannelName, tuple[str, ...]] = {}
        for channel, columns in channel_values(features).items():
            if columns.shape[1]:
                fitted[channel] = fit_measures(
                    columns,
                    log_tokens,
                    blocks,
                    length_out=channel in ("heads", "rollout"),
                    direction=channel == "heads",
                )
                names[channel] = _measure_names(channel, baseline)
        watched: dict[ChannelName, float] = {
            name: getattr(settings.channels, name)
            for name in CHANNELS
            if name in fitted or name in ("tokens", "fidelity")
        }
        return cls(
            baseline=baseline,
            settings=settings,
            budget=share_budget(mean_windows, watched),
            measures=fitted,
            names=names,
            words=fit_words(
                baseline.words,
                requests=baseline.requests,
                attributed=baseline.attributed_requests,
                unseen_count=unseen_count,
            ),
            fidelity=fit_fidelity(features.fidelity),
            importance=_shares(features.importance),
            head_sd=features.profile.std(axis=0, dtype=np.float64),
            prediction_sd=features.prediction.std(axis=0, dtype=np.float64),
        )

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
            episode=None,
            times=(),
        )

    def judge(
        self,
        state: DetectorState,
        features: Features,
        *,
        window: WindowFacts,
        probe: ProbeReading | None,
        declared: bool = False,
        word_name: WordName,
    ) -> tuple[DetectorState, Verdict]:
        """One window: the new state and the verdict; ``state`` is left as it is.

        ``declared``: the model's change was announced, so it is noted and pages nobody.
        ``word_name(word, requests)`` shows a word in clear or hashed. Raises StateError if ``state``
        belongs to another baseline.
        """
        if state.baseline != self.baseline.version:
            raise StateError(
                f"detector state: made for baseline {state.baseline}, this is {self.baseline.version}; "
                "start a fresh one"
            )
        before = state
        times = (*state.times, (window.index, window.start))[-TIMES_KEPT:]
        state = replace(state, times=times)
        result = compare(self.baseline.probe, probe, self.head_sd, self.prediction_sd)
        state = self._watch_model(state, result, window.index)
        enough = len(features) >= self.settings.minimum
        cleared: set[ChannelName] = set(before.latches) - set(state.latches)
        if enough:
            state, gone = self._watch_stream(state, features, window.index, word_name)
            cleared |= gone
        raised = set(state.latches) - set(before.latches)
        if state.latches and state.episode is None:
            state = replace(state, episode=f"{self.baseline.version}-{window.index}")
        verdict = self._verdict(
            state,
            window,
            samples=len(features),
            enough=enough,
            raised=raised,
            cleared=cleared - set(state.latches),
            was=before,
            result=result,
            declared=declared,
            reading=probe,
        )
        if not state.latches and state.episode is not None:
            state = replace(self._restarted(state), episode=None)
        return state, verdict

    def _watch_model(self, state: DetectorState, result: ProbeResult | None, window: int) -> DetectorState:
        """The probe's word: raise or clear ``model``; drop evidence won under weights that are gone."""
        if result is None or not result.comparable:
            return state
        known = state.probe
        moved = result.difference > self.settings.probe_threshold
        since = known.since if moved and known.moved else window
        probe = ProbeState(known=True, moved=moved, since=since, same_weights=result.same_weights)
        state = replace(state, probe=probe)
        latches = dict(state.latches)
        if moved:
            latches["model"] = latches.get("model") or Latch(since=window, raised=window)
            return replace(state, latches=latches)
        if not known.moved:
            return state
        kept: dict[ChannelName, Latch] = {
            name: latch
            for name, latch in latches.items()
            if name != "model" and not explained(latch.since, probe_moved=True, moved_since=known.since)
        }
        return replace(self._restarted(state, keep=set(kept)), latches=kept)

    def _restarted(self, state: DetectorState, *, keep: set[ChannelName] | None = None) -> DetectorState:
        """Evidence starts anew in every channel that is not kept."""
        kept = keep or set()
        return replace(
            state,
            measures={
                name: item if name in kept else self.measures[name].fresh()
                for name, item in state.measures.items()
            },
            words=state.words if "tokens" in kept else self.words.fresh(),
            fidelity=state.fidelity if "fidelity" in kept else self.fidelity.fresh(),
        )

    def _watch_stream(
        self, state: DetectorState, features: Features, window: int, word_name: WordName
    ) -> tuple[DetectorState, set[ChannelName]]:
        """Every stochastic channel's step, then recovery of standing alarms, then new alarms."""
        seen: dict[ChannelName, Seen] = {}
        measures = dict(state.measures)
        columns = channel_values(features)
        for name, item in self.measures.items():
            measures[name], seen[name] = item.step(
                measures[name], columns[name], features.inputs[:, 0], window
            )
        attributed = [words for words in features.top_words if words]
        counted = [
            (count_words(features.words), len(features)),
            (count_words(attributed), len(attributed)),
        ]
        state = replace(
            state,
            measures=measures,
            words=self.words.step(state.words, counted, word_name, window),
            fidelity=self.fidelity.step(state.fidelity, features.fidelity, window),
        )
        keys = {self.words.key(word, word_name): word for counts, _ in counted for word in counts}
        state, gone = self._recover(state, seen, features, keys)
        return self._raise(state, seen, window, gone), gone

    def _recover(
        self, state: DetectorState, seen: Mapping[ChannelName, Seen], features: Features, keys: dict[str, str]
    ) -> tuple[DetectorState, set[ChannelName]]:
        evidence = self.evidence(state)
        latches: dict[ChannelName, Latch] = {}
        gone: set[ChannelName] = set()
        for name, latch in state.latches.items():
            if name == "model":
                latches[name] = latch
                continue
            noted = tuple(self._heard(name, item, seen, features, keys) for item in latch.witnesses)
            standing = replace(latch, witnesses=noted)
            if standing.recovery >= math.log(self.settings.recovery) or evidence[name] < 0:
                gone.add(name)
            else:
                latches[name] = standing
        if gone:
            kept: set[ChannelName] = set(self.evidence(state)) - gone
            state = self._restarted(state, keep=kept)
        return replace(state, latches=latches), gone

    def _heard(
        self,
        channel: ChannelName,
        item: Witness,
        seen: Mapping[ChannelName, Seen],
        features: Features,
        keys: dict[str, str],
    ) -> Witness:
        if item.form == "word":
            return item.step(witnesses.word_scores(item, features, keys))
        if item.form == "fidelity":
            return item.step(witnesses.fidelity_scores(item, self.fidelity, features))
        return item.step(witnesses.measure_scores(item, self.measures[channel], seen[channel]))

    def _raise(
        self, state: DetectorState, seen: Mapping[ChannelName, Seen], window: int, gone: set[ChannelName]
    ) -> DetectorState:
        evidence = self.evidence(state)
        latches = dict(state.latches)
        over = self.budget.over(evidence)
        if set(latches) - {"model"}:
            over = {name for name in over if evidence[name] >= self.budget.limit(name)}
        for name in sorted(over - set(latches) - gone):
            since = self.onset(state, name, window)
            noted = self._witnesses(state, seen, name, since)
            latches[name] = Latch(since=since, raised=window, witnesses=noted)
        return replace(state, latches=latches)

    def _witnesses(
        self, state: DetectorState, seen: Mapping[ChannelName, Seen], name: ChannelName, since: int
    ) -> tuple[Witness, ...]:
        if name == "tokens":
            return witnesses.word_witnesses(self.words, state.words)
        if name == "fidelity":
            return witnesses.fidelity_witnesses(self.fidelity, state.fidelity)
        own, limit = state.measures[name], self.budget.limit(name)
        return witnesses.measure_witnesses(self.measures[name], own, seen[name], since, limit)

    def evidence(self, state: DetectorState) -> dict[ChannelName, float]:
        """The log R of every stochastic channel."""
        found = {name: self.measures[name].pooled(item) for name, item in state.measures.items()}
        found["tokens"] = self.words.evidence(state.words)
        found["fidelity"] = self.fidelity.evidence(state.fidelity)
        return found

    def onset(self, state: DetectorState, name: ChannelName, window: int) -> int:
        """The window at which a channel's evidence began to rise."""
        if name == "tokens":
            return describe.word_onset(state.words, window)
        if name == "fidelity":
            return describe.fidelity_onset(state.fidelity, window)
        return describe.measure_onset(state.measures[name], window)

    def _channel(
        self, state: DetectorState, name: ChannelName, window: int, evidence: float, flags: Flags
    ) -> ChannelVerdict:
        latch = state.latches.get(name)
        since = latch.since if latch else self.onset(state, name, window)
        found = ChannelVerdict(
            channel=name,
            evidence=max(evidence, -50.0),
            limit=self.budget.limit(name),
            since=latch.since if latch else None,
            recovery=max(latch.recovery, 0.0) if latch and latch.witnesses else 0.0,
            recovery_limit=math.log(self.settings.recovery),
            alarm=flags.alarm,
            raised=flags.raised,
            cleared=flags.cleared,
        )
        log_limit = self.budget.log_limit
        if name == "tokens":
            gained, lost = describe.word_evidence(
                self.words, state.words, log_limit=log_limit, alarm=latch is not None
            )
            return replace(found, gained=gained, lost=lost)
        if name == "fidelity":
            return replace(found, measures=describe.fidelity_evidence(self.fidelity, state.fidelity))
        item, own = self.measures[name], state.measures[name]
        if not len(own.recent.sizes):
            return found
        if name == "heads":
            heads = describe.head_evidence(
                item,
                own,
                shape=(self.head_sd.shape[0], self.head_sd.shape[1], self.head_sd.shape[2]),
                statistics=self.baseline.statistics,
                importance=self.importance,
                since=since,
                log_limit=log_limit,
            )
            single, along = item.evidence(own)
            detail = f"single heads {max(single, -50):.1f}, learned direction {max(along, -50):.1f}"
            return replace(found, heads=heads, detail=detail)
        told = describe.measure_evidence(item, own, names=self.names[name], since=since)
        return replace(found, measures=told)

    def _model_channel(
        self, state: DetectorState, result: ProbeResult | None, flags: Flags
    ) -> ChannelVerdict:
        latch = state.latches.get("model")
        found = ChannelVerdict(
            channel="model",
            evidence=0.0,
            limit=self.settings.probe_threshold,
            since=latch.since if latch else None,
            detail=_probe_detail(self.baseline.probe, result),
            alarm=flags.alarm,
            raised=flags.raised,
            cleared=flags.cleared,
        )
        if result is None or not result.comparable:
            return found
        heads = describe.probe_heads(
            result, statistics=self.baseline.statistics, importance=self.importance, head_sd=self.head_sd
        )
        moved = result.difference > self.settings.probe_threshold
        return replace(found, evidence=min(result.difference, 1e6), heads=heads if moved else ())

    def prediction_effect(self, state: DetectorState, since: int) -> float:
        """By how many sd the predictions moved since ``since``; 0 where chance alone explains it."""
        own = state.measures.get("prediction")
        if own is None or not len(own.recent.sizes):
            return 0.0
        means = own.recent.since(since)
        effect = float(np.abs(means.standard).max(initial=0.0))
        chance = 3.0 * math.sqrt(1.0 / means.samples + 1.0 / len(self.baseline.features))
        return effect if effect >= max(self.settings.minimum_effect, chance) else 0.0

    def _verdict(
        self,
        state: DetectorState,
        window: WindowFacts,
        *,
        samples: int,
        enough: bool,
        raised: set[ChannelName],
        cleared: set[ChannelName],
        was: DetectorState,
        result: ProbeResult | None,
        declared: bool,
        reading: ProbeReading | None,
    ) -> Verdict:
        evidence = self.evidence(state)

        def flags(name: ChannelName) -> Flags:
            return Flags(alarm=name in state.latches, raised=name in raised, cleared=name in cleared)

        channels: dict[str, ChannelVerdict] = {
            name: self._channel(state, name, window.index, evidence[name], flags(name)) for name in evidence
        }
        channels["model"] = self._model_channel(state, result, flags("model"))
        standing = {name: latch.since for name, latch in state.latches.items()}
        found = causes(
            alarms=standing,
            probe_moved=state.probe.moved,
            moved_since=state.probe.since,
            same_weights=state.probe.same_weights,
        )
        since = min(standing.values(), default=None)
        since_time = None if since is None else state.start_of(since)
        effect = 0.0 if since is None else self.prediction_effect(state, since)
        rank = severity(
            causes=found,
            alarms=standing,
            heads=channels["heads"].heads if "heads" in channels else (),
            prediction_effect=effect,
            minimum_effect=self.settings.minimum_effect,
            declared=declared,
        )
        alarm = bool(standing)
        status: State = "alarm" if alarm else "quiet"
        text = _quiet_text(samples, bool(cleared), enough, self.settings.minimum)
        if alarm:
            text = summarise(
                causes=found,
                severity=rank,
                since=since,
                since_time=since_time,
                channels=channels,
                probe_known=state.probe.known,
                prediction_effect=effect,
                declared=declared,
            )
        identity = reading.identity if reading is not None else self.baseline.identity
        return Verdict(
            model=self.baseline.identity.name,
            revision=identity.revision,
            baseline=self.baseline.version,
            window=window.index,
            start=window.start,
            end=window.end,
            samples=samples,
            received=window.received,
            state=status if enough else "too_few_samples",
            alarm=alarm,
            raised=alarm and was.episode is None,
            cleared=not alarm and was.episode is not None,
            episode=state.episode,
            causes=found,
            severity=rank,
            since=since,
            since_time=since_time,
            evidence=max(self.budget.pooled(evidence), -50.0),
            limit=self.budget.log_limit,
            channels=channels,
            summary=text,
        )


def channel_values(features: Features) -> dict[ChannelName, Array]:
    """The columns (sample, feature) of every channel of measured features."""
    return {
        "heads": features.profile.reshape(len(features), math.prod(features.profile.shape[1:])),
        "rollout": features.rollout,
        "prediction": features.prediction,
        "input": features.inputs,
    }


def _measure_names(channel: ChannelName, baseline: Baseline) -> tuple[str, ...]:
    if channel == "rollout":
        return ROLLOUT_MEASURES
    if channel == "input":
        return INPUT_MEASURES
    if channel == "prediction":
        classes = baseline.features.prediction.shape[1] - 2
        labels = baseline.identity.labels
        named = labels if len(labels) == classes else tuple(str(index) for index in range(classes))
        return ("top_probability", "entropy", *(f"probability of {label}" for label in named))
    return ()


def _shares(importance: NDArray[np.floating]) -> NDArray[np.float64]:
    total = float(importance.sum())
    if total <= 0 or not math.isfinite(total):
        return np.full(importance.shape, 1.0 / max(importance.size, 1))
    return importance.astype(np.float64) / total


def _probe_detail(baseline: ProbeReading | None, result: ProbeResult | None) -> str:
    if baseline is None:
        return "the baseline has no probe reading: build it again to tell data from model"
    if result is None:
        return "not read in this window"
    if not result.comparable:
        return "the probe inputs or statistics are not those of the baseline: build the baseline again"
    if result.difference == 0:
        return "unchanged"
    weights = "same weights" if result.same_weights else "other weights"
    return f"moved by {result.difference:.3g} sd under the {weights}"


def _quiet_text(samples: int, cleared: bool, enough: bool, minimum: int) -> str:
    if not enough:
        return f"{samples} samples are too few to judge (at least {minimum}); evidence is kept as it was."
    if cleared:
        return "The shift has ended; the inputs behave like the baseline again."
    return "Nothing has changed."
