"""One MLflow experiment: runs that are found by their key or made, and what is logged to them.

Every run is created together with its tag ``headwatch.key`` and looked up by it before, so a record
that arrives twice finds what its first delivery made. MLflow keeps one point per metric, step,
timestamp and value, so a window that is logged again adds nothing.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from exporters.mlflow.connection import connect, without_secrets
from exporters.mlflow.links import experiment_note
from exporters.mlflow.text import fitting
from monitor.errors import ExportError

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

KEY_TAG = "headwatch.key"
KIND_TAG = "headwatch.kind"
NOTE_TAG = "mlflow.note.content"
# The page of an experiment of this kind opens with its runs, not with traces of prompts.
EXPERIMENT_KIND = {"mlflow.experimentKind": "custom_model_development"}
BATCH = 500
PAGE = 1000


class Experiment:
    """The experiment ``name`` of a server, made when it is first needed. Not thread-safe."""

    def __init__(self, *, tracking_uri: str, name: str, token: str | None = None) -> None:
        self.tracking_uri = tracking_uri
        self.name = name
        self.token = token
        self.known_id: str | None = None
        self._client: MlflowClient | None = None
        self._runs: dict[str, str] = {}

    @property
    def client(self) -> MlflowClient:
        """The connection; made at its first use."""
        if self._client is None:
            self._client = connect(self.tracking_uri, self.token)
        return self._client

    def id(self) -> str:
        """The experiment's id; it is created where there is none.

        Raises:
            ExportError: somebody has deleted it.
        """
        if self.known_id is None:
            found = self.client.get_experiment_by_name(self.name)
            if found is not None and found.lifecycle_stage != "active":
                raise ExportError(
                    f"exporters.mlflow.experiment = {self.name}: is deleted on "
                    f"{without_secrets(self.tracking_uri)}; restore it or choose another name"
                )
            tags = dict(found.tags) if found else {**EXPERIMENT_KIND, KIND_TAG: "experiment"}
            known = str(found.experiment_id if found else self.client.create_experiment(self.name, tags=tags))
            if KIND_TAG in tags and NOTE_TAG not in tags:
                self.client.set_experiment_tag(known, NOTE_TAG, experiment_note(known))
            self.known_id = known
        return self.known_id

    def run(
        self, key: str, *, kind: str, name: str, tags: Mapping[str, str], start: float | None = None
    ) -> str:
        """The id of the run tagged with ``key``, which is created where there is none."""
        found = self.find(key)
        if found is None:
            made = self.client.create_run(
                self.id(),
                start_time=milliseconds(start) if start is not None else None,
                tags={**tags, KEY_TAG: _quoted(key), KIND_TAG: kind},
                run_name=name,
            )
            found = self._runs[key] = run_id(made)
        return found

    def find(self, key: str) -> str | None:
        """The id of the run tagged with ``key``, where there is one."""
        if key not in self._runs:
            found = self.client.search_runs(
                [self.id()],
                f"tags.`{KEY_TAG}` = '{_quoted(key)}'",
                order_by=["attributes.start_time ASC"],
                max_results=1,
            )
            if not found:
                return None
            self._runs[key] = run_id(found[0])
        return self._runs[key]

    def knows(self, key: str) -> bool:
        """Whether the run was met before, so that no request is needed to find it."""
        return key in self._runs

    def search(self, text: str) -> Iterator[Run]:
        """All active runs that MLflow's filter ``text`` finds, the newest first."""
        token: str | None = None
        while True:
            page = self.client.search_runs(
                [self.id()],
                text,
                max_results=PAGE,
                order_by=["attributes.start_time DESC"],
                page_token=token,
            )
            yield from page
            token = page.token
            if not token:
                return

    def tags(self, run: str) -> dict[str, str]:
        """The run's tags as they stand on the server."""
        return dict(self.client.get_run(run).data.tags)

    def set_tags(self, run: str, tags: Mapping[str, str]) -> None:
        """Set all of them in one request; a value that is too long is cut after a whole line."""
        from mlflow.entities import RunTag

        self.client.log_batch(run, tags=[RunTag(name, fitting(value)) for name, value in tags.items()])

    def log_metrics(self, run: str, metrics: Mapping[str, float], *, step: int, time: float) -> None:
        """One point of each metric that is a finite number."""
        from mlflow.entities import Metric

        points = [
            Metric(name, float(value), milliseconds(time), step)
            for name, value in metrics.items()
            if math.isfinite(value)
        ]
        for first in range(0, len(points), BATCH):
            self.client.log_batch(run, metrics=points[first : first + BATCH])

    def log_artifacts(self, run: str, files: Mapping[str, bytes], folder: str) -> None:
        """Store the files under ``folder`` of the run."""
        if not files:
            return
        with tempfile.TemporaryDirectory(prefix="headwatch-") as local:
            for name, content in files.items():
                (Path(local) / Path(name).name).write_bytes(content)
            self.client.log_artifacts(run, local, folder)

    def drop(self, run: str) -> None:
        """Forget one run, which was deleted."""
        self._runs = {key: known for key, known in self._runs.items() if known != run}

    def forget(self) -> None:
        """Look everything up anew: the server is not the one that was known."""
        self._runs.clear()
        self.known_id = None


def run_id(run: Run) -> str:
    """The id of a run that MLflow returned."""
    return str(run.info.run_id)


def milliseconds(seconds: float) -> int:
    """Seconds since the epoch as MLflow counts time."""
    return round(seconds * 1000)


def _quoted(key: str) -> str:
    """The key as it is both stored and searched: MLflow's filter language cannot escape a quote."""
    return key.replace("'", "’")
