"""CloudEvents as inference loggers send them, and the bodies of KServe V1 and Open Inference v2."""

from __future__ import annotations

import gzip
import json

import pytest

from monitor.errors import PayloadError
from monitor.ingest.formats.labels import read_answer
from monitor.ingest.formats.listing import FORMATS, recognise
from monitor.records import Sample, ServedPrediction

REQUEST = "org.kubeflow.serving.inference.request"
RESPONSE = "org.kubeflow.serving.inference.response"


def send(receiver, body, kind=REQUEST, path="/", **headers):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {"ce-specversion": "1.0", "ce-type": kind, "ce-id": "e1", "content-type": "application/json"}
    named |= {f"ce-{name}": value for name, value in headers.items()}
    answer = receiver.client.post(path, content=content, headers=named)
    assert answer.status_code == 200
    return answer.json()


def test_a_logged_request_and_its_response_become_one_sample_whatever_the_quotes(receiver):
    headers = {
        "id": '"e1"',
        "time": '"2026-01-31T12:00:00.123456789Z"',
        "inferenceservicename": '"sentiment"',
        "namespace": "prod",
        "endpoint": "canary%20one",
    }
    body = {"instances": ["a fine film"]}
    assert send(receiver, body, f'"{REQUEST}"', **headers)["accepted"] == 1
    send(receiver, {"predictions": [{"label": "positive", "score": 0.75}]}, RESPONSE, id="e1")
    assert receiver.samples() == [
        Sample(
            id="e1",
            time=1769860800.123456,
            text="a fine film",
            served=ServedPrediction(label="positive", probability=0.75),
            attributes={"service": "sentiment", "namespace": "prod", "endpoint": "canary one"},
        )
    ]
    assert receiver.intake.received == {"cloudevents": 1}


def test_several_instances_pair_with_their_predictions_by_position(receiver):
    send(receiver, {"predictions": [[0.25, 0.75], 0, [2.5, -1.0]]}, RESPONSE, path="/v1/cloudevents")
    send(receiver, {"instances": ["one", {"text": "two", "text_pair": "2"}, [5, 6]]})
    assert [(sample.id, sample.text, sample.input_ids, sample.served) for sample in receiver.samples()] == [
        ("e1:0", "one", None, ServedPrediction(label="1", probability=0.75)),
        ("e1:1", "two", None, ServedPrediction(label="0")),
        ("e1:2", None, (5, 6), ServedPrediction(label="0")),
    ]


def test_gzip_without_its_header_is_recognised(receiver):
    assert send(receiver, gzip.compress(b'{"instances": ["x"]}'))["accepted"] == 1


def test_tokenised_input_loses_its_padding_on_either_side(receiver):
    tensor = {"shape": [2, 4], "datatype": "INT64"}
    body = {
        "inputs": [
            {"name": "input_ids", **tensor, "data": [0, 0, 101, 102, 101, 7, 102, 0]},
            {"name": "attention_mask", **tensor, "data": [[0, 0, 1, 1], [1, 1, 1, 0]]},
            {"name": "token_type_ids", **tensor, "data": [0] * 8},
        ]
    }
    assert send(receiver, body)["accepted"] == 2
    assert [sample.input_ids for sample in receiver.samples()] == [(101, 102), (101, 7, 102)]


@pytest.mark.parametrize("data", [["one", "two"], [["one"], ["two"]]])
def test_text_tensors_flat_or_nested_with_their_pairs(receiver, data):
    body = {
        "inputs": [
            {"name": "text_pair", "shape": [2], "datatype": "BYTES", "data": ["1", "2"]},
            {"name": "question", "shape": [2, 1], "datatype": "BYTES", "data": data},
        ]
    }
    send(receiver, body)
    assert [(sample.text, sample.text_pair) for sample in receiver.samples()] == [("one", "1"), ("two", "2")]


@pytest.mark.parametrize(
    "outputs, expected",
    [
        (
            [
                {"name": "label", "shape": [2], "datatype": "BYTES", "data": ["a", "b"]},
                {"name": "score", "shape": [2, 1], "datatype": "FP32", "data": [0.5, 0.75]},
            ],
            [{"label": "a", "probability": 0.5}, {"label": "b", "probability": 0.75}],
        ),
        (
            [{"name": "class", "shape": [2], "datatype": "INT64", "data": [1, 0]}],
            [{"label": "1"}, {"label": "0"}],
        ),
        (
            [{"name": "logits", "shape": [1, 2], "datatype": "FP32", "data": [[-1.5, 3.0]]}],
            [{"label": "1"}],
        ),
        ([{"name": "score", "shape": [1], "datatype": "FP32", "data": [0.5]}], [None]),
    ],
)
def test_open_inference_outputs_give_labels(outputs, expected):
    document = {"model_name": "m", "outputs": outputs}
    assert list(recognise(document).answers(document)) == expected


@pytest.mark.parametrize(
    "value, expected",
    [
        ("positive", {"label": "positive"}),
        (3, {"label": "3"}),
        ({"label": 1, "confidence": 0.5}, {"label": "1", "probability": 0.5}),
        ({"label": "a", "score": 7}, {"label": "a"}),
        (
            [{"label": "a", "score": 0.25}, {"label": "b", "score": 0.75}],
            {"label": "b", "probability": 0.75},
        ),
        ({"a": 0.25, "b": 0.75}, {"label": "b", "probability": 0.75}),
        ([[0.25, 0.75]], {"label": "1", "probability": 0.75}),
        ([3.0, 1.0], {"label": "0"}),
        (0.5, None),
        (True, None),
        (None, None),
        ([], None),
        ({}, None),
        ([[1], [2]], None),
    ],
)
def test_a_label_is_found_in_every_known_shape_of_answer(value, expected):
    assert read_answer(value) == expected


