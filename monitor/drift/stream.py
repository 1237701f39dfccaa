"""One window's effect on the state: the model's own watch, the stream's evidence, recovery, new alarms."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from monitor.drift import witnesses
from monitor.drift.cause import ONSET_SLACK, explained
from monitor.drift.decision import Latch
from monitor.drift.effects import KEPT as EFFECT_WINDOWS
from monitor.drift.fitted import Fitted, channel_values
from monitor.drift.measures import Seen
from monitor.drift.probe import ProbeResult
from monitor.drift.recovery import Witness
from monitor.drift.state import DetectorState, ProbeState
from monitor.drift.tokens import WordName, count_words
from monitor.records import ChannelName, Features

PERSISTS = -2.0
"""Log evidence of recovery below which the shift is taken to persist."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A window that is large enough to be judged: its samples, each worth ``power``.

    ``words``: per kind of ``tokens.KINDS`` the samples' words; those by Integrated Gradients are of
    other samples than the window's.
    """

    index: int
    features: Features
    words: tuple[Sequence[Sequence[str]], ...]
    power: float


def watch_model(
    fitted: Fitted, state: DetectorState, result: ProbeResult | None, window: int
) -> DetectorState:
    """The probe's word: raise or clear ``model``; drop evidence won under weights that are gone."""
    if result is None or not result.comparable:
        return state
    known = state.probe
    moved = result.difference > result.limit(fitted.settings.probe_threshold)
    since = known.since if moved and known.moved else window
    free = fitted.untouched(state)
    probe = ProbeState(known=True, moved=moved, since=since, changes=result.changes)
    state = replace(state, probe=probe)
    latches = dict(state.latches)
    if moved:
        if not known.moved:
            free = fitted.untouched(state)
            latches = {
                name: latch if name in free else _redated(latch, window) for name, latch in latches.items()
            }
        latches["model"] = latches.get("model") or Latch(since=window, raised=window)
        return replace(state, latches=latches)
    if not known.moved:
        return state
    kept: dict[ChannelName, Latch] = {
        name: latch
        for name, latch in latches.items()
        if name in free
        or (name != "model" and not explained(latch.since, probe_moved=True, moved_since=known.since))
    }
    return replace(restarted(fitted, state, keep=set(kept)), latches=kept)


def _redated(latch: Latch, moved_since: int) -> Latch:
    """An alarm that came with the model's move began with it, whatever chance had gathered before."""
    earliest = moved_since - ONSET_SLACK
    return replace(latch, since=max(latch.since, earliest)) if latch.raised >= earliest else latch


def watch_stream(
    fitted: Fitted, state: DetectorState, window: Heard, word_name: WordName
) -> tuple[DetectorState, dict[ChannelName, float]]:
    """Every stochastic channel's step, then recovery of standing alarms, then new alarms.

    Also gives the channels whose alarm ended, with the log evidence for it.
    """
    features, power = window.features, window.power
    seen: dict[ChannelName, Seen] = {}
    measures = dict(state.measures)
    columns = channel_values(features, fitted.surprise(features.words, word_name))
    for name, item in fitted.measures.items():
        measures[name], seen[name] = item.step(
            measures[name], columns[name], features.inputs[:, 0], window.index, power
        )
    counted = [(count_words(samples), len(samples)) for samples in window.words]
    state = replace(
        state,
        measures=measures,
        words=fitted.words.step(state.words, counted, word_name, window.index, power),
        fidelity=fitted.fidelity.step(state.fidelity, features.fidelity, window.index, power),
        inputs=state.inputs.add(window.index, columns["input"]),
    )
    keys = {fitted.words.key(word, word_name): word for counts, _ in counted for word in counts}
    state, gone = _recover(fitted, state, seen, window, keys)
    return _raise(fitted, state, seen, window.index, gone), gone


def restarted(fitted: Fitted, state: DetectorState, *, keep: set[ChannelName] | None = None) -> DetectorState:
    """Evidence starts anew in every channel that is not kept."""
    kept = keep or set()
    return replace(
        state,
        measures={
            name: item if name in kept else fitted.measures[name].fresh()
            for name, item in state.measures.items()
        },
        words=state.words if "tokens" in kept else fitted.words.fresh(),
        fidelity=state.fidelity if "fidelity" in kept else fitted.fidelity.fresh(),
    )


def _recover(
    fitted: Fitted,
    state: DetectorState,
    seen: Mapping[ChannelName, Seen],
    window: Heard,
    keys: dict[str, str],
) -> tuple[DetectorState, dict[ChannelName, float]]:
    evidence = fitted.evidence(state)
    latches: dict[ChannelName, Latch] = {}
    gone: dict[ChannelName, float] = {}
    for name, latch in state.latches.items():
        if name == "model":
            latches[name] = latch
            continue
        noted = tuple(_heard(fitted, name, item, seen, window, keys) for item in latch.witnesses)
        standing = replace(latch, witnesses=noted)
        if standing.recovery >= math.log(fitted.settings.recovery) or evidence[name] < 0:
            gone[name] = standing.recovery
        elif standing.recovery < PERSISTS and window.index - latch.raised < EFFECT_WINDOWS:
            better = _witnesses(fitted, state, seen, name, latch.since)
            latches[name] = replace(latch, witnesses=better or noted)
        else:
            latches[name] = standing
    if gone:
        kept: set[ChannelName] = set(fitted.evidence(state)) - set(gone)
        state = restarted(fitted, state, keep=kept)
    return replace(state, latches=latches), gone


def _heard(
    fitted: Fitted,
    channel: ChannelName,
    item: Witness,
    seen: Mapping[ChannelName, Seen],
    window: Heard,
    keys: dict[str, str],
) -> Witness:
    if item.form == "word":
        scores = witnesses.word_scores(item, window.words[item.place[0]], keys)
    elif item.form == "fidelity":
        scores = witnesses.fidelity_scores(item, fitted.fidelity, window.features)
    else:
        scores = witnesses.measure_scores(item, fitted.measures[channel], seen[channel])
    return item.step(scores, window.power)


def _raise(
    fitted: Fitted,
    state: DetectorState,
    seen: Mapping[ChannelName, Seen],
    window: int,
    gone: Mapping[ChannelName, float],
) -> DetectorState:
    evidence = fitted.evidence(state)
    latches = dict(state.latches)
    over = fitted.budget.over(evidence)
    if set(latches) - {"model"}:
        over = {name for name in over if evidence[name] >= fitted.budget.limit(name)}
    for name in sorted(over - set(latches) - set(gone)):
        since = fitted.onset(state, name, window)
        noted = _witnesses(fitted, state, seen, name, since)
        latch = Latch(since=since, raised=window, witnesses=noted)
        by_model = state.probe.moved and name not in fitted.untouched(state)
        latches[name] = _redated(latch, state.probe.since) if by_model else latch
    return replace(state, latches=latches)


def _witnesses(
    fitted: Fitted, state: DetectorState, seen: Mapping[ChannelName, Seen], name: ChannelName, since: int
) -> tuple[Witness, ...]:
    if name == "tokens":
        return witnesses.word_witnesses(fitted.words, state.words)
    if name == "fidelity":
        return witnesses.fidelity_witnesses(fitted.fidelity, state.fidelity)
    return witnesses.measure_witnesses(fitted.measures[name], state.measures[name], seen[name], since)
