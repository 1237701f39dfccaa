"""What ``GET /v1/status`` answers: the snapshot as plain JSON, with links to where the evidence lies."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from monitor.records import Snapshot


def status_document(
    snapshot: Snapshot,
    *,
    learning: Mapping[str, int],
    samples_since_alarm: int,
    trouble: str,
    links: Mapping[str, str | None],
) -> dict[str, Any]:
    """The snapshot in JSON values; a number that is unknown is null.

    Args:
        snapshot: the sidecar at this moment.
        learning: ``samples`` of the baseline that is being learnt, and how many are ``wanted``.
        samples_since_alarm: what `headwatch baseline promote --config` would make a baseline of.
        trouble: why nothing is judged; empty where nothing stands in the way.
        links: addresses by name; null where there is none.
    """
    sinks = sorted({*snapshot.sink_deliveries, *snapshot.sink_failures})
    return {
        "name": snapshot.name,
        "version": snapshot.version,
        "time": snapshot.time,
        "started": snapshot.started,
        "state": snapshot.state,
        "model": asdict(snapshot.identity) if snapshot.identity else None,
        "tier": snapshot.tier,
        "baseline": snapshot.baseline,
        "learning": dict(learning),
        "samples_since_alarm": samples_since_alarm,
        "trouble": trouble,
        "verdict": snapshot.verdict.to_json() if snapshot.verdict else None,
        "windows": dict(snapshot.windows),
        "jobs": {name: asdict(job) for name, job in snapshot.jobs.items()},
        "samples_received": dict(snapshot.samples_received),
        "samples_dropped": dict(snapshot.samples_dropped),
        "pending_samples": snapshot.pending_samples,
        "queue": {"samples": snapshot.queue_length, "limit": snapshot.queue_limit},
        "sinks": {
            name: {
                "delivered": snapshot.sink_deliveries.get(name, 0),
                "failed": snapshot.sink_failures.get(name, 0),
            }
            for name in sinks
        },
        "outbox": {
            "records": dict(snapshot.outbox_records),
            "bytes": snapshot.outbox_bytes,
            "limit": snapshot.outbox_limit,
            "dropped": snapshot.outbox_dropped,
        },
        "attribution": {name: _known(value) for name, value in snapshot.attribution.items()},
        "fidelity": _known(snapshot.fidelity),
        "configuration": {
            "reload_successful": snapshot.config_reload_successful,
            "loaded": snapshot.config_reload_time,
        },
        "links": dict(links),
    }


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
