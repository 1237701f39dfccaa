"""A snapshot as points: a metric's short name, its label values, its value.

A value that is not known is NaN, and the collector leaves it out. Labels come from the model, the
configuration and headwatch itself: layers, heads, classes, watch lists, reasons. Never from a text.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import get_args

from exporters.prometheus.attribution_points import Point, attribution_points
from exporters.severity_words import ALERT_SEVERITIES
from monitor.records import ChannelVerdict, HeadEvidence, Snapshot, SuspicionName, Verdict, WindowFigures

STATES = ("starting", "learning", "quiet", "alarm", "too_few_samples", "stale")
CAUSES = ("data", "model", "environment", "serving")
SUSPICIONS: tuple[str, ...] = get_args(SuspicionName)
# A model with a thousand classes has a thousand prediction measures; the largest changes suffice.
MEASURES_PER_CHANNEL = 20


def snapshot_points(snapshot: Snapshot, *, top_heads: int, every_head: bool) -> Iterator[Point]:
    """All points of a snapshot; ``top_heads`` and ``every_head`` as the collector takes them."""
    yield from _process_points(snapshot)
    yield from _watch_points(snapshot)
    yield from _profile_points(snapshot, every_head)
    yield from _flow_points(snapshot)
    yield from _work_points(snapshot)
    yield from attribution_points(snapshot.name, snapshot.attribution)
    if snapshot.verdict is not None:
        yield from _verdict_points(snapshot.name, snapshot.verdict)
        for channel in snapshot.verdict.channels.values():
            yield from _channel_points(snapshot.name, channel)
        yield from _head_points(snapshot.name, snapshot.verdict, top_heads)
    if snapshot.figures is not None:
        yield from _figure_points(snapshot.name, snapshot.figures)


def _process_points(snapshot: Snapshot) -> Iterator[Point]:
    yield "build_info", (snapshot.version,), 1
    yield "config_last_reload_successful", (), float(snapshot.config_reload_successful)
    yield "config_last_reload_success_timestamp_seconds", (), snapshot.config_reload_time
    yield "last_update_timestamp_seconds", (snapshot.name,), snapshot.time


def _watch_points(snapshot: Snapshot) -> Iterator[Point]:
    model, verdict = snapshot.name, snapshot.verdict
    for state in STATES:
        yield "state", (model, state), float(snapshot.state == state)
    if snapshot.identity is not None:
        yield "model_info", (model, snapshot.identity.revision, snapshot.baseline), 1
    if snapshot.mlflow_run is not None:
        yield "mlflow_run_info", (model, *snapshot.mlflow_run, snapshot.mlflow_run_url or ""), 1
    if verdict is not None and verdict.alarm and verdict.episode is not None:
        yield "episode_info", (model, verdict.episode, snapshot.episode_url or ""), 1
    yield "fidelity_ratio", (model,), snapshot.fidelity


def _verdict_points(model: str, verdict: Verdict) -> Iterator[Point]:
    yield "pooled_evidence", (model,), verdict.evidence
    yield "pooled_evidence_limit", (model,), verdict.limit
    yield "window_samples", (model,), verdict.samples
    yield "window_received", (model,), verdict.received
    yield "window_end_timestamp_seconds", (model,), verdict.end
    for cause in CAUSES:
        yield "cause", (model, cause), float(verdict.alarm and cause in verdict.causes)
    for severity, word in ALERT_SEVERITIES.items():
        yield "severity", (model, word), float(verdict.alarm and severity == verdict.severity)
    suspected = {item.name for item in verdict.suspicions}
    for name in SUSPICIONS:
        yield "suspicion", (model, name), float(verdict.alarm and name in suspected)
    upgraded = bool(verdict.upgrades) and "environment" in verdict.causes
    for change, expected in (("rollout", verdict.declared), ("upgrade", upgraded)):
        yield "expected_change", (model, change), float(verdict.alarm and expected)
    if verdict.alarm and verdict.since_time is not None:
        yield "alarm_since_timestamp_seconds", (model,), verdict.since_time
    channels = verdict.channels.values()
    yield "tokens_gained", (model,), len({item.word for channel in channels for item in channel.gained})
    yield "tokens_lost", (model,), len({item.word for channel in channels for item in channel.lost})


def _channel_points(model: str, channel: ChannelVerdict) -> Iterator[Point]:
    yield "evidence", (model, channel.channel), channel.evidence
    yield "evidence_limit", (model, channel.channel), channel.limit
    yield "channel_alarm", (model, channel.channel), float(channel.alarm)
    largest = sorted(channel.measures, key=lambda item: -abs(item.effect))[:MEASURES_PER_CHANNEL]
    for item in largest:
        labels = (model, channel.channel, item.measure)
        yield "measure_effect", labels, item.effect
        yield "measure_before", labels, item.before
        yield "measure_after", labels, item.after


def _head_points(model: str, verdict: Verdict, top_heads: int) -> Iterator[Point]:
    # What a changed model does to the traffic's heads follows from what it does to the fixed probe inputs,
    # and the probe's evidence, in sd, is no logarithm that could be ranked with the others'.
    probe = verdict.channels.get("model")
    told = [probe] if probe is not None and probe.alarm and probe.heads else verdict.channels.values()
    every = [item for channel in told for item in channel.heads]
    yield "heads_drifted", (model,), len({item.head for item in every if item.named})
    strongest: dict[tuple[str, str], HeadEvidence] = {}
    for item in sorted(every, key=lambda item: -item.evidence):
        # Two channels may name one head by the same statistic; a series can be given only once.
        strongest.setdefault((str(item.head), item.statistic), item)
    for item in list(strongest.values())[:top_heads]:
        labels = (model, str(item.head.layer), str(item.head.head), item.statistic)
        yield "head_effect", labels, item.effect
        yield "head_evidence", labels, item.evidence
        yield "head_before", labels, item.before
        yield "head_after", labels, item.after
        yield "head_importance_ratio", labels, item.importance


def _figure_points(model: str, figures: WindowFigures) -> Iterator[Point]:
    for name, metric in (
        ("tokens", "input_tokens"),
        ("unknown", "input_unknown_ratio"),
        ("truncated", "input_truncated_ratio"),
    ):
        for when, value in zip(("baseline", "window"), figures.inputs[name], strict=True):
            yield metric, (model, when), value
    for label, pair in figures.predictions.items():
        for when, value in zip(("baseline", "window"), pair, strict=True):
            yield "prediction_mix_ratio", (model, label, when), value
    yield "top_tokens_overlap_ratio", (model,), figures.top_words_overlap
    for role, count in figures.roles_changed.items():
        yield "heads_role_changed", (model, role), count
    for layer, value in enumerate(figures.layer_effects):
        yield "layer_effect", (model, str(layer)), float(value)
    for layer, value in enumerate(figures.layer_importance):
        yield "layer_importance_ratio", (model, str(layer)), float(value)


def _profile_points(snapshot: Snapshot, every_head: bool) -> Iterator[Point]:
    for statistic, values in snapshot.layer_profile.items():
        for layer, value in enumerate(values):
            yield "layer_statistic", (snapshot.name, str(layer), statistic), float(value)
    if not every_head or snapshot.head_profile is None:
        return
    for layer, heads in enumerate(snapshot.head_profile):
        for head, values in enumerate(heads):
            for statistic, value in zip(snapshot.statistics, values, strict=True):
                yield "head_statistic", (snapshot.name, str(layer), str(head), statistic), float(value)


def _flow_points(snapshot: Snapshot) -> Iterator[Point]:
    model = snapshot.name
    for outcome, count in snapshot.windows.items():
        yield "windows_total", (model, outcome), count
    for source, count in snapshot.samples_received.items():
        yield "samples_received_total", (model, source), count
    for reason, count in _by_reason(snapshot.samples_dropped).items():
        yield "samples_dropped_total", (model, reason), count
    yield "ingest_queue_samples", (model,), snapshot.queue_length
    yield "ingest_queue_limit_samples", (model,), snapshot.queue_limit
    yield "pending_samples", (model,), snapshot.pending_samples


def _by_reason(counts: Mapping[str, int]) -> Counter[str]:
    """A reason is a short word. A sentence could quote a payload, and would be a series of its own."""
    bounded: Counter[str] = Counter()
    for reason, count in counts.items():
        bounded[reason if re.fullmatch("[a-z][a-z0-9_]{0,40}", reason) else "other"] += count
    return bounded


def _work_points(snapshot: Snapshot) -> Iterator[Point]:
    model = snapshot.name
    for name, job in snapshot.jobs.items():
        yield "job_runs_total", (model, name), job.runs
        yield "job_failures_total", (model, name), job.failures
        yield "job_skipped_total", (model, name), job.skipped
        yield "job_duration_seconds_total", (model, name), job.total_duration
        yield "job_last_duration_seconds", (model, name), job.last_duration
        # 0 would read as 1970; a job that never succeeded has no last success.
        yield "job_last_success_timestamp_seconds", (model, name), job.last_success or math.nan
    for kind, count in snapshot.outbox_records.items():
        yield "outbox_records", (model, kind), count
    yield "outbox_bytes", (model,), snapshot.outbox_bytes
    yield "outbox_limit_bytes", (model,), snapshot.outbox_limit
    yield "outbox_dropped_total", (model,), snapshot.outbox_dropped
    for sink, count in snapshot.sink_deliveries.items():
        yield "sink_deliveries_total", (model, sink), count
    for sink, count in snapshot.sink_failures.items():
        yield "sink_failures_total", (model, sink), count
