"""The outbox is drained sink by sink; what a sink does not take stays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.errors import ExportError
from monitor.records import OutboxKind, OutboxRecord
from monitor.sidecar.delivery import Delivery
from monitor.state.settings import StateSettings, WindowSettings
from monitor.state.store import StateStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StateStore]:
    opened = StateStore(
        tmp_path / "state.sqlite", settings=StateSettings(), window=WindowSettings(), clock=lambda: 1000.0
    )
    yield opened
    opened.close()


def record(key: str, kind: OutboxKind = "window") -> OutboxRecord:
    return OutboxRecord(key=key, kind=kind, created=1.0, payload="{}")


def test_a_record_leaves_the_outbox_once_its_sink_took_it(store: StateStore) -> None:
    taken: list[str] = []
    store.add_outbox([record("a"), record("b")])
    delivery = Delivery(
        store=store,
        sinks={"mlflow": (frozenset({"window"}), lambda item: taken.append(item.key))},
        should_stop=lambda: False,
    )
    delivery.run()
    delivery.run()
    assert taken == ["a", "b"]
    assert delivery.deliveries == {"mlflow": 2}
    assert store.pending_outbox(["window"], 10) == []


def test_a_sink_that_refuses_is_tried_again_and_keeps_the_order(store: StateStore) -> None:
    taken: list[str] = []
    down = [True]

    def deliver(item: OutboxRecord) -> None:
        if down[0]:
            raise ExportError("the server is away")
        taken.append(item.key)

    store.add_outbox([record("a"), record("b")])
    delivery = Delivery(
        store=store, sinks={"mlflow": (frozenset({"window"}), deliver)}, should_stop=lambda: False
    )
    delivery.run()
    assert delivery.failures == {"mlflow": 2}
    down[0] = False
    delivery.run()
    assert taken == ["a", "b"]


def test_a_sink_that_is_away_is_left_alone_after_three_failures(store: StateStore) -> None:
    tried: list[str] = []

    def away(item: OutboxRecord) -> None:
        tried.append(item.key)
        raise ExportError("the server is away")

    store.add_outbox([record(str(i)) for i in range(9)])
    Delivery(store=store, sinks={"mlflow": (frozenset({"window"}), away)}, should_stop=lambda: False).run()
    assert tried == ["0", "1", "2"]


def test_one_bad_record_does_not_hold_up_the_rest(store: StateStore) -> None:
    taken: list[str] = []

    def deliver(item: OutboxRecord) -> None:
        if item.key == "bad":
            raise ExportError("refused for good")
        taken.append(item.key)

    store.add_outbox([record("bad"), record("a"), record("b")])
    Delivery(store=store, sinks={"mlflow": (frozenset({"window"}), deliver)}, should_stop=lambda: False).run()
    assert taken == ["a", "b"]


def test_a_sink_that_breaks_never_silences_another(store: StateStore) -> None:
    taken: list[str] = []

    def broken(_: OutboxRecord) -> None:
        raise RuntimeError("a library's own fault")

    store.add_outbox([record("a"), record("n", "notification")])
    delivery = Delivery(
        store=store,
        sinks={
            "mlflow": (frozenset({"window"}), broken),
            "notifications": (frozenset({"notification"}), lambda item: taken.append(item.key)),
        },
        should_stop=lambda: False,
    )
    delivery.run()
    assert taken == ["n"]
    assert delivery.failures == {"mlflow": 1, "notifications": 0}
    assert [item.key for item in store.pending_outbox(["window"], 10)] == ["a"]
