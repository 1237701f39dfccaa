"""What leaves the sidecar: verdicts, attributions and baselines packed as outbox records.

Every record has a key that says what it is about, so that a sink that sees it twice (a crash after
the delivery, before the receipt) can tell.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace

import numpy as np
from numpy.typing import NDArray

from monitor.analysis.heads.means import HeadMeans
from monitor.analysis.heads.role_changes import RoleChange, role_changes
from monitor.records import Baseline, Features, OutboxRecord, Verdict
from monitor.report.episode_data import EpisodeReport
from monitor.report.episode_page import episode_page
from monitor.report.episode_sentences import sentences
from monitor.report.figures import before_after_png, head_map_png

PROFILED_ROLES = ("self", "previous", "first", "separator")
_RANK = {None: 0, "note": 1, "ticket": 2, "page": 3}


def window_record(verdict: Verdict, features: Features, baseline: Baseline) -> OutboxRecord:
    """One step of the day's run: evidence per channel and what the window looked like."""
    metrics = window_metrics(verdict, features)
    metrics["heads/roles_changed"] = float(len(changed_roles(features, baseline)))
    payload = {"verdict": verdict.to_json(), "metrics": metrics}
    return outbox_record(f"{_prefix(verdict)}/window/{verdict.window}", "window", verdict.end, payload)


def episode_record(
    verdict: Verdict,
    phase: str,
    features: Features,
    baseline: Baseline,
    *,
    report: EpisodeReport | None = None,
) -> OutboxRecord:
    """The full evidence of a drift episode as it opens, widens or closes, with its ``report`` to read."""
    effects = head_effects(features, baseline)
    artifacts = {
        "verdict.json": json.dumps(verdict.to_json(), indent=2).encode(),
        "head_map.png": head_map_png(
            verdict,
            layers=baseline.identity.layers,
            heads=baseline.identity.heads,
            effects=np.abs(effects).max(axis=-1),
        ),
        "before_after.png": before_after_png(verdict),
        "profile.npz": npz(
            {
                "statistics": np.array(baseline.statistics, dtype=np.str_),
                "before": baseline.features.profile.mean(axis=0),
                "after": features.profile.mean(axis=0) if len(features) else np.zeros_like(effects),
                "effect": effects,
            }
        ),
        "role_changes.json": json.dumps(
            [{**asdict(item), "head": str(item.head)} for item in changed_roles(features, baseline)], indent=2
        ).encode(),
    }
    if report is not None:
        artifacts |= report_files(report)
    key = f"{_prefix(verdict)}/episode/{verdict.episode}/{phase}/{verdict.window}"
    payload = {"verdict": verdict.to_json(), "phase": phase, "sentences": _told(report)}
    return outbox_record(key, "episode", verdict.end, payload, artifacts)


def attributed_record(verdict: Verdict, window: int, time: float, report: EpisodeReport) -> OutboxRecord:
    """A newer report of the standing episode of ``verdict``: samples of ``window`` were attributed."""
    key = f"{_prefix(verdict)}/episode/{verdict.episode}/attributed/{window}"
    payload = {"verdict": verdict.to_json(), "phase": "attributed", "sentences": _told(report)}
    return outbox_record(key, "episode", time, payload, report_files(report))


def _told(report: EpisodeReport | None) -> Sequence[tuple[str, str]]:
    """The report's sentences for the note of the run; empty without a report."""
    return () if report is None else sentences(report)


def report_files(report: EpisodeReport) -> dict[str, bytes]:
    """The page that people read, and what it was drawn from."""
    return {
        "report.html": episode_page(report).encode(),
        "report.json": json.dumps(report.to_json(), allow_nan=False).encode(),
    }


def closing_records(
    verdict: Verdict, summary: str, *, outcome: str, report: EpisodeReport | None
) -> list[OutboxRecord]:
    """The end of the episode of ``verdict`` that no window closed: its baseline is in force no more.

    ``outcome``: ``superseded`` by another revision's baseline, or ``accepted`` as the new normal.
    ``report``: the episode as it stood, None where nothing of it was kept.
    """
    closed = replace(
        verdict, alarm=False, raised=False, cleared=True, state="too_few_samples", summary=summary
    )
    key = f"{_prefix(verdict)}/episode/{verdict.episode}/closed/{verdict.window}"
    payload = {"verdict": closed.to_json(), "phase": "closed", "outcome": outcome}
    artifacts = {} if report is None else report_files(report)
    return [
        outbox_record(key, "episode", verdict.end, payload, artifacts),
        notification_record(closed, "cleared"),
    ]


