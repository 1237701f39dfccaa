"""Alerts of the watch itself: what no alarm can say, because silence is not the same as no drift."""

from __future__ import annotations

from dataclasses import dataclass

from exporters.alerts import watch_text as tell
from exporters.alerts.cadence import Cadence, duration, words
from exporters.alerts.templates import text

BY = "by (job, instance, model)"
ON = "on (job, instance, model)"
MODEL = "{{ $labels.model }}"
WORTH_A_WARNING, WORTH_WAKING = 0.01, 0.5
"""Shares of the samples that arrived and were dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One alert. ``conditions``: by severity its expression, and how long it must stand in seconds."""

    alert: str
    conditions: dict[str, tuple[str, float]]
    summary: str
    changed: str
    action: str


def operations(cadence: Cadence) -> tuple[Operation, ...]:
    """All of them, at this cadence."""
    return _stale(cadence), _too_few_samples(cadence), _sink_failing(cadence), _samples_dropped(cadence)


def _stale(cadence: Cadence) -> Operation:
    stale = unwatched(cadence)
    return Operation(
        alert="HeadwatchStale",
        conditions={"warning": (stale, cadence.unwatched), "critical": (stale, cadence.blind)},
        summary=f"{{{{ if $labels.model }}}}{MODEL} is not being watched{{{{ else }}}}"
        "No model is being watched{{ end }}",
        changed=text(
            tell.by_state(
                stale=f"The sidecar runs, but no window has had its verdict for over {words(cadence.stale)} "
                f"(one should every {words(cadence.window)}), or the model's files cannot be used.",
                starting=f"The sidecar has been starting for over {words(cadence.patience)}.",
                silent=f"Prometheus has had no fresh numbers from the sidecar for over "
                f"{words(cadence.patience)}.",
                absent=f"Prometheus has no sidecar in its data of the last {words(cadence.gone)}.",
            )
            + " Silence about drift means nothing until this is over."
        ),
        action=text(
            tell.by_state(
                stale="Ask it why: headwatch status --url http://{{ $labels.instance }}",
                starting="Read its log: the model does not load, or the process ends and starts again.",
                silent="See whether its process runs. If it ended, its log says why; if it runs, find out "
                "why Prometheus does not reach {{ $labels.instance }}.",
                absent="See on Prometheus' page /targets whether a sidecar is scraped. If none is meant to "
                "be, remove headwatch's rules.",
            )
        ),
    )


def unwatched(cadence: Cadence) -> str:
    """True for each model of each sidecar that nothing says is watched, whatever the reason."""
    patience, gone = duration(cadence.patience), duration(cadence.gone)
    good = f'max_over_time(headwatch_state{{state!~"starting|stale"}}[{patience}])'
    # A sidecar that is gone has no series at all; what it was watching is known from before. One that
    # dies and starts again and again is never seen in a state that says it watches.
    known = f"max {BY} (last_over_time(headwatch_state[{gone}] offset {patience}))"
    # A pod that was replaced has another address: its target is gone for good, and another one watches.
    replaced = f"{known} unless on (job, instance) up and on (job, model) (max by (job, model) ({good}) == 1)"
    return (
        f'max {BY} (headwatch_state{{state="stale"}}) == 1'
        f" or max {BY} (time() - headwatch_last_update_timestamp_seconds) > {cadence.patience:g}"
        f" or {known} unless (max {BY} ({good}) == 1) unless ({replaced})"
        # Whoever loads these rules means to watch something.
        f" or absent_over_time(headwatch_state[{gone}])"
    )


def _too_few_samples(cadence: Cadence) -> Operation:
    return Operation(
        alert="HeadwatchTooFewSamples",
        # Little traffic harms nobody at night, so this is never critical.
        conditions={"warning": (f'max {BY} (headwatch_state{{state="too_few_samples"}}) == 1', cadence.thin)},
        summary=f"Too few samples of {MODEL} to judge",
        changed="Windows hold too few samples to judge; they wait and are joined, for a day at most. "
        + text(tell.arrived("headwatch_samples_received_total[1h]", "in the last hour")),
        action="Compare with the server's own request count: is the traffic low, or does it not reach "
        "headwatch?",
    )


def _sink_failing(cadence: Cadence) -> Operation:
    tries = duration(cadence.tries)
    failing = (
        f"increase(headwatch_sink_failures_total[{tries}]) > 0 "
        f"unless on (job, instance, model, sink) increase(headwatch_sink_deliveries_total[{tries}]) > 0"
    )
    lost = f"sum {BY} (increase(headwatch_outbox_dropped_total[{tries}])) > 0"
    return Operation(
        alert="HeadwatchSinkFailing",
        conditions={
            "warning": (failing, cadence.hold),
            # Now evidence is lost for good, and only a person can stop that.
            "critical": (f"({failing}) and {ON} ({lost})", cadence.hold),
        },
        summary=f"Evidence about {MODEL} does not reach {{{{ $labels.sink }}}}",
        changed="{{ $labels.sink }} has completed no delivery, and {{ $value | printf `%.0f` }} deliveries "
        f"failed in {words(cadence.tries)}. " + text(tell.outbox(f"headwatch_outbox_dropped_total[{tries}]")),
        action="See whether {{ $labels.sink }} is up and still takes the credentials; the sidecar's log says "
        "what it answered.",
    )


def _samples_dropped(cadence: Cadence) -> Operation:
    during = f"[{duration(cadence.rate)}]"
    received = f"sum {BY} (increase(headwatch_samples_received_total{during})) > 0"

    def share(*besides: str) -> str:
        dropped = f'headwatch_samples_dropped_total{{reason!~"{"|".join((tell.NO_SAMPLE, *besides))}"}}'
        return f"sum {BY} (increase({dropped}{during})) / ({received})"

    lost = f"headwatch_samples_dropped_total{during}"
    return Operation(
        alert="HeadwatchSamplesDropped",
        conditions={
            "warning": (f"{share()} > {WORTH_A_WARNING:g}", cadence.hold),
            # What little traffic leaves behind is thrown away by the hour, and harms nobody at night.
            "critical": (f"{share('expired')} > {WORTH_WAKING:g}", cadence.hold),
        },
        summary=f"Samples of {MODEL} are dropped",
        changed="{{ $value | humanizePercentage }} of the samples that arrived in "
        f"{words(cadence.rate)} were dropped"
        + text(tell.most_dropped(lost))
        + ". What is judged may not be what was served.",
        action=text(tell.against_dropping(lost)),
    )
