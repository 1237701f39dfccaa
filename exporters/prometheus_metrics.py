"""One immutable snapshot as Prometheus families, built anew for every scrape.

Nothing is kept between scrapes: a head that is no longer among the top heads is simply not yielded,
and Prometheus marks its series stale. Every point that is yielded belongs to a row of ``METRICS``.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from exporters.metric_table import METRICS, PREFIX, Metric
from monitor.records import ChannelVerdict, HeadEvidence, Snapshot, Verdict

__all__ = ["METRICS", "HeadwatchCollector", "build_registry", "render"]

Point: TypeAlias = tuple[str, tuple[str, ...], float]

STATES = ("starting", "learning", "quiet", "alarm", "too_few_samples", "stale")
CAUSES = ("data", "model", "environment", "serving")
SEVERITIES = ("page", "ticket", "note")
AGREEMENTS = ("spearman", "overlap_at_5")
# A model with a thousand classes has a thousand prediction measures; the largest changes suffice.
MEASURES_PER_CHANNEL = 20


class HeadwatchCollector(Collector):
    """Yields the families of the snapshot that ``snapshot()`` returns at the time of the scrape.

    ``top_heads`` bounds the heads shown one by one. ``every_head`` adds layers x heads x statistics
    series (a 12 x 12 model: 1,440); leave it off unless a dashboard needs them.
    """

    def __init__(self, snapshot: Callable[[], Snapshot], *, top_heads: int, every_head: bool) -> None:
        self._snapshot = snapshot
        self._top_heads = top_heads
        self._every_head = every_head

    def describe(self) -> Iterator[Family]:
        """Names without values, so that registering needs no snapshot yet."""
        return (_family(metric) for metric in METRICS.values())

    def collect(self) -> Iterator[Family]:
        """Fresh families, in the order of ``METRICS``; families without a value are left out."""
        grouped: dict[str, list[Point]] = {}
        for point in _points(self._snapshot(), self._top_heads, self._every_head):
            if not math.isnan(point[2]):
                grouped.setdefault(PREFIX + point[0], []).append(point)
        for name, metric in METRICS.items():
            if name in grouped:
                family = _family(metric)
                for _, labels, value in grouped.pop(name):
                    _add(family, metric, labels, value)
                yield family
        if grouped:
            raise KeyError(f"no row in METRICS for {', '.join(sorted(grouped))}")


def build_registry(collector: HeadwatchCollector) -> CollectorRegistry:
    """A registry of its own with the collector and the process' memory, CPU and open files."""
    registry = CollectorRegistry()
    registry.register(collector)
    ProcessCollector(registry=registry)
    return registry


def render(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """Body and content type for a scrape with this ``Accept`` header (text or OpenMetrics)."""
    encoder, content_type = choose_encoder(accept)
    return encoder(registry), content_type


def _family(metric: Metric) -> GaugeMetricFamily | CounterMetricFamily | InfoMetricFamily:
    if metric.kind == "counter":
        return CounterMetricFamily(metric.name.removesuffix("_total"), metric.help, labels=metric.labels)
    if metric.kind == "info":
        return InfoMetricFamily(metric.name.removesuffix("_info"), metric.help, labels=())
    return GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)


def _add(family: Family, metric: Metric, labels: tuple[str, ...], value: float) -> None:
    if len(labels) != len(metric.labels):
        raise ValueError(f"{metric.name} has labels {metric.labels}, not {len(labels)} of them")
    if isinstance(family, InfoMetricFamily):
        family.add_metric((), dict(zip(metric.labels, labels, strict=True)))
    elif isinstance(family, GaugeMetricFamily | CounterMetricFamily):
        family.add_metric(labels, value)


def _points(snapshot: Snapshot, top_heads: int, every_head: bool) -> Iterator[Point]:
    yield from _process_points(snapshot)
    yield from _watch_points(snapshot)
    yield from _profile_points(snapshot, every_head)
    yield from _flow_points(snapshot)
    yield from _work_points(snapshot)
    if snapshot.verdict is not None:
        yield from _verdict_points(snapshot.name, snapshot.verdict)
        for channel in snapshot.verdict.channels.values():
            yield from _channel_points(snapshot.name, channel)
        yield from _head_points(snapshot.name, snapshot.verdict, top_heads)


def _process_points(snapshot: Snapshot) -> Iterator[Point]:
    yield "build_info", (snapshot.version,), 1
    yield "config_last_reload_successful", (), float(snapshot.config_reload_successful)
    yield "config_last_reload_success_timestamp_seconds", (), snapshot.config_reload_time
    yield "last_update_timestamp_seconds", (snapshot.name,), snapshot.time


def _watch_points(snapshot: Snapshot) -> Iterator[Point]:
    model = snapshot.name
    for state in STATES:
        yield "state", (model, state), float(snapshot.state == state)
    if snapshot.identity is not None:
        yield "model_info", (model, snapshot.identity.revision, snapshot.baseline), 1
    if snapshot.mlflow_run is not None:
        yield "mlflow_run_info", (model, *snapshot.mlflow_run), 1
    yield "fidelity_ratio", (model,), snapshot.fidelity
    if snapshot.attribution:
        yield "attribution_samples", (model,), snapshot.attribution.get("samples", math.nan)
        yield (
            "attribution_unconverged_ratio",
            (model,),
            snapshot.attribution.get("unconverged_share", math.nan),
        )
        for measure in AGREEMENTS:
            yield "attribution_agreement", (model, measure), snapshot.attribution.get(measure, math.nan)


def _verdict_points(model: str, verdict: Verdict) -> Iterator[Point]:
    yield "pooled_evidence", (model,), verdict.evidence
    yield "pooled_evidence_limit", (model,), verdict.limit
    yield "window_samples", (model,), verdict.samples
    yield "window_received", (model,), verdict.received
    yield "window_end_timestamp_seconds", (model,), verdict.end
    for cause in CAUSES:
        yield "cause", (model, cause), float(verdict.alarm and cause in verdict.causes)
    for severity in SEVERITIES:
        yield "severity", (model, severity), float(verdict.alarm and severity == verdict.severity)
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
    every = [item for channel in verdict.channels.values() for item in channel.heads]
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
        yield "job_last_duration_seconds", (model, name), job.last_duration
        # 0 would read as 1970; a job that never succeeded has no last success.
        yield "job_last_success_timestamp_seconds", (model, name), job.last_success or math.nan
    for kind, count in snapshot.outbox_records.items():
        yield "outbox_records", (model, kind), count
    yield "outbox_bytes", (model,), snapshot.outbox_bytes
    yield "outbox_dropped_total", (model,), snapshot.outbox_dropped
    for sink, count in snapshot.sink_deliveries.items():
        yield "sink_deliveries_total", (model, sink), count
    for sink, count in snapshot.sink_failures.items():
        yield "sink_failures_total", (model, sink), count
