"""The MLflow sink: outbox records as runs of one experiment, each exactly once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from exporters.mlflow import links, text
from exporters.mlflow.connection import export_errors, is_missing, quoted, run_url
from exporters.mlflow.episodes import Episodes
from exporters.mlflow.experiment import KIND_TAG, NOTE_TAG, Experiment, run_id
from exporters.mlflow.metrics import attribution_metrics, window_metrics
from exporters.mlflow.registry import publish_baseline, registered_name, registered_runs
from exporters.mlflow.retention import Keep, due
from exporters.mlflow.tree import MODEL_KEYS, baseline_run, day_run
from monitor.errors import ExportError
from monitor.records import OutboxRecord


class MlflowRuns:
    """Delivers records to one experiment. Not thread-safe: one job owns it, but for the addresses.

    ``registry``: also register each new baseline as ``<name>.headwatch-baseline`` with the alias
    ``current``. ``public_url``: where people's browsers find the server, by default ``tracking_uri``.
    ``runbooks``: address of the folder of runbooks. No request is sent before the first ``deliver``.
    """

    def __init__(
        self,
        *,
        tracking_uri: str,
        experiment: str,
        token: str | None = None,
        registry: bool = True,
        public_url: str | None = None,
        runbooks: str | None = None,
        keep: Keep | None = None,
    ) -> None:
        self._experiment = Experiment(tracking_uri=tracking_uri, name=experiment, token=token)
        self._episodes = Episodes(self._experiment, runbooks=runbooks)
        self._registry = registry
        self._public_url = public_url or tracking_uri
        self._keep = keep or Keep()
        self._day: str | None = None

    @property
    def current_run(self) -> tuple[str, str] | None:
        """Experiment id and run id of the day run last written to."""
        # Each read once: another thread asks, and the job may forget both meanwhile.
        experiment, day = self._experiment.known_id, self._day
        return None if experiment is None or day is None else (experiment, day)

    def url(self) -> str | None:
        """The page of ``current_run``; None before the first window and for SQLite URIs."""
        run = self.current_run
        return None if run is None else run_url(self._public_url, *run)

    def episode_url(self, episode: str) -> str | None:
        """The page of an episode's run, where it is known; sends no request."""
        run, experiment = self._episodes.runs.get(episode), self._experiment.known_id
        return run_url(self._public_url, experiment, run) if run and experiment else None

    def deliver(self, record: OutboxRecord) -> None:
        """Log one record; safe to repeat.

        Raises:
            ExportError: the server cannot be reached or refuses; nothing is lost by trying again.
        """
        by_kind = {
            "window": self._window,
            "episode": self._episodes.deliver,
            "attribution": self._attribution,
            "baseline": self._baseline,
        }
        if record.kind not in by_kind:
            raise ExportError(f"outbox record {record.key}: kind {record.kind} does not go to MLflow")
        try:
            with export_errors(self._experiment.tracking_uri):
                by_kind[record.kind](record, json.loads(record.payload))
        except ExportError as error:
            # A server that was set up anew, or a user who deletes runs: what is remembered is gone.
            if is_missing(error.__cause__):
                self._experiment.forget()
                self._episodes.forget()
                self._day = None
            raise

    def tidy(self, model: str, now: float) -> int:
        """Delete this model's runs that are kept no longer; returns how many.

        Also learns the open episodes' pages, which a restarted process does not know yet.

        Raises:
            ExportError: the server cannot be reached or refuses.
        """
        experiment = self._experiment
        wanted = f"tags.`{KIND_TAG}` LIKE '%'"
        if self._keep.everything:
            wanted = f"tags.`{KIND_TAG}` = 'episode' AND tags.state = 'open'"
        with export_errors(experiment.tracking_uri):
            runs = list(experiment.search(f"{wanted} AND tags.model = {quoted(model)}"))
            for run in runs:
                if run.data.tags.get("state") == "open":
                    self._episodes.runs[run.data.tags["episode"]] = run_id(run)
            if self._keep.everything:
                return 0
            registered = registered_runs(experiment.client, model)
            old = [run_id(run) for run in due(runs, keep=self._keep, now=now, registered=registered)]
            for gone in old:
                experiment.client.delete_run(gone)
                # A late record of a deleted day begins it anew.
                experiment.drop(gone)
        return len(old)

    def _window(self, record: OutboxRecord, payload: Mapping[str, Any]) -> None:
        verdict = payload["verdict"]
        run = day_run(self._experiment, verdict, verdict["end"])
        metrics = {**window_metrics(verdict), **payload.get("metrics", {})}
        self._experiment.log_metrics(run, metrics, step=verdict["index"], time=verdict["end"])
        self._experiment.log_artifacts(run, record.artifacts, f"windows/{verdict['index']:06d}")
        self._day = run
        if verdict["alarm"] and verdict["episode"]:
            self._episodes.add_window(verdict, run)

    def _attribution(self, record: OutboxRecord, payload: Mapping[str, Any]) -> None:
        model, _, baseline = record.key.partition("/attribution/")[0].rpartition("/")
        known = {name: payload[name] for name in MODEL_KEYS if name in payload}
        owner = {"model": model, "revision": "", "baseline": baseline, **known}
        run = day_run(self._experiment, owner, record.created)
        step = int(payload["window"])
        metrics = attribution_metrics(payload.get("metrics", {}))
        self._experiment.log_metrics(run, metrics, step=step, time=record.created)
        words = json.dumps(payload.get("words", {}), indent=2, ensure_ascii=False, sort_keys=True)
        files = {"words.json": words.encode(), **record.artifacts}
        self._experiment.log_artifacts(run, files, f"attribution/{step:06d}")

    def _baseline(self, record: OutboxRecord, payload: Mapping[str, Any]) -> None:
        revision = payload.get("revision", "")
        owner = {"model": payload["name"], "revision": revision, "baseline": payload["version"]}
        run = baseline_run(self._experiment, owner)
        for name, value in payload.items():
            if isinstance(value, str | int | float):
                self._experiment.client.log_param(run, name, value)
        self._experiment.log_artifacts(run, record.artifacts, "baseline")
        made = text.baseline_text(payload, record.created)
        note = f"{made} Windows are judged against it; the days below it show them."
        head = links.baseline_tables(self._experiment.id(), owner["model"], owner["baseline"])
        data = record.artifacts.get("baseline.headwatch")
        if self._registry and data is not None:
            version = publish_baseline(
                data,
                tracking_uri=self._experiment.tracking_uri,
                name=owner["model"],
                version_tags={name: str(payload[name]) for name in sorted(payload)},
                token=self._experiment.token,
                run_id=run,
                description=made,
            )
            head = f"{head} · {links.version_link(registered_name(owner['model']), version)}"
        self._experiment.set_tags(run, {NOTE_TAG: f"{head}\n\n{note}"})
