"""KServe V1 (and Vertex AI): ``{"instances": [...]}`` answered by ``{"predictions": [...]}``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from monitor.errors import PayloadError
from monitor.ingest.formats.labels import read_answer
from monitor.ingest.formats.wire import Document, WireFormat

TEXT_KEYS = ("text", "sequence", "inputs", "input", "query", "prompt")
PAIR_KEYS = ("text_pair", "sequence_pair")


def _recognises(document: Any) -> bool:
    return isinstance(document, dict) and ("instances" in document or "predictions" in document)


def _samples(document: Any) -> Sequence[Any]:
    return [_instance(item) for item in _listed(document, "instances")]


def _answers(document: Any) -> Sequence[Document | None]:
    return [read_answer(item) for item in _listed(document, "predictions")]


def _listed(document: Any, key: str) -> list[Any]:
    items = document.get(key)
    if not isinstance(items, list):
        raise PayloadError(f"{key}: must be a list", reason="malformed")
    return items


def _instance(value: Any) -> Document:
    if isinstance(value, str):
        return {"text": value}
    if isinstance(value, list) and value and all(type(item) is int for item in value):
        return {"input_ids": value}
    if isinstance(value, dict):
        if isinstance(value.get("input_ids"), list):
            return {"input_ids": strip_padding(value["input_ids"], value.get("attention_mask"))}
        for key in TEXT_KEYS:
            if value.get(key) is not None:
                pair = next((value[name] for name in PAIR_KEYS if value.get(name) is not None), None)
                return {"text": value[key], "text_pair": pair}
    # The native reader says what a sample needs.
    return {}


def strip_padding(ids: list[Any], mask: Any) -> list[Any]:
    """The token ids where the mask is not 0, on whichever side the padding is."""
    if mask is None:
        return ids
    if not isinstance(mask, list) or len(mask) != len(ids):
        raise PayloadError("attention_mask: must be as long as input_ids", reason="malformed")
    return [item for item, kept in zip(ids, mask, strict=True) if kept]


KSERVE_V1 = WireFormat(
    example='{"instances": ["..."]}', recognises=_recognises, samples=_samples, answers=_answers
)
