"""Whatever bytes come, reading them gives samples or a PayloadError with a known reason."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import monitor.ingest
from monitor.errors import PayloadError
from monitor.ingest.cloudevents import read_event
from monitor.ingest.formats.listing import FORMATS
from monitor.ingest.limits import DROP_REASONS, PayloadLimits
from monitor.ingest.payload import Reader, read_samples_body
from monitor.ingest.settings import IngestSettings
from monitor.records import Sample

READER = Reader(limits=PayloadLimits(), new_id=lambda: "made", now=lambda: 1.0)
keys = st.sampled_from(
    [
        *("id", "text", "text_pair", "input_ids", "attention_mask", "time", "revision", "attributes"),
        *("prediction", "label", "probability", "score", "instances", "predictions"),
        *("inputs", "outputs", "name", "shape", "datatype", "data"),
    ]
)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.just(10**400)
    | st.floats()
    | st.sampled_from(["BYTES", "INT64", "FP32", "input_ids", "text", "", "\ud800", "2026-01-31T12:00:00Z"])
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)
tensors = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["input_ids", "attention_mask", "text", "text_pair", "label"]),
        "datatype": st.sampled_from(["BYTES", "INT64", "FP32"]),
        "shape": st.lists(st.integers(-1, 3), max_size=3),
        "data": values,
    }
)
documents = (
    values
    | st.dictionaries(st.sampled_from(["instances", "predictions"]), st.lists(values, max_size=3), min_size=1)
    | st.dictionaries(st.sampled_from(["inputs", "outputs"]), st.lists(tensors, max_size=3), min_size=1)
)


def check(read):
    try:
        reading = read()
    except PayloadError as error:
        assert error.reason in DROP_REASONS
        return
    assert set(reading.dropped) <= set(DROP_REASONS)
    for item in reading.items:
        item.id.encode()
        assert not isinstance(item, Sample) or item.text is None or item.text.strip()


@settings(max_examples=300, deadline=None)
@given(documents)
def test_any_json_is_read_or_refused_but_never_breaks_the_reader(document):
    body = json.dumps(document).encode()
    check(lambda: read_samples_body(body, READER))
    for kind in ("x.request", "x.response"):
        check(lambda kind=kind: read_event({"ce-type": kind, "ce-id": "e"}, body, READER))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.sampled_from([b"", b"\x1f\x8b", b'{"text": "']))
def test_any_bytes_are_read_or_refused_but_never_break_the_reader(body, start):
    check(lambda: read_samples_body(start + body, READER))
    check(lambda: read_event({"ce-type": "x.request"}, start + body, READER))


def test_every_reason_that_is_counted_is_listed_and_explained():
    folder = Path(next(iter(monitor.ingest.__path__)))
    source = "".join(path.read_text() for path in folder.rglob("*.py"))
    pattern = r'reason="(\w+)"|\.drop\("(\w+)"|"dropped": \{"(\w+)"|^ANSWER_UNREADABLE = "(\w+)"'
    used = set(re.findall(pattern, source, re.MULTILINE))
    names = {name for match in used for name in match if name}
    assert names | {"unauthorized"} == set(DROP_REASONS)


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_takes_no_text_from_an_answer_and_no_answer_from_a_text(name):
    document = json.loads(FORMATS[name].example)
    with_answers = []
    try:
        with_answers = [answer for answer in FORMATS[name].answers(document) if answer is not None]
    except PayloadError as error:
        assert error.reason == "malformed"
    assert with_answers == []


@pytest.mark.parametrize("listen", ["8080", "host", "127.0.0.1:70000", ":80", "127.0.0.1:http"])
def test_an_address_that_is_none_is_refused(listen):
    with pytest.raises(ValueError) as caught:
        IngestSettings(listen=listen)
    assert caught.value.errors()[0]["msg"] == (  # type: ignore[attr-defined]
        "Value error, must be host:port; write it as 127.0.0.1:8080"
    )
