"""Outbox records about the verdicts of ``scenes``, and what an MLflow server then holds."""

from __future__ import annotations

import json

from exporters.mlflow.connection import connect
from monitor.records import OutboxRecord
from tests.exporters.scenes import START

PNG = b"\x89PNG not really"


def window(verdict, **metrics):
    payload = {"verdict": verdict.to_json(), "metrics": metrics}
    return record(f"sentiment/b1/window/{verdict.window}", "window", verdict.end, payload)


def episode(verdict, phase, *, outcome=None, report=True):
    payload = {"verdict": verdict.to_json(), "phase": phase}
    files = {"verdict.json": json.dumps(verdict.to_json()).encode(), "head_map.png": PNG}
    if report:
        files["report.html"] = b"<!doctype html><title>Drift</title>"
    if outcome is not None:
        payload["outcome"], files = outcome, {}
    key = f"sentiment/b1/episode/{verdict.episode}/{phase}/{verdict.window}"
    return record(key, "episode", verdict.end, payload, files)


def report(verdict, *, window, sentences):
    """A newer report of the standing episode, after ``window`` was attributed."""
    payload = {"verdict": verdict.to_json(), "phase": "attributed", "sentences": sentences}
    key = f"sentiment/b1/episode/{verdict.episode}/attributed/{window}"
    return record(key, "episode", verdict.end, payload, {"report.html": b"<!doctype html>"})


def attribution(verdict, **metrics):
    payload = {"window": verdict.window, "metrics": metrics, "words": {"good": 0.4}}
    return record(f"sentiment/b1/attribution/{verdict.window}", "attribution", verdict.end, payload)


def baseline(data=b"a baseline", **changes):
    payload = {"name": "sentiment", "revision": "7", "version": "b1", "samples": 2000, "source": "live"}
    payload |= changes
    key = f"{payload['name']}/{payload['version']}/baseline"
    return record(key, "baseline", START, payload, {"baseline.headwatch": data})


def record(key, kind, created, payload, files=None):
    return OutboxRecord(
        key=key, kind=kind, created=created, payload=json.dumps(payload), artifacts=files or {}
    )


def runs_of(server, experiment, kind=None):
    client = connect(server.url)
    found = client.get_experiment_by_name(experiment)
    if found is None:
        return []
    runs = client.search_runs([found.experiment_id], order_by=["attributes.start_time ASC"])
    return [run for run in runs if kind is None or run.data.tags["headwatch.kind"] == kind]


def files_of(server, run, folder):
    return [item.path for item in connect(server.url).list_artifacts(run.info.run_id, folder)]


def note_of(run):
    return run.data.tags["mlflow.note.content"]
