"""The outbox: delivered once, bounded, the oldest evidence dropped last."""

from __future__ import annotations

MEBIBYTE = 2**20


def test_a_key_is_taken_in_once_even_after_its_delivery(open_store, record):
    store = open_store()
    store.add_outbox([record("e1", "episode", 10), record("n1", "notification")])
    store.add_outbox([record("e1", "episode", 99)])
    assert store.outbox_record("e1") == record("e1", "episode", 10)
    store.delivered("e1")
    store.add_outbox([record("e1", "episode")])
    assert list(store.undelivered(["episode", "notification"])) == ["n1"]
    assert store.outbox_record("e1") is None
    assert store.outbox_usage() == ({"notification": 1}, 4, 0)


def test_records_come_in_the_order_in_which_they_were_added(open_store, record):
    store = open_store()
    store.add_outbox([record(f"w{number}") for number in range(5)])
    assert list(store.undelivered(["window"])) == ["w0", "w1", "w2", "w3", "w4"]
    assert store.undelivered([]) == {}


def test_a_record_goes_when_each_address_has_a_receipt_and_receipts_outlive_a_restart(open_store, record):
    store = open_store()
    store.add_outbox([record("n1", "notification"), record("n2", "notification")])
    assert store.delivered("n1", "a", of=["a", "b"]) is False
    store.close()
    again = open_store()
    assert again.undelivered(["notification"], ["a", "b"]) == {"n1": ["b"], "n2": ["a", "b"]}
    assert again.delivered("n1", "b", of=["a", "b"]) is True
    again.add_outbox([record("n1", "notification")])
    assert again.undelivered(["notification"], ["a", "b"]) == {"n2": ["a", "b"]}


def test_routine_records_go_before_evidence_and_the_oldest_evidence_last(open_store, record):
    store = open_store(state={"outbox": "1MiB"})
    size = MEBIBYTE // 4 - 100
    store.add_outbox([record("e1", "episode", size), record("w1", "window", size)])
    store.add_outbox([record("a1", "attribution", size), record("e2", "baseline", size)])
    kinds = ["window", "attribution", "episode", "baseline", "notification"]

    def keys():
        return list(store.undelivered(kinds))

    assert keys() == ["e1", "w1", "a1", "e2"]
    store.add_outbox([record("n1", "notification", size)])
    assert keys() == ["e1", "a1", "e2", "n1"], "the oldest routine record went"
    store.add_outbox([record("w2", "window", size)])
    assert keys() == ["e1", "e2", "n1", "w2"]
    store.add_outbox([record("e3", "episode", size)])
    assert keys() == ["e1", "e2", "n1", "e3"]
    store.add_outbox([record("e4", "episode", size)])
    assert keys() == ["e1", "e2", "n1", "e3"], "among evidence the newest goes first"
    assert store.outbox_usage().dropped == 4
    assert store.outbox_usage().bytes <= MEBIBYTE


def test_a_record_larger_than_the_outbox_drops_only_itself(open_store, record):
    store = open_store(state={"outbox": "1MiB"})
    store.add_outbox([record("w1"), record("huge", "episode", 2 * MEBIBYTE)])
    assert list(store.undelivered(["window", "episode"])) == ["w1"]
    assert store.outbox_usage().dropped == 1
