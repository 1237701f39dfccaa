"""One immutable snapshot as Prometheus families, built anew for every scrape.

Nothing is kept between scrapes: a head that is no longer among the top heads is simply not yielded,
and Prometheus marks its series stale. Every point that is yielded belongs to a row of ``METRICS``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from exporters.prometheus.attribution_points import Point
from exporters.prometheus.snapshot_points import snapshot_points
from exporters.prometheus.table import METRICS, PREFIX, Metric
from monitor.records import Snapshot

__all__ = ["METRICS", "HeadwatchCollector", "build_registry", "render"]


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
        points = snapshot_points(self._snapshot(), top_heads=self._top_heads, every_head=self._every_head)
        for point in points:
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
