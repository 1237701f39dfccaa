"""headwatch's own bodies: one sample object, or a list of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from monitor.ingest.formats.wire import Document, WireFormat

_KEYS = ("text", "input_ids", "image")


def _recognises(document: Any) -> bool:
    if isinstance(document, list):
        return True
    return isinstance(document, dict) and (any(key in document for key in _KEYS) or "prediction" in document)


def _samples(document: Any) -> Sequence[Any]:
    return document if isinstance(document, list) else [document]


def _answers(document: Any) -> Sequence[Document | None]:
    items = _samples(document)
    return [item.get("prediction") if isinstance(item, dict) else None for item in items]


OWN = WireFormat(example='{"text": "..."}', recognises=_recognises, samples=_samples, answers=_answers)
