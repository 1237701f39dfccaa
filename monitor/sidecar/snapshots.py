"""The sidecar's state put into one immutable Snapshot, for /metrics and /v1/status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

import monitor
from monitor.config.configuration import Config
from monitor.cycle.state import LATER_DROP_REASONS, Cycle
from monitor.ingest.intake import Intake
from monitor.ingest.limits import DROP_REASONS
from monitor.records import Array, Snapshot, State, Verdict
from monitor.sidecar.delivery import Delivery
from monitor.sidecar.jobs import JobBook
from monitor.sidecar.sinks import Sinks
from monitor.sidecar.status import status_document
from monitor.state.store import StateStore

MISSED_WINDOWS = 2
# A counter that begins at its first event hides that event: Prometheus only sees later ones.
_NONE_DROPPED = dict.fromkeys([*DROP_REASONS, *LATER_DROP_REASONS], 0)


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
        records, size, dropped = self._store.outbox_usage()
        dropped_later = dict(cycle.dropped) if cycle else {}
        # Each read once: the thread of the jobs may take any of them away meanwhile.
        verdict = cycle.verdict if cycle else None
        baseline = cycle.baseline if cycle else None
        profile = cycle.profile if cycle else None
        statistics = tuple(cycle.analyser.model.statistics) if cycle else ()
        return Snapshot(
            version=monitor.__version__,
            name=self.config.model.watched_name,
            identity=cycle.analyser.model.identity if cycle else None,
            tier=cycle.analyser.model.tier if cycle else "",
            baseline=baseline.version if baseline else "",
            state=self.state(now),
            verdict=verdict,
            layer_profile=_layer_profile(profile, statistics),
            head_profile=profile,
            statistics=statistics,
            samples_received=dict(self._intake.counters.received),
            samples_dropped={**_NONE_DROPPED, **dict(self._intake.counters.dropped), **dropped_later},
            queue_length=self._intake.waiting,
            queue_limit=self.config.ingest.queue,
            pending_samples=self._store.pending_samples(),
            outbox_records={**dict.fromkeys(sorted(self.sinks.kinds) if self.sinks else (), 0), **records},
            outbox_bytes=size,
            outbox_dropped=dropped,
            sink_failures=dict(delivery.failures) if delivery else {},
            sink_deliveries=dict(delivery.deliveries) if delivery else {},
            windows={**dict.fromkeys(get_args(State), 0), **cycle.windows} if cycle else {},
            jobs=self._jobs.status(),
            attribution=dict(cycle.attribution) if cycle else {},
            fidelity=cycle.fidelity if cycle else float("nan"),
            config_reload_successful=self.reload_successful,
            config_reload_time=self.reload_time,
            started=self._started,
            time=now,
            mlflow_run=self.sinks.mlflow_run() if self.sinks else None,
            mlflow_run_url=self.sinks.mlflow_url() if self.sinks else None,
            episode_url=self._episode_url(verdict),
            # Figures outlive their verdict for a moment when another baseline comes into force.
            figures=cycle.figures if cycle and verdict else None,
            outbox_limit=int(self.config.state.outbox),
        )

    def _episode_url(self, verdict: Verdict | None) -> str | None:
        if self.sinks is None or verdict is None or not verdict.alarm or verdict.episode is None:
            return None
        return self.sinks.episode_url(verdict.episode)

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
        verdict = cycle.verdict
        newest = max(self._started, verdict.end if verdict else 0.0)
        if not waiting and now - newest > patience + self.config.window.duration:
            return "too_few_samples"
        # A baseline that nothing was judged against yet says nothing, least of all "quiet".
        state: State = verdict.state if verdict else "too_few_samples"
        return "too_few_samples" if state == "learning" else state

    def status(self, now: float, links: Mapping[str, str | None]) -> dict[str, Any]:
        """What ``GET /v1/status`` answers."""
        cycle = self.cycle
        snapshot = self.snapshot(now)
        return status_document(
            snapshot,
            learning={
                "samples": cycle.learning.samples if cycle else 0,
                "wanted": self.config.baseline.samples,
            },
            samples_since_alarm=cycle.standing.samples if cycle else 0,
            trouble=cycle.trouble if cycle else "",
            links={
                **links,
                "episode": snapshot.episode_url,
                "dashboards": self.config.exporters.prometheus.grafana_url,
                "runbooks": self.config.exporters.prometheus.runbooks_url,
            },
        )


def _layer_profile(profile: Array | None, statistics: Sequence[str]) -> dict[str, Array]:
    if profile is None or not profile.size:
        return {}
    means = profile.mean(axis=1)
    return {name: means[:, i] for i, name in enumerate(statistics)}
