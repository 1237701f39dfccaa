"""State and evidence turned into the verdict that leaves the detector."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from monitor.drift import describe
from monitor.drift.cause import causes
from monitor.drift.fitted import Fitted
from monitor.drift.probe import ProbeResult
from monitor.drift.severity import severity
from monitor.drift.state import DetectorState
from monitor.drift.summary import plain_number, summarise
from monitor.records import ChannelName, ChannelVerdict, ProbeReading, State, Verdict

NOTHING_SERVED = "no served predictions came, so nothing was compared"


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


def build_verdict(
    fitted: Fitted,
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
    """One window's verdict from the ``state`` after it and the one it ``was`` before.

    ``raised`` / ``cleared``: the channels whose alarm began / ended in this window.
    """
    evidence = fitted.evidence(state)

    def flags(name: ChannelName) -> Flags:
        return Flags(alarm=name in state.latches, raised=name in raised, cleared=name in cleared)

    channels: dict[str, ChannelVerdict] = {
        name: _channel(fitted, state, name, window.index, evidence[name], flags(name)) for name in evidence
    }
    channels["model"] = _model_channel(fitted, state, result, flags("model"))
    standing = {name: latch.since for name, latch in state.latches.items()}
    found = causes(
        alarms=standing,
        probe_moved=state.probe.moved,
        moved_since=state.probe.since,
        same_weights=state.probe.same_weights,
    )
    since = min(standing.values(), default=None)
    since_time = None if since is None else state.start_of(since)
    effect = 0.0 if since is None else fitted.prediction_effect(state, since)
    rank = severity(
        causes=found,
        alarms=standing,
        heads=channels["heads"].heads if "heads" in channels else (),
        prediction_effect=effect,
        minimum_effect=fitted.settings.minimum_effect,
        declared=declared,
    )
    alarm = bool(standing)
    status: State = "alarm" if alarm else "quiet"
    text = _quiet_text(samples, bool(cleared), enough, fitted.settings.minimum)
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
    identity = reading.identity if reading is not None else fitted.baseline.identity
    return Verdict(
        model=fitted.baseline.identity.name,
        revision=identity.revision,
        baseline=fitted.baseline.version,
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
        evidence=max(fitted.budget.pooled(evidence), -50.0),
        limit=fitted.budget.log_limit,
        channels=channels,
        summary=text,
    )


def _channel(
    fitted: Fitted, state: DetectorState, name: ChannelName, window: int, evidence: float, flags: Flags
) -> ChannelVerdict:
    latch = state.latches.get(name)
    since = latch.since if latch else fitted.onset(state, name, window)
    found = ChannelVerdict(
        channel=name,
        evidence=max(evidence, -50.0),
        limit=fitted.budget.limit(name),
        since=latch.since if latch else None,
        recovery=max(latch.recovery, 0.0) if latch and latch.witnesses else 0.0,
        recovery_limit=math.log(fitted.settings.recovery),
        alarm=flags.alarm,
        raised=flags.raised,
        cleared=flags.cleared,
    )
    log_limit = fitted.budget.log_limit
    if name == "tokens":
        gained, lost = describe.word_evidence(
            fitted.words, state.words, log_limit=log_limit, alarm=latch is not None
        )
        return replace(found, gained=gained, lost=lost)
    if name == "fidelity":
        if not state.fidelity.trials.any():
            return replace(found, detail=NOTHING_SERVED)
        return replace(found, measures=describe.fidelity_evidence(fitted.fidelity, state.fidelity))
    item, own = fitted.measures[name], state.measures[name]
    if not len(own.recent.sizes):
        return found
    if name == "heads":
        heads = describe.head_evidence(
            item,
            own,
            shape=(fitted.head_sd.shape[0], fitted.head_sd.shape[1], fitted.head_sd.shape[2]),
            statistics=fitted.baseline.statistics,
            importance=fitted.importance,
            since=since,
            log_limit=log_limit,
        )
        single, along = item.evidence(own)
        detail = f"single heads {max(single, -50):.1f}, learned direction {max(along, -50):.1f}"
        return replace(found, heads=heads, detail=detail)
    told = describe.measure_evidence(item, own, names=fitted.names[name], since=since)
    return replace(found, measures=told)


def _model_channel(
    fitted: Fitted, state: DetectorState, result: ProbeResult | None, flags: Flags
) -> ChannelVerdict:
    latch = state.latches.get("model")
    found = ChannelVerdict(
        channel="model",
        evidence=0.0,
        limit=fitted.settings.probe_threshold,
        since=latch.since if latch else None,
        detail=_probe_detail(fitted.baseline.probe, result),
        alarm=flags.alarm,
        raised=flags.raised,
        cleared=flags.cleared,
    )
    if result is None or not result.comparable:
        return found
    heads = describe.probe_heads(
        result, statistics=fitted.baseline.statistics, importance=fitted.importance, head_sd=fitted.head_sd
    )
    moved = result.difference > fitted.settings.probe_threshold
    return replace(found, evidence=min(result.difference, 1e6), heads=heads if moved else ())


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
    return f"moved by {plain_number(result.difference, 3)} sd under the {weights}"


def _quiet_text(samples: int, cleared: bool, enough: bool, minimum: int) -> str:
    if not enough:
        return f"{samples} samples are too few to judge (at least {minimum}); evidence is kept as it was."
    if cleared:
        return "The shift has ended; the inputs behave like the baseline again."
    return "Nothing has changed."
