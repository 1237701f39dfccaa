"""Body bytes to JSON documents: gzip by its magic under a cap, UTF-8, JSON or one JSON a line."""

from __future__ import annotations

import json
import zlib
from typing import Any

from monitor.errors import PayloadError

_GZIP = b"\x1f\x8b"
_GZIP_WINDOW = 31


def too_large(limit: int) -> PayloadError:
    """The refusal of a body over the limit, packed or unpacked."""
    return PayloadError(
        f"body: is larger than {limit} bytes; send fewer samples at once or raise ingest.maximum_body",
        reason="too_large",
    )


def unpack(body: bytes, limit: int) -> bytes:
    """The body, inflated where it starts like gzip, whatever the headers say; at most ``limit``."""
    if not body.startswith(_GZIP):
        if len(body) > limit:
            raise too_large(limit)
        return body
    parts: list[bytes] = []
    room = limit
    try:
        while body:
            member = zlib.decompressobj(wbits=_GZIP_WINDOW)
            part = member.decompress(body, room + 1)
            if len(part) > room:
                raise too_large(limit)
            if not member.eof:
                raise PayloadError("body: ends inside its gzip stream; send all of it", reason="malformed")
            parts.append(part)
            room -= len(part)
            body = member.unused_data
    except zlib.error:
        raise PayloadError(
            "body: starts like gzip but is none; send it unpacked", reason="malformed"
        ) from None
    return b"".join(parts)


def decode(body: bytes) -> str:
    """The body as text; raises ``PayloadError`` for an empty one and for what is no UTF-8."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PayloadError(
            f"body: byte {error.start} is no UTF-8; encode it as UTF-8", reason="not_utf8"
        ) from None
    if not text.strip():
        raise PayloadError('body: is empty; send a sample such as {"text": "..."}', reason="empty")
    return text


def parse(text: str, *, key: str = "body") -> Any:
    """The JSON document of a text."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise PayloadError(
            f"{key}: is no JSON ({error.msg}: line {error.lineno} column {error.colno}); send a JSON object",
            reason="malformed",
        ) from None
    except (ValueError, RecursionError):
        raise PayloadError(
            f"{key}: is JSON with too deep a nesting or too long a number", reason="malformed"
        ) from None


def parse_documents(text: str) -> list[Any | PayloadError]:
    """One JSON document, or for NDJSON one per line that is not blank; bad lines as their errors.

    Raises the error of the whole where no line is JSON on its own either.
    """
    try:
        return [parse(text)]
    except PayloadError as whole:
        lines = [line for line in text.split("\n") if line.strip()]
        if len(lines) < 2:
            raise
        documents = [_parse_line(line) for line in lines]
        if all(isinstance(document, PayloadError) for document in documents):
            raise whole from None
        return documents


def _parse_line(line: str) -> Any | PayloadError:
    try:
        return parse(line, key="line")
    except PayloadError as error:
        return error
