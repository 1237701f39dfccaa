"""POST /v1/samples over a real server: what is taken, what is refused and what is said of it."""

from __future__ import annotations

import gzip
import json
import threading
import time

import pytest

from monitor.errors import ConfigError, StateError
from monitor.ingest.http import build_ingest_app
from monitor.ingest.intake import Intake
from monitor.ingest.settings import IngestSettings
from monitor.records import Sample, ServedPrediction


def test_one_sample_arrives_with_all_its_fields(receiver):
    answer = receiver.client.post(
        "/v1/samples",
        json={
            "id": "a1",
            "text": "Grüße",
            "text_pair": "世界",
            "time": "2026-01-31T12:00:00+01:00",
            "revision": "7",
            "prediction": {"label": "positive", "probability": 0.98},
            "attributes": {"tenant": "x", "attempt": 2},
        },
    )
    assert (answer.status_code, answer.json()) == (200, {"accepted": 1, "dropped": {}, "errors": []})
    assert receiver.samples() == [
        Sample(
            id="a1",
            time=1769857200.0,
            text="Grüße",
            text_pair="世界",
            revision="7",
            served=ServedPrediction(label="positive", probability=0.98),
            attributes={"tenant": "x", "attempt": "2"},
        )
    ]
    assert receiver.intake.received == {"http": 1}


def test_missing_ids_and_times_are_filled_in(receiver):
    receiver.client.post("/v1/samples", json={"input_ids": [101, 7, 102]})
    assert receiver.samples() == [Sample(id="made-1", time=1000.0, input_ids=(101, 7, 102))]


@pytest.mark.parametrize(
    "body",
    [
        json.dumps([{"text": "one"}, {"text": "two"}]),
        '{"text": "one"}\n\n{"text": "two"}\n',
        '{"text": "one"}\r\n{"text": "two"}',
        "\ufeff" + '[{"text": "one"},\n {"text": "two"}]',
        json.dumps({"instances": ["one", "two"]}),
    ],
)
def test_lists_lines_and_inference_requests_arrive_alike(receiver, body):
    packed = gzip.compress(body.encode())
    assert receiver.client.post("/v1/samples", content=packed).json()["accepted"] == 2
    assert [sample.text for sample in receiver.samples()] == ["one", "two"]


def test_good_samples_beside_bad_ones_are_taken_and_the_bad_ones_named(receiver):
    lines = ['{"text": "fine"}', "no json", '{"text": 5}', '{"text": " "}', '{"text": "also fine"}']
    answer = receiver.client.post("/v1/samples", content="\n".join(lines))
    assert answer.status_code == 200
    assert answer.json() == {
        "accepted": 2,
        "dropped": {"malformed": 2, "empty": 1},
        "errors": [
            {
                "position": 1,
                "error": "line: is no JSON (Expecting value: line 1 column 1); send a JSON object",
            },
            {"position": 2, "error": "text: is a number; it must be a string"},
            {"position": 3, "error": "text: is empty; send a text with at least one character"},
        ],
    }
    assert receiver.intake.received == {"http": 5}
    assert receiver.intake.dropped == {"malformed": 2, "empty": 1}


KEYS = (
    'send {"text": "..."} or '
    '{"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["..."]}]}'
    ' or {"instances": ["..."]}'
)


