"""A state file with a clock that the test moves."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from monitor.records import OutboxRecord, Sample
from monitor.state.settings import StateSettings, WindowSettings
from monitor.state.store import StateStore


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def open_store(tmp_path, clock):
    opened = []

    def open_one(**window) -> StateStore:
        state = StateSettings(**window.pop("state", {}))
        settings = WindowSettings(**{"samples": 30, "minimum_samples": 10, **window})
        store = StateStore(tmp_path / "state.sqlite", settings=state, window=settings, clock=clock)
        opened.append(store)
        return store

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def texts() -> Callable[..., list[Sample]]:
    def make(count: int, prefix: str = "s") -> list[Sample]:
        return [Sample(id=f"{prefix}{i}", time=float(i), text=f"text {prefix}{i}") for i in range(count)]

    return make


@pytest.fixture
def record() -> Callable[..., OutboxRecord]:
    def make(key: str, kind="window", size: int = 0) -> OutboxRecord:
        artifacts = {"profile.npz": bytes(size)} if size else {}
        return OutboxRecord(key=key, kind=kind, created=1.0, payload="{}", artifacts=artifacts)

    return make
