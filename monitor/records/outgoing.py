"""What leaves the sidecar: records for its sinks, and the snapshot that Prometheus sees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from monitor.records.references import ModelIdentity
from monitor.records.samples import Array
from monitor.records.verdicts import State, Verdict

OutboxKind = Literal["window", "episode", "attribution", "baseline", "notification"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRecord:
    """Something a sink must get exactly once. ``key`` is its idempotency key.

    ``payload`` is JSON text; ``artifacts`` maps file names to their bytes (npz, png, md, ...).
    """

    key: str
    kind: OutboxKind
    created: float
    payload: str
    artifacts: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """A scheduled job's record since start-up; times in seconds (``last_success`` since the epoch)."""

    runs: int = 0
    failures: int = 0
    skipped: int = 0
    last_duration: float = 0.0
    total_duration: float = 0.0
    last_success: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowFigures:
    """What a window looked like beside its baseline, in numbers that name no word.

    ``inputs`` (tokens, unknown, truncated) and ``predictions`` (label) give the mean in the baseline
    and in the window. ``top_words_overlap``: how many of the baseline's commonest top words are among
    the window's, as a share; NaN where unknown. ``roles_changed``: heads by the role of which their
    share moved most. ``layer_effects`` (layer,): the largest change of a statistic in sd of the
    baseline. ``layer_importance`` (layer,): sums to 1; empty where unknown.
    """

    inputs: Mapping[str, tuple[float, float]]
    predictions: Mapping[str, tuple[float, float]]
    top_words_overlap: float
    roles_changed: Mapping[str, int]
    layer_effects: Array
    layer_importance: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All that Prometheus sees, in one immutable piece; replaced as a whole, never changed.

    ``layer_profile``: per statistic its mean over heads (layer,). ``head_profile`` (layer, head,
    statistic). ``fidelity``: share of served labels that the replay repeats, NaN where unknown.
    ``mlflow_run``: experiment id and run id of today's windows; ``mlflow_run_url`` its page, and
    ``episode_url`` the page of the episode that stands, both None where people cannot open one.
    """

    version: str
    name: str
    identity: ModelIdentity | None
    tier: str
    baseline: str
    state: State | Literal["stale", "starting"]
    verdict: Verdict | None
    layer_profile: Mapping[str, Array]
    head_profile: Array | None
    statistics: tuple[str, ...]
    samples_received: Mapping[str, int]
    samples_dropped: Mapping[str, int]
    queue_length: int
    queue_limit: int
    pending_samples: int
    outbox_records: Mapping[str, int]
    outbox_bytes: int
    outbox_dropped: int
    sink_failures: Mapping[str, int]
    sink_deliveries: Mapping[str, int]
    windows: Mapping[str, int]
    jobs: Mapping[str, JobStatus]
    attribution: Mapping[str, float]
    fidelity: float
    config_reload_successful: bool
    config_reload_time: float
    started: float
    time: float
    mlflow_run: tuple[str, str] | None = None
    mlflow_run_url: str | None = None
    episode_url: str | None = None
    figures: WindowFigures | None = None
    outbox_limit: int = 0
