"""The sidecar's state put into one immutable Snapshot, for /metrics and /v1/status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import monitor
from monitor.config.configuration import Config
from monitor.cycle import Cycle
from monitor.ingest.intake import Intake
from monitor.records import Snapshot, State
from monitor.sidecar.delivery import Delivery
from monitor.sidecar.jobs import JobBook
from monitor.sidecar.sinks import Sinks
from monitor.state.store import StateStore

MISSED_WINDOWS = 2


class Observer:
    """Looks at the parts of a running sidecar and never changes them; ``cycle`` is None at first."""

    def __init__(
        self, *, config: Config, store: StateStore, intake: Intake, jobs: JobBook, started: float
    ) -> None:
        self.config = config
        self.cycle: Cycle | None = None
        self.delivery: Delivery | None = None
        self.sinks: Sinks | None = None
        self.reload_successful = True
        self.reload_time = started
        self._store = store
        self._intake = intake
        self._jobs = jobs
        self._started = started

    def snapshot(self, now: float) -> Snapshot:
        """Everything that Prometheus may see, at this moment."""
        cycle, delivery = self.cycle, self.delivery
        name = self.config.model.name or self.config.model.source.rstrip("/").rsplit("/", 1)[-1]
        records, size, dropped = self._store.outbox_usage()
        dropped_later = dict(cycle.dropped) if cycle else {}
        return Snapshot(
            version=monitor.__version__,
            name=name,
            identity=cycle.analyser.model.identity if cycle else None,
            tier=cycle.analyser.model.tier if cycle else "",
            baseline=cycle.baseline.version if cycle and cycle.baseline else "",
            state=self.state(now),
            verdict=cycle.verdict if cycle else None,
            layer_profile=_layer_profile(cycle),
            head_profile=cycle.profile if cycle else None,
            statistics=tuple(cycle.analyser.model.statistics) if cycle else (),
            samples_received=dict(self._intake.counters.received),
            samples_dropped={**dict(self._intake.counters.dropped), **dropped_later},
            queue_length=self._intake.waiting,
            queue_limit=self.config.ingest.queue,
            pending_samples=self._store.pending_samples(),
            outbox_records=records,
            outbox_bytes=size,
            outbox_dropped=dropped,
            sink_failures=dict(delivery.failures) if delivery else {},
            sink_deliveries=dict(delivery.deliveries) if delivery else {},
            windows=dict(cycle.windows) if cycle else {},
            jobs=self._jobs.status(),
            attribution=dict(cycle.attribution) if cycle else {},
            fidelity=cycle.fidelity if cycle else float("nan"),
            config_reload_successful=self.reload_successful,
            config_reload_time=self.reload_time,
            started=self._started,
            time=now,
            mlflow_run=self.sinks.mlflow_run() if self.sinks else None,
        )

    def state(self, now: float) -> Any:
        """``starting``, ``learning``, ``stale``, ``too_few_samples``, ``quiet`` or ``alarm``."""
        cycle = self.cycle
        if cycle is None:
            return "starting"
        if cycle.trouble:
            return "stale"
        patience = MISSED_WINDOWS * self.config.window.duration
        waiting = [*self._store.windows("closed"), *self._store.windows("profiled")]
        if any(now - row.last_moment > patience for row in waiting):
            return "stale"
        if cycle.baseline is None:
            return "learning"
        newest = max(self._started, cycle.verdict.end if cycle.verdict else 0.0)
        if not waiting and now - newest > patience + self.config.window.duration:
            return "too_few_samples"
        # A baseline that nothing was judged against yet says nothing, least of all "quiet".
        state: State = cycle.verdict.state if cycle.verdict else "too_few_samples"
        return "too_few_samples" if state == "learning" else state

    def status(self, now: float, links: Mapping[str, str | None]) -> dict[str, Any]:
        """What ``GET /v1/status`` answers."""
        cycle = self.cycle
        snapshot = self.snapshot(now)
        return {
            "name": snapshot.name,
            "version": snapshot.version,
            "state": snapshot.state,
            "model": asdict(snapshot.identity) if snapshot.identity else None,
            "tier": snapshot.tier,
            "baseline": snapshot.baseline,
            "learning": {
                "samples": cycle.learning.samples if cycle else 0,
                "wanted": self.config.baseline.samples,
            },
            "samples_since_alarm": cycle.standing.samples if cycle else 0,
            "trouble": cycle.trouble if cycle else "",
            "verdict": snapshot.verdict.to_json() if snapshot.verdict else None,
            "jobs": {name: asdict(job) for name, job in snapshot.jobs.items()},
            "samples_received": dict(snapshot.samples_received),
            "samples_dropped": dict(snapshot.samples_dropped),
            "pending_samples": snapshot.pending_samples,
            "outbox": {
                "records": dict(snapshot.outbox_records),
                "bytes": snapshot.outbox_bytes,
                "dropped": snapshot.outbox_dropped,
            },
            "links": dict(links),
        }


def _layer_profile(cycle: Cycle | None) -> dict[str, Any]:
    if cycle is None or cycle.profile is None or not cycle.profile.size:
        return {}
    means = cycle.profile.mean(axis=1)
    return {name: means[:, i] for i, name in enumerate(cycle.analyser.model.statistics)}
