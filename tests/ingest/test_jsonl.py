"""JSONL files: read at once, and followed as they grow."""

from __future__ import annotations

import itertools
import json
import os

import pytest

from monitor.errors import InputError, StateError
from monitor.ingest.counters import IngestCounters
from monitor.ingest.follow import JsonlFollower
from monitor.ingest.jsonl import read_samples
from monitor.ingest.limits import PayloadLimits
from monitor.records import Sample


def test_a_file_gives_its_samples_and_names_the_lines_that_are_none(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(
        b'{"text": "one"}\n\n{"id": "b", "text": "two", "time": 5}\nno json\n[1]\n{"text": "\xff"}\n'
        b'{"text": ""}\n{"id": 7, "input_ids": [1, 2]}'
    )
    samples, problems = read_samples(path)
    assert samples == [
        Sample(id="line-1", time=0.0, text="one"),
        Sample(id="b", time=5.0, text="two"),
        Sample(id="7", time=0.0, input_ids=(1, 2)),
    ]
    assert problems == [
        "log.jsonl line 4: is no JSON (Expecting value at column 1); write one JSON object a line",
        'log.jsonl line 5: a sample is a JSON object such as {"text": "..."}; this is a list',
        "log.jsonl line 6: byte 10 is no UTF-8; save the file as UTF-8",
        "log.jsonl line 7: text: is empty; send a text with at least one character",
    ]


@pytest.mark.parametrize(
    "name, reason", [("missing.jsonl", "No such file or directory"), ("", "Is a directory")]
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, name, reason):
    path = tmp_path / name
    with pytest.raises(InputError) as caught:
        read_samples(path)
    assert str(caught.value) == f"{path}: cannot be read ({reason}); give a JSONL file that exists"


@pytest.fixture
def follow(tmp_path, store):
    """A follower of the log as a fresh process would make it, over the same state file."""
    numbers = itertools.count(1)
    made = []

    def make(sink=store, maximum_body=1000):
        follower = JsonlFollower(
            tmp_path / "log.jsonl",
            store=sink,
            counters=IngestCounters(),
            limits=PayloadLimits(maximum_body=maximum_body),
            id_factory=lambda: f"made-{next(numbers)}",
            clock=lambda: 1000.0,
            interval=0.02,
        )
        made.append(follower)
        return follower

    yield make
    for follower in made:
        follower.stop()


@pytest.fixture
def log(tmp_path):
    def append(*names, ending="\n", path=tmp_path / "log.jsonl"):
        with path.open("a") as file:
            file.write("".join(json.dumps({"id": name, "text": f"text {name}"}) + "\n" for name in names))
            if ending != "\n":
                file.write(ending)
        return path

    return append


def names(store):
    return sorted(sample.id for sample in store.window_samples(0))


def test_lines_are_taken_as_they_come_and_a_partial_line_waits(follow, log, store):
    follower = follow()
    assert follower.poll() == 0
    log("a", "b", ending='{"id": "c", "te')
    assert follower.poll() == 2
    assert follower.poll() == 0
    with log().open("a") as file:
        file.write('xt": "text c"}\n')
    assert follower.poll() == 1
    assert names(store) == ["a", "b", "c"]


def test_a_restart_goes_on_where_the_last_commit_stopped(follow, log, store):
    log("a", "b")
    assert follow().poll() == 2
    log("c")
    assert follow().poll() == 1
    assert follow().poll() == 0
    assert (names(store), store.windows("open")[0].received) == (["a", "b", "c"], 3)


def test_a_batch_that_was_not_committed_is_read_again(follow, log, store):
    class Refusing:
        get_meta = store.get_meta
        refuse = True

        def ingest(self, batch, *, meta=None):
            if self.refuse:
                raise StateError("state.file = x: cannot be written")
            store.ingest(batch, meta=meta)

    sink = Refusing()
    log("a", "b")
    follower = follow(sink)
    follower.start()
    for _ in range(100):
        if sink.refuse:
            sink.refuse = False
        if store.windows("open"):
            break
        follower._stopping.wait(0.02)
    follower.stop()
    assert names(store) == ["a", "b"]


@pytest.mark.parametrize("restarted", [False, True])
def test_rotation_loses_nothing_even_when_it_happens_between_two_runs(
    follow, log, store, tmp_path, restarted
):
    follower = follow()
    log("a", "b")
    assert follower.poll() == 2
    log("c")
    (tmp_path / "log.jsonl").rename(tmp_path / "log.jsonl.1")
    log("d", "e")
    if restarted:
        follower = follow()
    assert follower.poll() == 3
    log("f")
    assert follower.poll() == 1
    assert names(store) == list("abcdef")


@pytest.mark.parametrize("restarted", [False, True])
def test_a_file_cut_and_written_anew_is_read_from_its_beginning(follow, log, store, restarted):
    follower = follow()
    path = log("a", "b")
    assert follower.poll() == 2
    os.truncate(path, 0)
    assert follower.poll() == 0
    log("c")
    if restarted:
        follower = follow()
    assert follower.poll() == 1
    assert names(store) == ["a", "b", "c"]


def test_a_file_cut_and_grown_past_the_old_position_between_two_looks_is_noticed(follow, log, store):
    follower = follow()
    path = log("a")
    assert follower.poll() == 1
    os.truncate(path, 0)
    log("longer-name", "c")
    assert follower.poll() == 2
    assert names(store) == ["a", "c", "longer-name"]


def test_bad_lines_are_counted_and_an_endless_one_is_skipped_in_bounded_memory(follow, log, store):
    follower = follow(maximum_body=100)
    with log("a").open("a") as file:
        file.write("no json\n\n" + "x" * 1050 + "\n" + '{"text": ""}\n')
    log("b")
    assert follower.poll() == 2
    assert names(store) == ["a", "b"]
    assert follower._counters.dropped == {"malformed": 1, "too_large": 1, "empty": 1}
    assert follower._counters.received == {"jsonl": 5}