def verdict_records(
    verdict: Verdict,
    before: Verdict | None,
    features: Features,
    baseline: Baseline,
    *,
    report: Callable[[], EpisodeReport | None] = lambda: None,
) -> list[OutboxRecord]:
    """All that a window has to tell; an episode's evidence as it opens, widens or worsens, and closes.

    ``report`` is asked only where an episode has something new to tell.
    """
    records = [window_record(verdict, features, baseline)]
    rank = before.severity if before is not None and before.episode == verdict.episode else None
    worse = rank is not None and _RANK[verdict.severity] > _RANK[rank]
    joined = any(channel.raised for channel in verdict.channels.values())
    for event, phase, happened in (
        ("raised", "opened", verdict.raised),
        ("widened", "opened", (joined or worse) and not verdict.raised),
        ("cleared", "closed", verdict.cleared),
    ):
        if happened:
            records.append(episode_record(verdict, phase, features, baseline, report=report()))
            records.append(notification_record(verdict, event))
    return records


def notification_record(verdict: Verdict, event: str) -> OutboxRecord:
    """A message to people: an alarm was ``raised``, has ``widened`` or is ``cleared``."""
    key = f"{_prefix(verdict)}/notification/{verdict.episode}/{verdict.window}/{event}"
    return outbox_record(key, "notification", verdict.end, {"verdict": verdict.to_json(), "event": event})


def baseline_record(baseline: Baseline, data: bytes) -> OutboxRecord:
    """A baseline that has just been learnt, for the registry."""
    payload = {
        "name": baseline.identity.name,
        "revision": baseline.identity.revision,
        "version": baseline.version,
        "samples": len(baseline.features),
        "weights_hash": baseline.identity.weights_hash,
        "architecture": baseline.identity.architecture,
        "source": baseline.source,
    }
    key = f"{baseline.identity.name}/{baseline.version}/baseline"
    return outbox_record(key, "baseline", baseline.created, payload, {"baseline.headwatch": data})


def window_metrics(verdict: Verdict, features: Features) -> dict[str, float]:
    """What a window looked like, named ``section/chart`` as MLflow groups charts.

    What its verdict holds is told by the verdict itself.
    """
    named = sum(item.named for channel in verdict.channels.values() for item in channel.heads)
    metrics = {"heads/named": float(named)}
    if not len(features):
        return metrics
    if features.prediction.shape[1]:
        metrics["prediction/top_probability"] = float(features.prediction[:, 0].mean())
        metrics["prediction/entropy"] = float(features.prediction[:, 1].mean())
    metrics["input/tokens"] = float(np.exp(features.inputs[:, 0]).mean())
    metrics["input/unknown_share"] = float(features.inputs[:, 1].mean())
    metrics["rollout/entropy"] = float(features.rollout[:, 0].mean())
    metrics["rollout/special_mass"] = float(features.rollout[:, 1].mean())
    metrics["rollout/reach"] = float(features.rollout[:, 2].mean())
    return {name: value for name, value in metrics.items() if np.isfinite(value)}


def profiled_roles(statistics: Sequence[str]) -> tuple[str, ...]:
    """The roles that a profile of these statistics holds a share of."""
    return tuple(name for name in PROFILED_ROLES if name in statistics)


def role_shares(features: Features, statistics: Sequence[str]) -> HeadMeans:
    """The shares of those roles that profiles hold, over a window's or a baseline's samples."""
    names = profiled_roles(statistics)
    places = [statistics.index(name) for name in names]
    nothing = HeadMeans.nothing(names, *features.profile.shape[1:3])
    return nothing.with_samples(features.profile[..., places])


def changed_roles(features: Features, baseline: Baseline) -> list[RoleChange]:
    """Heads of which the share of a role moved between the baseline and the window, largest first."""
    if not len(features):
        return []
    names = baseline.statistics
    return role_changes(role_shares(baseline.features, names), role_shares(features, names))


def head_effects(features: Features, baseline: Baseline) -> NDArray[np.float32]:
    """Change of each head's mean in the baseline's standard deviations (layer, head, statistic)."""
    before = baseline.features.profile
    if not len(features):
        return np.zeros(before.shape[1:], dtype=np.float32)
    spread = np.maximum(before.std(axis=0), 1e-6)
    change = (features.profile.mean(axis=0) - before.mean(axis=0)) / spread
    return change.astype(np.float32)


def npz(arrays: Mapping[str, NDArray[np.generic]]) -> bytes:
    """The arrays as the bytes of a compressed npz file."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **dict(arrays))
    return buffer.getvalue()


def load_npz(data: bytes) -> dict[str, NDArray[np.generic]]:
    """The inverse of ``npz``; never unpickles."""
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _prefix(verdict: Verdict) -> str:
    return f"{verdict.model}/{verdict.baseline}"


def outbox_record(
    key: str,
    kind: str,
    created: float,
    payload: Mapping[str, object],
    artifacts: Mapping[str, bytes] | None = None,
) -> OutboxRecord:
    """A record with its payload as JSON."""
    return OutboxRecord(
        key=key,
        kind=kind,  # type: ignore[arg-type]
        created=created,
        payload=json.dumps(payload),
        artifacts=dict(artifacts or {}),
    )
