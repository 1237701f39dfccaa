"""Windows: filled, closed, profiled, judged, each step once."""

from __future__ import annotations

import pytest

from monitor.errors import StateError
from monitor.records import Sample, ServedAnswer, ServedPrediction
from monitor.state import windows as window_rules


def test_a_window_counts_every_request_and_keeps_at_most_its_samples(open_store, texts):
    store = open_store()
    store.ingest(texts(100))
    (window,) = store.windows("open")
    assert (window.index, window.received, window.kept) == (0, 100, 30)
    assert store.pending_samples() == 30
    assert len(store.window_samples(0)) == 30


def test_what_a_window_keeps_does_not_depend_on_how_the_samples_came_in(open_store, texts, tmp_path, clock):
    store = open_store()
    store.ingest(texts(100))
    at_once = {sample.id for sample in store.window_samples(0)}
    store.close()
    for name in ("state.sqlite-wal", "state.sqlite-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / "state.sqlite").rename(tmp_path / "first.sqlite")

    from monitor.state.database import Database

    first = Database(tmp_path / "first.sqlite")
    with first.read() as db:
        key = db.execute("SELECT value FROM meta WHERE key = 'sampling_key'").fetchone()[0]
    first.close()
    second = open_store()
    second._secret = bytes.fromhex(key)
    for sample in reversed(texts(100)):
        second.ingest([sample])
    assert {sample.id for sample in second.window_samples(0)} == at_once


def test_a_sample_that_arrives_twice_in_a_window_counts_once(open_store, texts):
    store = open_store()
    store.ingest(texts(50) + texts(50))
    store.ingest(texts(50))
    (window,) = store.windows("open")
    assert (window.received, window.kept) == (50, 30)


def test_past_the_memory_for_ids_a_repeated_sample_is_still_kept_only_once(open_store, texts, monkeypatch):
    monkeypatch.setattr(window_rules, "MOST_SEEN", 5)
    store = open_store()
    for _ in range(3):
        store.ingest(texts(20))
    assert sorted(sample.id for sample in store.window_samples(0)) == sorted(s.id for s in texts(20))


def test_a_window_closes_after_its_duration_once_it_has_enough_samples(open_store, texts, clock):
    store = open_store(duration="5m")
    assert store.close_due_window() is None
    store.ingest(texts(9))
    clock.now += 300
    assert store.close_due_window() is None, "too few: the window stays open and is joined"
    store.ingest(texts(5, "later"))
    clock.now += 10
    assert store.close_due_window() == 0
    (window,) = store.windows("closed")
    assert (window.start, window.end, window.received, window.kept) == (1000.0, 1310.0, 14, 14)
    store.ingest(texts(9))
    assert store.close_due_window() is None
    assert [row.index for row in store.windows("open")] == [1]


def test_windows_close_at_exactly_so_many_requests_within_one_batch(open_store, texts):
    store = open_store(requests=40)
    store.ingest(texts(130) + texts(130))
    assert [(row.index, row.received, row.kept) for row in store.windows("closed")] == [
        (0, 40, 30),
        (1, 40, 30),
        (2, 40, 30),
        (3, 40, 30),
        (4, 40, 30),
        (5, 40, 30),
    ]
    assert [row.received for row in store.windows("open")] == [20]


def test_every_field_of_a_sample_comes_back(open_store):
    store = open_store()
    given = [
        Sample(
            id="a",
            time=1.5,
            text="Grüße 世界 🙂\u2028",
            text_pair="\x00pair",
            revision="7",
            served=ServedPrediction(label="positive", probability=0.25),
            attributes={"tenant": "x"},
        ),
        Sample(id="b", time=2.5, input_ids=(101, 7, 102)),
    ]
    store.ingest(given)
    assert store.window_samples(0) == given


@pytest.mark.parametrize("answer_first", [True, False])
def test_a_served_answer_pairs_with_its_sample_whichever_comes_first(open_store, texts, answer_first):
    store = open_store()
    answer = ServedAnswer(id="s3", time=9.0, prediction=ServedPrediction(label="negative", probability=0.9))
    for batch in ([answer], texts(5)) if answer_first else (texts(5), [answer]):
        store.ingest(batch)
    served = {sample.id: sample.served for sample in store.window_samples(0)}
    assert served["s3"] == answer.prediction
    assert [name for name, prediction in served.items() if prediction is not None] == ["s3"]


def test_an_answer_reaches_a_sample_whose_window_has_just_closed(open_store, texts, clock):
    store = open_store()
    store.ingest(texts(10))
    clock.now += 300
    assert store.close_due_window() == 0
    store.ingest([ServedAnswer(id="s0", time=0.0, prediction=ServedPrediction(label="1"))])
    assert store.window_samples(0)[0].served == ServedPrediction(label="1")


def test_answers_without_a_request_are_bounded_and_forgotten(open_store, clock, monkeypatch):
    monkeypatch.setattr(window_rules, "MOST_ANSWERS", 3)
    store = open_store()
    prediction = ServedPrediction(label="1")
    store.ingest([ServedAnswer(id=str(number), time=0.0, prediction=prediction) for number in range(5)])
    store.ingest([Sample(id=str(number), time=float(number), text="x") for number in range(5)])
    assert [sample.served is not None for sample in store.window_samples(0)] == [
        False,
        False,
        True,
        True,
        True,
    ]
    store.ingest([ServedAnswer(id="late", time=0.0, prediction=prediction)])
    clock.now += window_rules.ANSWER_LIFETIME + 1
    assert store.maintain().answers_expired == 1


def test_features_and_verdict_move_a_window_on_in_one_commit_each(open_store, texts, clock, record):
    store = open_store(requests=10)
    store.ingest(texts(20))
    store.store_features(0, b"features", attribution_ids=["s1", "s2"])
    assert store.window_samples(0) != []
    assert [(index, sample.id) for index, sample in store.attribution_due()] == [(0, "s1"), (0, "s2")]
    assert store.load_features(0) == b"features"
    assert [row.index for row in store.windows("profiled")] == [0]
    store.commit_verdict(
        0, '{"index": 0}', model_key="m@1", detector_state=b"one", outbox=[record("w0")], keep_features=True
    )
    assert store.detector_state("m@1") == b"one"
    assert store.detector_state("other") is None
    assert store.verdicts(-1) == ['{"index": 0}']
    assert store.verdicts(0) == []
    assert store.learning_features() == [b"features"]
    store.commit_attribution(0, outbox=[record("a0", "attribution")])
    assert store.attribution_due() == []
    assert store.window_samples(0) == []
    assert list(store.undelivered(["window", "attribution"])) == ["w0", "a0"]
    store.clear_learning_features()
    store.reset_detector("m@1")
    assert (store.learning_features(), store.detector_state("m@1")) == ([], None)


def test_a_second_verdict_for_a_window_raises_and_changes_nothing(open_store, texts, record):
    store = open_store(requests=10)
    store.ingest(texts(10))
    store.store_features(0, b"features", attribution_ids=[])
    store.commit_verdict(0, "{}", model_key="m", detector_state=b"one", outbox=[], keep_features=False)
    with pytest.raises(StateError) as caught:
        store.commit_verdict(
            0, "again", model_key="m", detector_state=b"two", outbox=[record("x")], keep_features=True
        )
    assert str(caught.value) == "window = 0: is judged, not profiled; each step of a window is taken once"
    assert store.verdicts(-1) == ["{}"]
    assert store.detector_state("m") == b"one"
    assert store.undelivered(["window"]) == {}
    with pytest.raises(StateError) as caught:
        store.load_features(0)
    assert str(caught.value) == "window = 0: has no features; profile it first"
    with pytest.raises(StateError) as caught:
        store.store_features(4, b"", attribution_ids=[])
    assert str(caught.value) == "window = 4: is unknown, not closed; each step of a window is taken once"


def test_a_batch_that_fails_leaves_nothing_of_itself(open_store, texts):
    store = open_store()
    odd = Sample(id="odd", time=0.0, text="x", attributes={"a": object()})  # type: ignore[dict-item]
    with pytest.raises(TypeError):
        store.ingest([*texts(5), odd], meta={"offset": "5"})
    assert (store.windows("open"), store.get_meta("offset")) == ([], None)
    store.ingest(texts(5), meta={"offset": "5"})
    assert (store.windows("open")[0].received, store.get_meta("offset")) == (5, "5")
    store.set_meta("offset", "6")
    assert store.get_meta("offset") == "6"
