"""State and evidence turned into the verdict that leaves the detector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from monitor.drift.cause import causes
from monitor.drift.changes import Changes
from monitor.drift.channels import Flags, channel_verdict, model_verdict
from monitor.drift.fitted import Fitted
from monitor.drift.probe import ProbeResult
from monitor.drift.severity import severity
from monitor.drift.state import DetectorState
from monitor.drift.summary import summarise
from monitor.drift.suspicion import Signs, suspicions
from monitor.records import (
    Cause,
    ChannelName,
    ChannelVerdict,
    ProbeReading,
    Severity,
    Suspicion,
    Verdict,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowFacts:
    """When a window was: its index, start and end (seconds since the epoch), requests received."""

    index: int
    start: float
    end: float
    received: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingAlarm:
    """What is said of the alarms that stand together."""

    causes: tuple[Cause, ...]
    severity: Severity | None
    since: int
    suspicions: tuple[Suspicion, ...]
    summary: str


def build_verdict(
    fitted: Fitted,
    state: DetectorState,
    window: WindowFacts,
    *,
    samples: int,
    enough: bool,
    raised: set[ChannelName],
    cleared: Mapping[ChannelName, float],
    was: DetectorState,
    result: ProbeResult | None,
    declared: bool,
    reading: ProbeReading | None,
) -> Verdict:
    """One window's verdict from the ``state`` after it and the one it ``was`` before.

    ``raised`` / ``cleared``: the channels whose alarm began / ended in this window, these with the
    log evidence for it.
    """
    evidence, probe = fitted.evidence(state), state.probe

    def flags(name: ChannelName) -> Flags:
        return Flags(
            alarm=name in state.latches,
            raised=name in raised,
            cleared=name in cleared,
            recovery=cleared.get(name, 0.0),
        )

    channels: dict[str, ChannelVerdict] = {
        name: channel_verdict(fitted, state, name, window.index, evidence[name], flags(name))
        for name in evidence
    }
    channels["model"] = model_verdict(fitted, state, result, flags("model"))
    alarm = _standing_alarm(fitted, state, channels, result, declared=declared) if state.latches else None
    text = _quiet_text(samples, bool(cleared), enough, fitted.settings.minimum, probe.changes)
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
        state=("quiet" if alarm is None else "alarm") if enough else "too_few_samples",
        alarm=alarm is not None,
        raised=alarm is not None and was.episode is None,
        cleared=alarm is None and was.episode is not None,
        episode=state.episode,
        causes=() if alarm is None else alarm.causes,
        severity=None if alarm is None else alarm.severity,
        since=None if alarm is None else alarm.since,
        since_time=None if alarm is None else state.start_of(alarm.since),
        evidence=max(fitted.budget.pooled(evidence), -50.0),
        limit=fitted.budget.log_limit,
        channels=channels,
        summary=text if alarm is None else alarm.summary,
        declared=declared,
        upgrades=probe.changes.upgrades,
        suspicions=() if alarm is None else alarm.suspicions,
    )


def _standing_alarm(
    fitted: Fitted,
    state: DetectorState,
    channels: Mapping[str, ChannelVerdict],
    result: ProbeResult | None,
    *,
    declared: bool,
) -> StandingAlarm:
    probe, standing = state.probe, {name: latch.since for name, latch in state.latches.items()}
    since = min(standing.values())
    found = causes(
        alarms=standing,
        probe_moved=probe.moved,
        moved_since=probe.since,
        same_weights=not probe.changes.files,
        untouched=fitted.untouched(state),
    )
    effect = fitted.prediction_effect(state, since)
    rank = severity(
        causes=found,
        alarms=standing,
        heads=channels["heads"].heads if "heads" in channels else (),
        prediction_effect=effect,
        minimum_effect=fitted.settings.minimum_effect,
        declared=declared,
        upgraded=bool(probe.changes.upgrades),
    )
    suspected = suspicions(_signs(fitted, state, result, since))
    text = summarise(
        causes=found,
        severity=rank,
        since=since,
        since_time=state.start_of(since),
        channels=channels,
        probe_known=probe.known,
        changes=probe.changes,
        suspicions=suspected,
        prediction_effect=effect,
        declared=declared,
    )
    return StandingAlarm(causes=found, severity=rank, since=since, suspicions=suspected, summary=text)


def _signs(fitted: Fitted, state: DetectorState, result: ProbeResult | None, since: int) -> Signs:
    """What faults of the pipeline would show in, from the alarm's onset on."""
    baseline = fitted.baseline
    return Signs(
        before=np.column_stack([baseline.features.inputs, baseline.surprisal]),
        now=state.inputs.since(since),
        changes=state.probe.changes,
        padding=0.0 if result is None else result.padding,
    )


def _quiet_text(samples: int, cleared: bool, enough: bool, minimum: int, found: Changes) -> str:
    if not enough:
        return f"{samples} samples are too few to judge (at least {minimum}); evidence is kept as it was."
    if cleared:
        return "The shift has ended; the inputs behave like the baseline again."
    if found.files:
        return "Nothing has changed but the model's files: the probe inputs give the same numbers."
    if found.upgrades:
        return f"Nothing has changed but {', '.join(found.upgrades)}: an upgrade without effect."
    return "Nothing has changed."
