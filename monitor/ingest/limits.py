"""What one payload may carry, and the reasons under which the rest is dropped and counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

DROP_REASONS: Mapping[str, str] = MappingProxyType(
    {
        "malformed": "no JSON, or JSON of the wrong shape",
        "not_utf8": "bytes that are no UTF-8, or text with lone surrogates",
        "empty": "an empty body or an empty text",
        "too_large": "a body over ingest.maximum_body, packed or unpacked",
        "text_too_long": "a text over ingest.maximum_text",
        "too_many_texts": "more texts in one body than ingest.maximum_texts",
        "unknown_format": "JSON that no known wire format recognises",
        "unsupported_event": "a CloudEvent that is neither a request nor a response",
        "answer_unreadable": "a served response in which no label was found (its sample stays)",
        "unauthorized": "a request without the token",
        "queue_full": "the queue was full (ingest.queue)",
        "unstorable": "the state file refused it, or could not be written before shutdown",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PayloadLimits:
    """Bounds on one body; ``maximum_body`` and ``maximum_text`` in bytes."""

    maximum_body: int = 4 * 2**20
    maximum_text: int = 256 * 2**10
    maximum_texts: int = 4096
