"""MLflow goes away while the sidecar runs: cycles go on, evidence waits and arrives once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.servers import Server, outage, running, wait_for
from tests.sidecar_process import Sidecar, sidecar

CALM = "the quiet harbour woke early while small boats carried fresh bread to every waiting door".split()


def test_evidence_waits_for_mlflow_and_arrives_once(
    tmp_path: Path, tiny_classifier: Path, mlflow: Server
) -> None:
    watch = sidecar(
        tmp_path / "run",
        model=tiny_classifier,
        exporters={"mlflow": {"tracking_uri": mlflow.url, "experiment": "harbour"}},
    )
    with running(watch.server):
        _send_windows(watch, 5)
        _wait_for_windows(watch, 5)
        _wait_until_delivered(watch)
        with outage(mlflow):
            _send_windows(watch, 3, first=5)
            _wait_for_windows(watch, 8)
            wait_for("a delivery has failed, and is counted", lambda: _failures(watch), seconds=60)
            assert watch.status()["outbox"]["records"]["window"] == 3
        _wait_until_delivered(watch)
    steps = _logged_steps(mlflow.url)
    assert sorted(steps) == [5, 6, 7], "each judged window is one step, logged once"


def _send_windows(watch: Sidecar, count: int, *, first: int = 0) -> None:
    for window in range(first, first + count):
        watch.send(
            [{"id": f"{window}-{i}", "text": _sentence(window * 40 + i * 3, 4 + i % 7)} for i in range(40)]
        )


def _sentence(start: int, length: int) -> str:
    return " ".join(CALM[(start + k) % len(CALM)] for k in range(length))


def _wait_for_windows(watch: Sidecar, count: int) -> None:
    wait_for(f"{count} windows are judged", lambda: len(watch.verdicts()) >= count, seconds=60)


def _wait_until_delivered(watch: Sidecar) -> None:
    # With default retries a dead server is tried for seconds before its record is given up.
    wait_for(
        "the outbox is empty",
        lambda: not any(watch.status()["outbox"]["records"].values()),
        seconds=90,
    )


def _failures(watch: Sidecar) -> bool:
    lines = [line for line in watch.metrics().splitlines() if 'sink="mlflow"' in line]
    return any(
        line.startswith("headwatch_sink_failures_total") and float(line.split()[-1]) > 0 for line in lines
    )


def _logged_steps(uri: str) -> list[int]:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("harbour")
    assert experiment is not None
    steps: list[int] = []
    run: Any
    # an episode's run repeats the figures of its windows, so only the days are counted
    for run in client.search_runs([experiment.experiment_id], "tags.`headwatch.kind` = 'day'"):
        steps += [point.step for point in client.get_metric_history(run.info.run_id, "window/samples")]
    return steps
