"""CloudEvents in binary mode, as the KServe and Seldon loggers send them: headers and a raw body."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

from monitor.errors import PayloadError
from monitor.ingest.native import LONGEST_ID, read_time
from monitor.ingest.payload import ANSWER_UNREADABLE, Reader, Reading, read_request, read_response

# Header -> the attribute under which it is kept with the sample.
ATTRIBUTES = {
    "ce-inferenceservicename": "service",
    "ce-namespace": "namespace",
    "ce-component": "component",
    "ce-endpoint": "endpoint",
}

# Of one event and of a batch, in JSON and in other encodings.
STRUCTURED = "application/cloudevents"


def read_event(headers: Mapping[str, str], body: bytes, reader: Reader) -> Reading:
    """The samples of a request event, or the served predictions of a response event.

    Both carry the same ``ce-id``. Raises ``PayloadError``; no path or model name travels, so the
    body alone decides the format.
    """
    content = headers.get("content-type", "").partition(";")[0].strip().lower()
    if content.startswith(STRUCTURED):
        raise PayloadError(
            f"content-type = {content[:80]}: structured mode is not read; "
            "send the event in binary mode (attributes as ce- headers, the payload as the body)",
            reason="unsupported_event",
        )
    kind = header_value(headers, "ce-type")
    identity = (header_value(headers, "ce-id") or header_value(headers, "ce-requestid"))[:LONGEST_ID] or None
    time = _event_time(header_value(headers, "ce-time"))
    if kind.endswith(".request"):
        found = {name: header_value(headers, header)[:LONGEST_ID] for header, name in ATTRIBUTES.items()}
        attributes = {name: value for name, value in found.items() if value}
        return read_request(body, reader, identity=identity, time=time, attributes=attributes)
    if kind.endswith(".response"):
        try:
            return read_response(body, reader, identity=identity, time=time)
        except PayloadError as error:
            raise PayloadError(str(error), reason=ANSWER_UNREADABLE) from None
    raise PayloadError(
        f"ce-type = {kind[:80] or 'missing'}: is neither a request nor a response; "
        "send binary-mode events of an inference logger",
        reason="unsupported_event",
    )


def header_value(headers: Mapping[str, str], name: str) -> str:
    """A header without the quotes and percent escapes that some senders put around it; '' if absent."""
    value = headers.get(name, "").strip()
    if len(value) >= 2 and value[0] == value[-1] == '"':
        value = value[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    return unquote(value, errors="replace")


def _event_time(value: str) -> float | None:
    try:
        return read_time(value) if value else None
    except PayloadError:
        # A clock that cannot be read is no reason to lose the sample.
        return None
