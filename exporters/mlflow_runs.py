"""Outbox records as MLflow runs, each exactly once.

    experiment (one per deployment)
    └── baseline          a run per baseline: the parent of all that was judged against it
        ├── day           a child run per UTC day: step = window, timestamp = end of the window
        └── episode       a child run per drift episode with the full evidence

Every run is created together with its tag ``headwatch.key`` and looked up by it before, so a record
that arrives twice finds what its first delivery made. MLflow keeps one point per metric, step,
timestamp and value, so a window that is logged again adds nothing.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporters import verdict_text
from exporters.mlflow_connection import connect, export_errors, is_missing, run_url, without_secrets
from exporters.mlflow_registry import publish_baseline
from monitor.errors import ExportError
from monitor.records import OutboxRecord

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

KEY_TAG = "headwatch.key"
KIND_TAG = "headwatch.kind"
DAY_TAG = "headwatch.day"
CLOSED_TAG = "headwatch.closed"
PARENT_TAG = "mlflow.parentRunId"
NOTE_TAG = "mlflow.note.content"
MODEL_KEYS = ("model", "revision", "baseline")


class MlflowRuns:
    """Delivers records to one experiment. Not thread-safe: one job owns it.

    ``registry``: also register each new baseline as ``<name>.headwatch-baseline`` with the alias
    ``current``. No request is sent before the first ``deliver``.
    """

    def __init__(
        self, *, tracking_uri: str, experiment: str, token: str | None = None, registry: bool = True
    ) -> None:
        self._uri = tracking_uri
        self._experiment = experiment
        self._token = token
        self._registry = registry
        self._client: MlflowClient | None = None
        self._experiment_id: str | None = None
        self._runs: dict[str, str] = {}
        self._day: str | None = None

    @property
    def current_run(self) -> tuple[str, str] | None:
        """Experiment id and run id of the day run last written to."""
        if self._experiment_id is None or self._day is None:
            return None
        return self._experiment_id, self._day

    def url(self) -> str | None:
        """The page of ``current_run``; None before the first window and for SQLite URIs."""
        return run_url(self._uri, *self.current_run) if self.current_run is not None else None

    def deliver(self, record: OutboxRecord) -> None:
        """Log one record; safe to repeat.

        Raises:
            ExportError: the server cannot be reached or refuses; nothing is lost by trying again.
        """
        by_kind = {
            "window": self._window,
            "episode": self._episode,
            "attribution": self._attribution,
            "baseline": self._baseline,
        }
        if record.kind not in by_kind:
            raise ExportError(f"outbox record {record.key}: kind {record.kind} does not go to MLflow")
        try:
            with export_errors(self._uri):
                by_kind[record.kind](record, json.loads(record.payload))
        except ExportError as error:
            # A server that was set up anew has none of the runs that are remembered here.
            if is_missing(error.__cause__):
                self._forget()
            raise

    def _window(self, record: OutboxRecord, payload: Mapping[str, Any]) -> None:
        verdict = payload["verdict"]
        run = self._day_run(verdict, verdict["end"])
        metrics = {**verdict_text.window_metrics(verdict), **payload.get("metrics", {})}
        self._log_metrics(run, metrics, step=verdict["index"], time=verdict["end"])
        self._log_artifacts(run, record.artifacts, f"windows/{verdict['index']:06d}")
        self._day = run

    def _episode(self, record: OutboxRecord, payload: Mapping[str, Any]) -> None:
        verdict, phase = payload["verdict"], payload["phase"]
        tags = {**verdict_text.episode_tags(verdict), PARENT_TAG: self._baseline_run(verdict)}
        run = self._run(
            f"{_prefix(verdict)}/episode/{verdict['episode']}",
            kind="episode",
            name=verdict_text.episode_name(verdict),
            tags=tags,
            start=verdict["start"],
        )
        client = self._connected()
        closed = client.get_run(run).data.tags.get(CLOSED_TAG)
        if closed is None or phase == "closed":
            # The tags keep causes, severity and channels of the alarm: a closing verdict has none left.
            if phase != "closed":
                _set_tags(client, run, {**tags, NOTE_TAG: verdict_text.episode_note(verdict)})
            elif closed is None:
                note = client.get_run(run).data.tags.get(NOTE_TAG, verdict_text.episode_note(verdict))
                _set_tags(client, run, {NOTE_TAG: verdict_text.closing_note(note, verdict)})
        self._log_metrics(
            run, verdict_text.window_metrics(verdict), step=verdict["index"], time=verdict["end"]
        )
        # An episode that widens keeps the evidence with which it began.
        first = phase == "closed" or verdict["raised"]
        self._log_artifacts(run, record.artifacts, phase if first else f"widened-{verdict['index']:06d}")
        if phase == "closed" and closed is None:
            # Last, so that a crash before this line makes the next delivery do all of it again.
            client.set_terminated(run, "FINISHED", end_time=_milliseconds(verdict["end"]))
            client.set_tag(run, CLOSED_TAG, verdict_text.utc(verdict["end"]))

    def _attribution(self, record: OutboxRecord, payload: Mapping[str, Any]) -> None:
        model, _, baseline = record.key.partition("/attribution/")[0].rpartition("/")
        owner = {"model": model, "revision": "", "baseline": baseline, **_only(payload, MODEL_KEYS)}
        run = self._day_run(owner, record.created)
        step = int(payload["window"])
        metrics = {f"attribution/{name}": value for name, value in payload.get("metrics", {}).items()}
        self._log_metrics(run, metrics, step=step, time=record.created)
        words = json.dumps(payload.get("words", {}), indent=2, ensure_ascii=False, sort_keys=True)
        files = {"words.json": words.encode(), **record.artifacts}
        self._log_artifacts(run, files, f"attribution/{step:06d}")

    def _baseline(self, record: OutboxRecord, payload: Mapping[str, Any]) -> None:
        owner = {
            "model": payload["name"],
            "revision": payload.get("revision", ""),
            "baseline": payload["version"],
        }
        run = self._baseline_run(owner)
        client = self._connected()
        for name, value in payload.items():
            if isinstance(value, str | int | float):
                client.log_param(run, name, value)
        client.set_tag(run, NOTE_TAG, verdict_text.baseline_note(payload, record.created))
        self._log_artifacts(run, record.artifacts, "baseline")
        data = record.artifacts.get("baseline.headwatch")
        if self._registry and data is not None:
            publish_baseline(
                data,
                tracking_uri=self._uri,
                name=owner["model"],
                version_tags={name: str(payload[name]) for name in sorted(payload)},
                token=self._token,
                run_id=run,
            )

    def _baseline_run(self, owner: Mapping[str, Any]) -> str:
        key = f"{_prefix(owner)}/baseline"
        if key in self._runs:
            return self._runs[key]
        name = f"Baseline {owner['baseline']} of {owner['model']}"
        if not owner["baseline"]:
            name = f"{owner['model']} before its first baseline"
        run = self._run(key, kind="baseline", name=name, tags=_tags(owner))
        self._connected().set_terminated(run)
        return run

    def _day_run(self, owner: Mapping[str, Any], time: float) -> str:
        day = datetime.fromtimestamp(time, UTC).date().isoformat()
        key = f"{_prefix(owner)}/day/{day}"
        if key in self._runs:
            return self._runs[key]
        parent = self._baseline_run(owner)
        note = verdict_text.day_note(owner["model"], day, owner["baseline"])
        tags = {**_tags(owner), PARENT_TAG: parent, NOTE_TAG: note, DAY_TAG: day}
        run = self._run(key, kind="day", name=f"{owner['model']} on {day}", tags=tags)
        self._end_days_before(day, owner["model"])
        return run

    def _end_days_before(self, day: str, model: str) -> None:
        """Days that are over read so in the runs table; late records can still be added to them."""
        client = self._connected()
        running = f"tags.`{KIND_TAG}` = 'day' AND attributes.status = 'RUNNING'"
        for run in client.search_runs([self._ensure_experiment()], running):
            if run.data.tags.get("model") == model and run.data.tags.get(DAY_TAG, day) < day:
                client.set_terminated(_run_id(run))

    def _run(
        self, key: str, *, kind: str, name: str, tags: Mapping[str, str], start: float | None = None
    ) -> str:
        """The id of the run tagged with ``key``, which is created where there is none."""
        if key not in self._runs:
            client = self._connected()
            experiment_id = self._ensure_experiment()
            found = client.search_runs(
                [experiment_id],
                f"tags.`{KEY_TAG}` = '{_quoted(key)}'",
                order_by=["attributes.start_time ASC"],
                max_results=1,
            )
            self._runs[key] = (
                _run_id(found[0])
                if found
                else _run_id(
                    client.create_run(
                        experiment_id,
                        start_time=_milliseconds(start) if start is not None else None,
                        tags={**tags, KEY_TAG: _quoted(key), KIND_TAG: kind},
                        run_name=name,
                    )
                )
            )
        return self._runs[key]

    def _ensure_experiment(self) -> str:
        if self._experiment_id is None:
            client = self._connected()
            found = client.get_experiment_by_name(self._experiment)
            if found is not None and found.lifecycle_stage != "active":
                raise ExportError(
                    f"mlflow.experiment = {self._experiment}: is deleted on {without_secrets(self._uri)}; "
                    "restore it or choose another name"
                )
            self._experiment_id = (
                found.experiment_id if found is not None else client.create_experiment(self._experiment)
            )
        return self._experiment_id

    def _log_metrics(self, run: str, metrics: Mapping[str, float], *, step: int, time: float) -> None:
        from mlflow.entities import Metric

        points = [
            Metric(name, float(value), _milliseconds(time), step)
            for name, value in metrics.items()
            if math.isfinite(value)
        ]
        for first in range(0, len(points), 500):
            self._connected().log_batch(run, metrics=points[first : first + 500])

    def _log_artifacts(self, run: str, files: Mapping[str, bytes], folder: str) -> None:
        if not files:
            return
        with tempfile.TemporaryDirectory(prefix="headwatch-") as local:
            for name, content in files.items():
                (Path(local) / Path(name).name).write_bytes(content)
            self._connected().log_artifacts(run, local, folder)

    def _connected(self) -> MlflowClient:
        if self._client is None:
            self._client = connect(self._uri, self._token)
        return self._client

    def _forget(self) -> None:
        self._runs.clear()
        self._experiment_id = None
        self._day = None


def _prefix(owner: Mapping[str, Any]) -> str:
    return f"{owner['model']}/{owner['baseline']}"


def _tags(owner: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(owner[name]) for name in MODEL_KEYS if owner[name]}


def _only(values: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: values[name] for name in names if name in values}


def _set_tags(client: MlflowClient, run: str, tags: Mapping[str, str]) -> None:
    from mlflow.entities import RunTag

    client.log_batch(run, tags=[RunTag(name, value) for name, value in tags.items()])


def _run_id(run: Run) -> str:
    return str(run.info.run_id)


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _quoted(key: str) -> str:
    """The key as it is both stored and searched: MLflow's filter language cannot escape a quote."""
    return key.replace("'", "’")
