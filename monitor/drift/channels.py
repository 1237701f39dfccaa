"""One channel of a verdict: its evidence against its limit, and what moved in it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from monitor.drift import describe
from monitor.drift.changes import parts
from monitor.drift.fitted import Fitted
from monitor.drift.measures import PARTS
from monitor.drift.probe import ProbeResult
from monitor.drift.state import DetectorState
from monitor.drift.summary import plain_number
from monitor.records import ChannelName, ChannelVerdict, ProbeReading

NOTHING_SERVED = "no served predictions came, so nothing was compared"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """A channel's alarm in one window: standing, newly raised, newly cleared.

    ``recovery``: the log evidence that cleared it.
    """

    alarm: bool
    raised: bool
    cleared: bool
    recovery: float = 0.0


def channel_verdict(
    fitted: Fitted, state: DetectorState, name: ChannelName, window: int, evidence: float, flags: Flags
) -> ChannelVerdict:
    """One stochastic channel in one window, with what moved in it most."""
    latch = state.latches.get(name)
    since = latch.since if latch else fitted.onset(state, name, window)
    found = ChannelVerdict(
        channel=name,
        evidence=max(evidence, -50.0),
        limit=fitted.budget.limit(name),
        since=latch.since if latch else None,
        recovery=max(latch.recovery if latch and latch.witnesses else flags.recovery, 0.0),
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
        named = zip(PARTS, item.evidence(own), strict=False)
        detail = ", ".join(f"{part} {max(value, -50):.1f}" for part, value in named)
        return replace(found, heads=heads, detail=detail)
    told = describe.measure_evidence(item, own, names=fitted.names[name], since=since)
    return replace(found, measures=told)


def model_verdict(
    fitted: Fitted, state: DetectorState, result: ProbeResult | None, flags: Flags
) -> ChannelVerdict:
    """The probe's word on the model itself."""
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
    moved = result.difference > result.limit(fitted.settings.probe_threshold)
    # Where other parameters let any difference count, a limit of 0 would be no measure of it.
    limit = min(found.limit, result.difference) if moved else found.limit
    return replace(found, limit=limit, evidence=min(result.difference, 1e6), heads=heads if moved else ())


def _probe_detail(baseline: ProbeReading | None, result: ProbeResult | None) -> str:
    if baseline is None:
        return "the baseline has no probe reading: build it again to tell data from model"
    if result is None:
        return "not read in this window"
    if not result.comparable:
        return "the probe inputs or statistics are not those of the baseline: build the baseline again"
    found = result.changes
    if result.difference == 0:
        return "unchanged, though the model's files are other ones" if found.files else "unchanged"
    weights = "other weights" if found.files else "the same weights"
    if found.files and found.compared:
        weights = f"other weights ({parts(found)})" if found.parameters else "other files"
    return f"moved by {plain_number(result.difference, 3)} sd under {weights}"
