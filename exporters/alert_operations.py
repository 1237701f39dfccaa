"""Alerts of the watch itself: what no alarm can say, because silence is not the same as no drift."""

from __future__ import annotations

from dataclasses import dataclass

from exporters import alert_text as say
from exporters.alert_cadence import Cadence, duration, words

BY = "by (job, instance, model)"
ON = "on (job, instance, model)"
MODEL = "{{ $labels.model }}"
WORTH_A_WARNING, WORTH_WAKING = 0.01, 0.5
"""Shares of the samples that arrived and were dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One alert. ``conditions``: by severity its expression, and how long it must stand (None: as ever)."""

    alert: str
    conditions: dict[str, tuple[str, float | None]]
    summary: str
    changed: str
    action: str


def operations(cadence: Cadence) -> tuple[Operation, ...]:
    """All of them, at this cadence."""
    return _stale(cadence), _too_few_samples(), _sink_failing(cadence), _samples_dropped(cadence)


def _stale(cadence: Cadence) -> Operation:
    starting, rate = 'headwatch_state{state="starting"}', duration(cadence.rate)
    stale = (
        f'max {BY} (headwatch_state{{state="stale"}}) == 1'
        f" or max {BY} (time() - headwatch_last_update_timestamp_seconds) > {cadence.stale:g}"
        # Loading a model takes minutes; a sidecar that is still at it after this long never gets there.
        f" or max {BY} ({starting} == 1 and {starting} offset {rate} == 1)"
        # A sidecar that is gone has no series at all; what it was watching is known from before.
        f" or (max {BY} (last_over_time(headwatch_state[{duration(cadence.gone)}]))"
        f" unless max {BY} (headwatch_state))"
    )
    return Operation(
        alert="HeadwatchStale",
        conditions={"warning": (stale, None), "critical": (stale, cadence.blind)},
        summary=f"{MODEL} is not being watched",
        changed=f"headwatch has shown no fresh result for over {words(cadence.stale)}; a window should close "
        f"every {words(cadence.window)}. Silence about drift means nothing until this is over.",
        action="See whether the sidecar runs and what its log says: curl {{ $labels.instance }}/v1/status",
    )


def _too_few_samples() -> Operation:
    return Operation(
        alert="HeadwatchTooFewSamples",
        # Little traffic harms nobody at night, so this is never critical.
        conditions={"warning": (f'max {BY} (headwatch_state{{state="too_few_samples"}}) == 1', None)},
        summary=f"Too few samples of {MODEL} to judge",
        changed="Windows hold too few samples to judge; they wait and are joined, for a day at most.",
        action="See whether the traffic is low or does not reach headwatch.",
    )


def _sink_failing(cadence: Cadence) -> Operation:
    rate = duration(cadence.rate)
    failing = (
        f"increase(headwatch_sink_failures_total[{rate}]) > 0 "
        f"unless on (job, instance, model, sink) increase(headwatch_sink_deliveries_total[{rate}]) > 0"
    )
    lost = f"sum {BY} (increase(headwatch_outbox_dropped_total[{rate}])) > 0"
    return Operation(
        alert="HeadwatchSinkFailing",
        conditions={
            "warning": (failing, None),
            # Now evidence is lost for good, and only a person can stop that.
            "critical": (f"({failing}) and {ON} ({lost})", None),
        },
        summary=f"Evidence about {MODEL} does not reach {{{{ $labels.sink }}}}",
        changed="{{ $labels.sink }} has taken nothing and refused {{ $value | humanize }} deliveries in "
        f"{words(cadence.rate)}. " + say.text(say.outbox(f"headwatch_outbox_dropped_total[{rate}]")),
        action="See whether {{ $labels.sink }} is up and still takes the credentials; the sidecar's log says "
        "what it answered.",
    )


def _samples_dropped(cadence: Cadence) -> Operation:
    dropped, received = (
        f"sum {BY} (increase(headwatch_samples_{name}_total[{duration(cadence.rate)}]))"
        for name in ("dropped", "received")
    )
    share = f"{dropped} / {received}"
    return Operation(
        alert="HeadwatchSamplesDropped",
        conditions={
            "warning": (f"{share} > {WORTH_A_WARNING:g}", None),
            "critical": (f"{share} > {WORTH_WAKING:g}", None),
        },
        summary=f"Samples of {MODEL} are dropped",
        changed="{{ $value | humanizePercentage }} of the samples that arrived in "
        f"{words(cadence.rate)} were dropped"
        + say.text(say.most_dropped(f"headwatch_samples_dropped_total[{duration(cadence.rate)}]"))
        + ". What is judged may not be what was served.",
        action="Look the reason up in the runbook.",
    )
