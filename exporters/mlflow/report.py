"""The report of an episode, fetched from its run: what ``headwatch report --run`` draws."""

from __future__ import annotations

import json
import tempfile
from typing import Any

from exporters.mlflow.artifacts import fetched, files_of
from exporters.mlflow.connection import connect, export_errors
from monitor.errors import InputError

NAME = "report.json"


def fetch_report(*, tracking_uri: str, run: str, token: str | None = None) -> dict[str, Any]:
    """The newest ``report.json`` among the artifacts of an episode's run, as plain values.

    Raises:
        ExportError: the server cannot be reached, or has no such run.
        InputError: the run has no report.
    """
    client = connect(tracking_uri, token)
    with export_errors(tracking_uri), tempfile.TemporaryDirectory(prefix="headwatch-") as folder:
        kept = client.get_run(run)
        files = files_of(kept, tracking_uri=tracking_uri)
        places = [f"{name}/{NAME}" for name in files if NAME in files[name]]
        found = [
            json.loads(fetched(kept, place, tracking_uri=tracking_uri, into=folder).read_text("utf-8"))
            for place in places
        ]
    if not found:
        raise InputError(
            f"--run = {run}: has no {NAME}; give the run of a drift episode that this version or a "
            "later one made"
        )
    newest: dict[str, Any] = max(found, key=lambda report: float(report.get("made", 0.0)))
    return newest
