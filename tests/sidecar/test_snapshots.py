"""What is looked at from other threads while the jobs change it: each thing is read once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exporters.mlflow.experiment import Experiment
from exporters.mlflow.runs import MlflowRuns
from monitor.cycle.state import Cycle
from monitor.ingest.intake import Intake
from monitor.live.in_force import BaselineInForce
from monitor.sidecar.jobs import JobBook
from monitor.sidecar.snapshots import Observer
from tests.cycle_bench import Bench


class Vanishing:
    """An attribute that another thread takes away as soon as it was read."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __get__(self, owner: object, kind: type | None = None) -> Any:
        value, self._value = self._value, None
        return value

    def __set__(self, owner: object, value: object) -> None:
        """What the test gave stays."""


@pytest.fixture
def watched(tmp_path: Path, tiny_classifier: Path) -> Iterator[Observer]:
    bench = Bench(tmp_path, tiny_classifier)
    bench.learn()
    bench.send()
    bench.run()
    intake = Intake(bench.store, settings=bench.config.ingest)
    observer = Observer(
        config=bench.config,
        store=bench.store,
        intake=intake,
        jobs=JobBook(clock=time.time),
        started=bench.now,
    )
    observer.cycle = bench.cycle
    yield observer
    intake.stop()
    bench.store.close()


def test_a_baseline_that_is_replaced_meanwhile_breaks_no_scrape(
    watched: Observer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert watched.cycle is not None
    now = watched.cycle.clock()
    found = watched.snapshot(now)
    assert (found.state, found.verdict is not None, bool(found.layer_profile)) == ("quiet", True, True)
    monkeypatch.setattr(BaselineInForce, "baseline", Vanishing(watched.cycle.baseline), raising=False)
    monkeypatch.setattr(Cycle, "profile", Vanishing(watched.cycle.profile), raising=False)
    seen = watched.snapshot(now)
    assert (seen.baseline, set(seen.layer_profile)) == (found.baseline, set(found.layer_profile))


def test_a_verdict_that_a_promotion_takes_away_meanwhile_breaks_no_scrape(
    watched: Observer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert watched.cycle is not None
    now = watched.cycle.clock()
    monkeypatch.setattr(Cycle, "verdict", Vanishing(watched.cycle.verdict), raising=False)
    assert watched.state(now) == "quiet"


def test_a_run_that_is_forgotten_meanwhile_still_has_its_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Experiment, "known_id", Vanishing("1"), raising=False)
    monkeypatch.setattr(MlflowRuns, "_day", Vanishing("abc"), raising=False)
    runs = MlflowRuns(tracking_uri="http://mlflow:5000", experiment="headwatch")
    assert runs.url() == "http://mlflow:5000/#/experiments/1/runs/abc"