@pytest.mark.parametrize(
    "body, status, reason, message",
    [
        (b"", 400, "empty", 'body: is empty; send a sample such as {"text": "..."}'),
        (b" \n", 400, "empty", 'body: is empty; send a sample such as {"text": "..."}'),
        (b"[]", 400, "empty", "body: holds no sample; send at least one"),
        (
            b"{",
            400,
            "malformed",
            (
                "body: is no JSON (Expecting property name enclosed in double quotes: line 1 column 2); "
                "send a JSON object"
            ),
        ),
        (b"[" * 100_000, 400, "malformed", "body: is JSON with too deep a nesting or too long a number"),
        (b"9" * 10_000, 400, "malformed", "body: is JSON with too deep a nesting or too long a number"),
        (b'{"text": "\xff"}', 400, "not_utf8", "body: byte 10 is no UTF-8; encode it as UTF-8"),
        (
            b'{"text": "\\ud800"}',
            400,
            "not_utf8",
            "text: holds a lone surrogate; escape characters beyond U+FFFF as a pair",
        ),
        (b'{"txt": "x"}', 400, "unknown_format", f"body: is in no known format; {KEYS}"),
        (b"5", 400, "unknown_format", f"body: is in no known format; {KEYS}"),
        (
            b"[5]",
            400,
            "malformed",
            'a sample is a JSON object such as {"text": "..."}; this is a number',
        ),
        (
            b'{"text": null, "id": "a"}',
            400,
            "malformed",
            "text: missing; give 'text' (and 'text_pair' for pairs) or 'input_ids'",
        ),
        (
            b'{"text": "x", "input_ids": [1]}',
            400,
            "malformed",
            "input_ids: given beside a text; give 'text' or 'input_ids', not both",
        ),
        (
            b'{"input_ids": [1, -1]}',
            400,
            "malformed",
            "input_ids: every token id must be a whole number from 0; send one flat list a sample",
        ),
        (b'{"input_ids": []}', 400, "empty", "input_ids: is empty; send at least one token id"),
        (b'{"input_ids": "1"}', 400, "malformed", "input_ids: is a string; it must be a list of token ids"),
        (
            b'{"text": "x", "time": 1769857200000}',
            400,
            "malformed",
            "time = 1769857200000: must be in seconds since 1970; divide milliseconds by 1000",
        ),
        (
            b'{"text": "x", "time": "yesterday"}',
            400,
            "malformed",
            "time = yesterday: is no RFC 3339 time; write 2026-01-31T12:00:00Z, or seconds",
        ),
        (
            b'{"text": "x", "time": NaN}',
            400,
            "malformed",
            "time: is a number; it must be in seconds or an RFC 3339 string",
        ),
        (
            b'{"text": "x", "prediction": "positive"}',
            400,
            "malformed",
            'prediction: must be an object such as {"label": "positive", "probability": 0.98}',
        ),
        (
            b'{"text": "x", "prediction": {"label": "a", "probability": 98}}',
            400,
            "malformed",
            "prediction.probability: must be a number from 0 to 1; leave it out if unknown",
        ),
        (
            b'{"text": "x", "id": ""}',
            400,
            "malformed",
            "id: must be a string of 1 to 256 characters; leave it out to get one",
        ),
        (
            b'{"text": "x", "attributes": {"a": []}}',
            400,
            "malformed",
            "attributes.a: must be a string of at most 1024 characters",
        ),
        (
            b'{"text": "' + b"x" * 262_145 + b'"}',
            413,
            "text_too_long",
            "text: has 262145 bytes, the limit is 262144; shorten it or raise ingest.maximum_text",
        ),
        (
            b'{"text": "' + b"x" * 4_194_304 + b'"}',
            413,
            "too_large",
            "body: is larger than 4194304 bytes; send fewer samples at once or raise ingest.maximum_body",
        ),
        (
            gzip.compress(b" " * 4_194_305, mtime=0),
            413,
            "too_large",
            "body: is larger than 4194304 bytes; send fewer samples at once or raise ingest.maximum_body",
        ),
        (b"\x1f\x8bno", 400, "malformed", "body: starts like gzip but is none; send it unpacked"),
        (
            gzip.compress(b'{"text": "x"}' * 99, mtime=0)[:20],
            400,
            "malformed",
            "body: ends inside its gzip stream; send all of it",
        ),
    ],
)
def test_a_body_that_is_no_sample_is_refused_with_the_thing_to_change(
    receiver, body, status, reason, message
):
    answer = receiver.client.post("/v1/samples", content=body)
    assert answer.status_code == status
    content = answer.json()
    assert (content["accepted"], content["dropped"]) == (0, {reason: 1})
    assert [error["error"] for error in content["errors"]] == [message]
    assert receiver.intake.dropped == {reason: 1}
    assert receiver.client.post("/v1/samples", json={"text": "still there"}).status_code == 200


