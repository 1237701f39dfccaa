"""The report of an episode, fetched from its run: what ``headwatch report --run`` draws."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporters.mlflow_connection import connect, export_errors
from monitor.errors import InputError

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

NAME = "report.json"


def fetch_report(*, tracking_uri: str, run: str, token: str | None = None) -> dict[str, Any]:
    """The newest ``report.json`` among the artifacts of an episode's run, as plain values.

    Raises:
        ExportError: the server cannot be reached, or has no such run.
        InputError: the run has no report.
    """
    client = connect(tracking_uri, token)
    with export_errors(tracking_uri), tempfile.TemporaryDirectory(prefix="headwatch-") as folder:
        found = [_loaded(client, run, path, folder) for path in _places(client, run)]
    if not found:
        raise InputError(
            f"--run = {run}: has no {NAME}; give the run of a drift episode that this version or a "
            "later one made"
        )
    return max(found, key=lambda report: float(report.get("made", 0.0)))


def _places(client: MlflowClient, run: str) -> list[str]:
    """Where the run keeps reports: one a folder, as the episode opened, widened, was attributed, closed."""
    folders = [item.path for item in client.list_artifacts(run) if item.is_dir]
    files = [file.path for folder in folders for file in client.list_artifacts(run, folder)]
    return [path for path in files if Path(path).name == NAME]


def _loaded(client: MlflowClient, run: str, path: str, folder: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(Path(client.download_artifacts(run, path, folder)).read_text("utf-8"))
    return loaded