@pytest.mark.parametrize(
    "body, kind, reason, message",
    [
        (b"\x00\x01", REQUEST, "malformed", None),
        (b"", REQUEST, "empty", 'body: is empty; send a sample such as {"text": "..."}'),
        (b"\xff\xfe", REQUEST, "not_utf8", "body: byte 0 is no UTF-8; encode it as UTF-8"),
        (
            b'{"instances": ["x"]}',
            "io.example.other",
            "unsupported_event",
            (
                "ce-type = io.example.other: is neither a request nor a response; "
                "send binary-mode events of an inference logger"
            ),
        ),
        (
            b'{"instances": ["x"]}',
            "",
            "unsupported_event",
            (
                "ce-type = missing: is neither a request nor a response; "
                "send binary-mode events of an inference logger"
            ),
        ),
        (b'{"instances": "x"}', REQUEST, "malformed", "instances: must be a list"),
        (
            b'{"instances": [{"image": 1}]}',
            REQUEST,
            "malformed",
            "text: missing; give 'text' (and 'text_pair' for pairs) or 'input_ids'",
        ),
        (
            b'{"inputs": [{"name": "a", "shape": [1], "datatype": "FP32", "data": [1.5]}]}',
            REQUEST,
            "malformed",
            "inputs: hold neither a BYTES tensor nor 'input_ids'; name the text tensor's datatype BYTES",
        ),
        (
            b'{"inputs": [{"name": "a", "shape": [2], "datatype": "BYTES", "data": ["x"]}]}',
            REQUEST,
            "malformed",
            "a.shape = [2]: holds 2 values, data has 1",
        ),
        (
            b'{"inputs": [{"name": "a", "shape": [1], "datatype": "BYTES"}]}',
            REQUEST,
            "malformed",
            "a.data: must be a list; binary tensors are not read",
        ),
        (
            b'{"inputs": [{"name": "a", "shape": [1, 2], "datatype": "BYTES", "data": ["x", "y"]}]}',
            REQUEST,
            "malformed",
            "inputs: a text tensor must have the shape [batch] or [batch, 1]",
        ),
        (
            b'{"instances": [{"input_ids": [1, 2], "attention_mask": [1]}]}',
            REQUEST,
            "malformed",
            "attention_mask: must be as long as input_ids",
        ),
    ],
)
def test_an_event_that_cannot_be_read_is_answered_200_and_counted(receiver, body, kind, reason, message):
    content = send(receiver, body, kind)
    assert (content["accepted"], content["dropped"]) == (0, {reason: 1})
    if message is not None:
        assert [error["error"] for error in content["errors"]] == [message]
    assert receiver.intake.dropped == {reason: 1}


@pytest.mark.parametrize("kind", ["application/cloudevents+json", "application/cloudevents-batch+json"])
def test_an_event_in_structured_mode_is_told_to_come_in_binary_mode(receiver, kind):
    event = {"specversion": "1.0", "type": REQUEST, "id": "e1", "data": {"instances": ["x"]}}
    answer = receiver.client.post(
        "/", content=json.dumps(event), headers={"content-type": f"{kind}; charset=utf-8"}
    )
    assert (answer.status_code, answer.json()) == (
        200,
        {
            "accepted": 0,
            "dropped": {"unsupported_event": 1},
            "errors": [
                {
                    "error": f"content-type = {kind}: structured mode is not read; send the event in binary "
                    "mode (attributes as ce- headers, the payload as the body)"
                }
            ],
        },
    )


def test_an_oversized_event_is_answered_200_and_counted(start_receiver):
    receiver = start_receiver(maximum_body=1000)
    for body in (b" " * 1001, gzip.compress(b" " * 100_000), b" " * 100_000):
        assert send(receiver, body)["dropped"] == {"too_large": 1}
    assert receiver.intake.dropped == {"too_large": 3}


def test_a_response_without_a_label_is_counted_and_its_sample_stays(receiver):
    send(receiver, {"instances": ["x"]})
    assert send(receiver, {"predictions": [0.5]}, RESPONSE)["dropped"] == {"answer_unreadable": 1}
    assert [sample.served for sample in receiver.samples()] == [None]
    assert receiver.intake.received == {"cloudevents": 1}


def test_a_seldon_event_and_one_without_an_id_are_taken(receiver):
    headers = {
        "ce-specversion": "0.3",
        "ce-requestid": "s1",
        "ce-type": "io.seldon.serving.inference.request",
    }
    receiver.client.post("/", json={"instances": ["x"]}, headers=headers)
    del headers["ce-requestid"]
    receiver.client.post("/", json={"instances": ["y"]}, headers=headers)
    assert sorted(sample.id for sample in receiver.samples()) == ["made-1", "s1"]


@pytest.mark.parametrize("name", FORMATS)
def test_every_listed_format_recognises_its_own_example_and_no_other(name):
    document = json.loads(FORMATS[name].example)
    assert [other for other in FORMATS if FORMATS[other].recognises(document)] == [name]
    assert len(FORMATS[name].samples(document)) == 1


@pytest.mark.parametrize("document", [None, 5, "text", {}, {"inputs": "text"}, {"inputs": []}])
def test_what_no_format_knows_is_said_to_be_unknown(document):
    with pytest.raises(PayloadError) as caught:
        recognise(document)
    assert caught.value.reason == "unknown_format"
