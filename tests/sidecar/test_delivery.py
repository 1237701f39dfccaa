"""The outbox is drained sink by sink; what a sink does not take stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import ExportError
from monitor.records import OutboxKind, OutboxRecord
from monitor.sidecar.delivery import BATCH, MOST_FAILURES, Delivery, Queue, Send
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
    assert store.undelivered(["window"]) == {}


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
    assert list(store.undelivered(["window"])) == ["a"]


def windows_until(store: StateStore, fails: Callable[[str], bool], *, runs: int) -> list[list[str]]:
    """Which records an MLflow takes in each of so many runs, where those that ``fails`` names fail."""
    taken: list[str] = []

    def deliver(item: OutboxRecord) -> None:
        if fails(item.key):
            raise ExportError("HTTP 413")
        taken.append(item.key)

    delivery = Delivery(
        store=store, sinks={"mlflow": (frozenset({"window"}), deliver)}, should_stop=lambda: False
    )
    found = []
    for _ in range(runs):
        delivery.run()
        found.append(list(taken))
        taken.clear()
    return found


def test_three_records_that_are_always_refused_do_not_hold_up_later_ones(store: StateStore) -> None:
    store.add_outbox([record(key) for key in ("bad1", "bad2", "bad3", "a", "b", "c")])
    assert windows_until(store, lambda key: key.startswith("bad"), runs=2) == [[], ["a", "b", "c"]]
    assert list(store.undelivered(["window"])) == ["bad1", "bad2", "bad3"]


def test_records_that_are_refused_are_soon_known_and_tried_after_the_rest(store: StateStore) -> None:
    """As many in a row as a run tries at most: each run finds out about two more of them."""
    store.add_outbox([record(f"bad{number}") for number in range(BATCH)])
    tried: list[str] = []

    def deliver(item: OutboxRecord) -> None:
        tried.append(item.key)
        if item.key.startswith("bad"):
            raise ExportError("HTTP 413")

    delivery = Delivery(
        store=store, sinks={"mlflow": (frozenset({"window"}), deliver)}, should_stop=lambda: False
    )
    for number in range(2 * BATCH):
        store.add_outbox([record(f"w{number}")])
        delivery.run()
        if number == BATCH // 2:
            assert not [key for key in store.undelivered(["window"]) if key.startswith("w")]
    assert list(store.undelivered(["window"])) == [f"bad{number}" for number in range(BATCH)]
    store.add_outbox([record("late1"), record("late2")])
    tried.clear()
    delivery.run()
    assert tried[:2] == ["late1", "late2"]
    assert len(tried) == 2 + MOST_FAILURES, "those that are refused are still tried, a few in each run"


def test_after_an_outage_all_records_arrive_in_order(store: StateStore) -> None:
    store.add_outbox([record(str(number)) for number in range(9)])
    away = iter([True] * 9 + [False] * 9)
    assert windows_until(store, lambda _: next(away), runs=4) == [[], [], [], [str(i) for i in range(9)]]


def test_a_record_that_was_once_refused_arrives_when_it_is_taken(store: StateStore) -> None:
    store.add_outbox([record(key) for key in ("big", "a", "b")])
    refused = iter([True, True, False])
    taken = windows_until(store, lambda key: key == "big" and next(refused), runs=3)
    assert taken == [["a", "b"], [], ["big"]]


def test_an_address_that_is_no_longer_configured_keeps_no_record(store: StateStore) -> None:
    def refuse(_: OutboxRecord) -> None:
        raise ExportError("revoked")

    def run(addresses: dict[str, Send]) -> list[str]:
        sinks = {"notifications": (frozenset({"notification"}), addresses)}
        Delivery(store=store, sinks=sinks, should_stop=lambda: False).run()
        return list(store.undelivered(["notification"]))

    store.add_outbox([record("n", "notification")])
    assert run({"healthy": lambda _: None, "revoked": refuse}) == ["n"]
    assert run({"healthy": refuse}) == []


@given(
    steps=st.lists(st.tuples(st.booleans(), st.lists(st.booleans(), max_size=4)), max_size=40),
    refuses=st.booleans(),
)
def test_whatever_is_away_or_refused_all_the_rest_arrives_and_after_outages_in_order(
    steps: list[tuple[bool, list[bool]]], refuses: bool
) -> None:
    """``steps``: whether the address is away in a run, and which of the records new in it are bad."""
    queue, pending, bad, taken = Queue(), list[str](), set[str](), list[str]()

    def attempt(key: str, *, away: bool = False) -> bool:
        if away or key in bad:
            return False
        pending.remove(key)
        taken.append(key)
        return True

    count = 0
    for away, new in steps:
        for is_bad in new:
            pending.append(f"{count:03}")
            bad |= {f"{count:03}"} if is_bad and refuses else set()
            count += 1
        queue.run(list(pending), partial(attempt, away=away), should_stop=lambda: False)
    for _ in range(len(pending)):
        queue.run(list(pending), attempt, should_stop=lambda: False)
    assert set(pending) == bad
    assert bad or taken == sorted(taken)