def test_too_many_samples_in_one_body_are_refused_and_all_counted(start_receiver):
    receiver = start_receiver(maximum_texts=3)
    answer = receiver.client.post("/v1/samples", json=[{"text": "x"}] * 4)
    assert answer.status_code == 413
    assert answer.json() == {
        "accepted": 0,
        "dropped": {"too_many_texts": 4},
        "errors": [
            {
                "position": 0,
                "error": "body: holds 4 samples, the limit is 3; "
                "send fewer at once or raise ingest.maximum_texts",
            }
        ],
    }


def test_only_the_first_errors_are_listed_and_all_are_counted(receiver):
    content = receiver.client.post("/v1/samples", json=[{"text": 1}] * 50).json()
    assert (len(content["errors"]), content["dropped"]) == (10, {"malformed": 50})


def test_a_durable_answer_means_that_the_sample_is_on_disk(receiver):
    for number in range(5):
        answer = receiver.client.post("/v1/samples?durable=true", json={"id": str(number), "text": "x"})
        assert answer.status_code == 200
        assert len(receiver.store.window_samples(0)) == number + 1
    answer = receiver.client.post("/v1/samples?durable=maybe", json={"text": "x"})
    assert (answer.status_code, answer.json()) == (400, {"error": "durable: must be true or false"})


class Stuck:
    """A disk that takes its time, or refuses, until it is released."""

    def __init__(self, store, error=None):
        self.store, self.error, self.release = store, error, threading.Event()

    def ingest(self, batch, *, meta=None):
        if self.error is not None and not self.release.is_set():
            raise self.error
        self.release.wait(10)
        self.store.ingest(batch, meta=meta)


def test_overload_is_answered_quickly_and_counted_and_nothing_accepted_is_lost(start_receiver, store):
    stuck = Stuck(store)
    receiver = start_receiver(sink=stuck, queue=20)
    receiver.client.post("/v1/samples", json=[{"id": f"first{i}", "text": "x"} for i in range(5)])
    while receiver.intake.queue_length:
        time.sleep(0.01)
    began = time.monotonic()
    answer = receiver.client.post("/v1/samples", json=[{"id": str(i), "text": "x"} for i in range(50)])
    assert (answer.status_code, answer.json()) == (
        200,
        {"accepted": 20, "dropped": {"queue_full": 30}, "errors": []},
    )
    durable = receiver.client.post("/v1/samples?durable=true", json={"text": "x"})
    assert (durable.status_code, durable.json(), durable.headers["retry-after"]) == (
        503,
        {"error": "queue: is full; send the samples again later"},
        "1",
    )
    event = receiver.client.post(
        "/", json={"instances": ["x"]}, headers={"ce-type": "org.kubeflow.serving.inference.request"}
    )
    assert (event.status_code, event.json()["dropped"]) == (200, {"queue_full": 1})
    assert time.monotonic() - began < 1
    assert receiver.intake.received == {"http": 56, "cloudevents": 1}
    assert receiver.intake.dropped == {"queue_full": 32}
    stuck.release.set()
    assert len(receiver.samples()) == 25


def test_text_that_waits_is_bounded_in_bytes_too(start_receiver, store):
    stuck = Stuck(store)
    receiver = start_receiver(sink=stuck, queue_bytes=1000)
    answers = [
        receiver.client.post("/v1/samples", json={"text": "x" * 600}).json()["dropped"] for _ in range(6)
    ]
    assert answers[0] == {}
    assert {"queue_full": 1} in answers
    stuck.release.set()


