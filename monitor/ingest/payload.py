"""A whole request body to samples: what was read, what was dropped and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from monitor.errors import PayloadError
from monitor.ingest.body import decode, parse, parse_documents, unpack
from monitor.ingest.formats.listing import recognise
from monitor.ingest.limits import PayloadLimits
from monitor.ingest.native import read_prediction, read_sample
from monitor.records import Sample, ServedAnswer

ANSWER_UNREADABLE = "answer_unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """What reading needs from outside: limits, the source of ids, the clock."""

    limits: PayloadLimits
    new_id: Callable[[], str]
    now: Callable[[], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One input that was no sample; ``position`` counts the body's inputs (or lines) from 0."""

    position: int
    error: PayloadError


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one body held."""

    items: tuple[Sample | ServedAnswer, ...] = ()
    faults: tuple[Fault, ...] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)


def read_samples_body(body: bytes, reader: Reader) -> Reading:
    """The samples of a POST body in any known format, or NDJSON; raises ``PayloadError`` for none."""
    documents: list[Any | PayloadError] = []
    for document in parse_documents(decode(unpack(body, reader.limits.maximum_body))):
        documents.extend([document] if isinstance(document, PayloadError) else _inputs(document))
    if not documents:
        raise PayloadError("body: holds no sample; send at least one", reason="empty")
    return _read(documents, reader)


def read_request(
    body: bytes, reader: Reader, *, identity: str | None, time: float | None, attributes: Mapping[str, str]
) -> Reading:
    """The samples of a logged inference request; the event's id, time and attributes are theirs."""
    document = parse(decode(unpack(body, reader.limits.maximum_body)))
    own = identity or _own_id(document) or reader.new_id()
    inputs = _inputs(document)
    named = [
        {**item, "id": member_id(own, position, len(inputs)), "time": time, "attributes": dict(attributes)}
        if isinstance(item, dict)
        else item
        for position, item in enumerate(inputs)
    ]
    return _read(named, reader)


def read_response(body: bytes, reader: Reader, *, identity: str | None, time: float | None) -> Reading:
    """The served predictions of a logged response, under the ids of its request's samples."""
    document = parse(decode(unpack(body, reader.limits.maximum_body)))
    own = identity or _own_id(document)
    if own is None:
        return Reading(dropped={ANSWER_UNREADABLE: 1})
    predictions = recognise(document).answers(document)
    moment = reader.now() if time is None else time
    answers = []
    for position, prediction in enumerate(predictions[: reader.limits.maximum_texts]):
        if prediction is not None:
            name = member_id(own, position, len(predictions))
            answers.append(ServedAnswer(id=name, time=moment, prediction=read_prediction(prediction)))
    missing = len(predictions) - len(answers) or (0 if predictions else 1)
    return Reading(items=tuple(answers), dropped={ANSWER_UNREADABLE: missing} if missing else {})


def member_id(identity: str, position: int, count: int) -> str:
    """The id of one input of a logged request: that of the request where it is the only one."""
    return identity if count == 1 else f"{identity}:{position}"


def _own_id(document: Any) -> str | None:
    found = document.get("id") if isinstance(document, dict) else None
    return found if isinstance(found, str) and found else None


def _inputs(document: Any) -> Sequence[Any | PayloadError]:
    try:
        return recognise(document).samples(document)
    except PayloadError as error:
        return [error]


def _read(documents: Sequence[Any | PayloadError], reader: Reader) -> Reading:
    if len(documents) > reader.limits.maximum_texts:
        error = PayloadError(
            f"body: holds {len(documents)} samples, the limit is {reader.limits.maximum_texts}; "
            "send fewer at once or raise ingest.maximum_texts",
            reason="too_many_texts",
        )
        return Reading(faults=(Fault(position=0, error=error),), dropped={error.reason: len(documents)})
    items: list[Sample | ServedAnswer] = []
    faults: list[Fault] = []
    for position, document in enumerate(documents):
        try:
            if isinstance(document, PayloadError):
                raise document
            items.append(read_sample(document, new_id=reader.new_id, now=reader.now, limits=reader.limits))
        except PayloadError as error:
            faults.append(Fault(position=position, error=error))
    dropped = Counter(fault.error.reason for fault in faults)
    return Reading(items=tuple(items), faults=tuple(faults), dropped=dict(dropped))