def test_a_disk_that_refuses_is_told_to_durable_senders_and_tried_again(start_receiver, store):
    stuck = Stuck(store, error=StateError("state.file = x: cannot be written"))
    receiver = start_receiver(sink=stuck)
    answer = receiver.client.post("/v1/samples?durable=true", json={"id": "a", "text": "x"})
    assert (answer.status_code, answer.json()) == (
        503,
        {"error": "durable: the disk refused; send the samples again under the same ids"},
    )
    stuck.release.set()
    answer = receiver.client.post("/v1/samples?durable=true", json={"id": "a", "text": "x"})
    assert answer.status_code == 200
    assert [sample.id for sample in receiver.samples()] == ["a"]
    assert store.windows("open")[0].received == 1


def test_one_odd_sample_does_not_take_its_neighbours_with_it(store):
    intake = Intake(store)
    odd = Sample(id="odd", time=0.0, text="x", attributes={"a": object()})  # type: ignore[dict-item]
    intake.submit(
        [Sample(id="a", time=0.0, text="x"), odd, Sample(id="b", time=0.0, text="x")], source="http"
    )
    intake.stop()
    assert [sample.id for sample in store.window_samples(0)] == ["a", "b"]
    assert intake.dropped == {"unstorable": 1}
    assert intake.submit([odd], source="http").accepted == 0


def test_what_was_received_is_on_disk_within_a_second(receiver):
    receiver.client.post("/v1/samples", json={"text": "x"})
    time.sleep(0.9)
    assert len(receiver.store.window_samples(0)) == 1


def test_without_the_token_every_door_gives_the_same_constant_answer(start_receiver, tmp_path):
    (tmp_path / "token").write_text("s3cret\n")
    receiver = start_receiver(token_file=tmp_path / "token", listen="0.0.0.0:0")
    bodies = set()
    for header in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "s3cret"}):
        for path in ("/v1/samples", "/", "/v1/cloudevents"):
            answer = receiver.client.post(path, json={"text": "x"}, headers=header)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
            bodies.add(answer.text)
    assert bodies == {
        '{"error":"authorization: a valid bearer token is required; send \'Authorization: Bearer <token>\'"}'
    }
    assert receiver.intake.dropped == {"unauthorized": 9}
    good = {"Authorization": "Bearer s3cret"}
    assert receiver.client.post("/v1/samples", json={"text": "x"}, headers=good).status_code == 200
    assert receiver.client.get("/-/healthy").text == "ok\n"


@pytest.mark.parametrize(
    "settings, environment, message",
    [
        (
            {"listen": "0.0.0.0:8080"},
            {},
            (
                "ingest.listen = 0.0.0.0:8080: other machines could send samples without a token; "
                "set ingest.token_file, listen on 127.0.0.1, or set ingest.allow_public: true"
            ),
        ),
        (
            {"token_env": "HEADWATCH_TOKEN"},
            {"HEADWATCH_TOKEN": " "},
            "ingest.token_env = HEADWATCH_TOKEN: holds no token; put one there, or remove the setting",
        ),
        (
            {"token_file": "/nowhere/token"},
            {},
            (
                "ingest.token_file = /nowhere/token: cannot be read (No such file or directory); "
                "write the token into that file"
            ),
        ),
        (
            {"token_file": "/nowhere/token", "token_env": "X"},
            {"X": "s3cret"},
            "ingest.token_env: given beside ingest.token_file; keep one of them",
        ),
    ],
)
def test_a_receiver_that_would_be_open_or_has_no_token_does_not_start(store, settings, environment, message):
    intake = Intake(store)
    with pytest.raises(ConfigError) as caught:
        build_ingest_app(
            intake,
            IngestSettings(**settings),
            id_factory=lambda: "x",
            clock=time.time,
            environment=environment,
        )
    intake.stop()
    assert str(caught.value) == message


@pytest.mark.parametrize("listen", ["127.0.0.1:1", "[::1]:1", "localhost:1", "127.1.2.3:1"])
def test_loopback_needs_no_token(store, listen):
    intake = Intake(store)
    build_ingest_app(
        intake, IngestSettings(listen=listen), id_factory=lambda: "x", clock=time.time, environment={}
    )
    intake.stop()
