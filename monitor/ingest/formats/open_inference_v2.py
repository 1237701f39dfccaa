"""Open Inference Protocol v2 in JSON (KServe, Triton, MLServer): named tensors in and out.

Text arrives as BYTES (a second tensor called ``text_pair`` makes pairs), tokenised input as
``input_ids`` with its ``attention_mask``; data flat or nested, the first axis is the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from monitor.errors import PayloadError
from monitor.ingest.formats.kserve_v1 import strip_padding
from monitor.ingest.formats.labels import read_answer
from monitor.ingest.formats.wire import Document, WireFormat
from monitor.ingest.native import is_probability

MOST_AXES = 8
PAIR_NAMES = ("text_pair", "sequence_pair")
_REALS = ("FP16", "FP32", "FP64", "BF16")


def _recognises(document: Any) -> bool:
    if not isinstance(document, dict):
        return False
    return any(_are_tensors(document.get(side)) for side in ("inputs", "outputs"))


def _are_tensors(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(item, dict) and "datatype" in item and "name" in item for item in value)
    )


def _samples(document: Any) -> Sequence[Any]:
    tensors = _by_name(document, "inputs")
    if "input_ids" in tensors:
        return _tokenised(tensors)
    texts = [name for name, tensor in tensors.items() if tensor["datatype"] == "BYTES"]
    first = [name for name in texts if name not in PAIR_NAMES]
    if not first:
        raise PayloadError(
            "inputs: hold neither a BYTES tensor nor 'input_ids'; name the text tensor's datatype BYTES",
            reason="malformed",
        )
    rows = [_only(row) for row in _rows(tensors[first[0]])]
    pairs: Sequence[Any] = [None] * len(rows)
    for name in texts:
        if name in PAIR_NAMES:
            pairs = [_only(row) for row in _rows(tensors[name])]
    if len(pairs) != len(rows):
        raise PayloadError("inputs: 'text_pair' must have as many rows as the text", reason="malformed")
    return [{"text": text, "text_pair": pair} for text, pair in zip(rows, pairs, strict=True)]


def _tokenised(tensors: dict[str, Document]) -> list[Document]:
    ids = _rows(tensors["input_ids"])
    masks: Sequence[Any] = [None] * len(ids)
    if "attention_mask" in tensors:
        masks = _rows(tensors["attention_mask"])
    if len(masks) != len(ids):
        raise PayloadError("attention_mask: must have as many rows as input_ids", reason="malformed")
    return [{"input_ids": strip_padding(row, mask)} for row, mask in zip(ids, masks, strict=True)]


def _answers(document: Any) -> Sequence[Document | None]:
    tensors = list(_by_name(document, "outputs").values())
    labels = [tensor for tensor in tensors if tensor["datatype"] not in (*_REALS, "BOOL")]
    scores = [tensor for tensor in tensors if tensor["datatype"] in _REALS]
    if not labels:
        return [read_answer(row) if len(row) > 1 else None for row in _rows(scores[0])] if scores else []
    answers = [read_answer(_only(row)) for row in _rows(labels[0])]
    rows = _rows(scores[0]) if scores else []
    if len(rows) == len(answers):
        for answer, row in zip(answers, rows, strict=True):
            if answer is not None and len(row) == 1 and is_probability(row[0]):
                answer["probability"] = row[0]
    return answers


def _by_name(document: Any, side: str) -> dict[str, Document]:
    tensors = document.get(side)
    if not _are_tensors(tensors):
        raise PayloadError(f"{side}: must be a list of tensors with name and datatype", reason="malformed")
    return {str(tensor["name"]): tensor for tensor in tensors}


def _rows(tensor: Document) -> list[list[Any]]:
    """The data as one flat list a row of the batch."""
    shape, data, name = tensor.get("shape"), tensor.get("data"), tensor["name"]
    if not isinstance(data, list):
        raise PayloadError(f"{name}.data: must be a list; binary tensors are not read", reason="malformed")
    sizes = shape if isinstance(shape, list) else []
    if not 0 < len(sizes) <= MOST_AXES or not all(_is_size(size) for size in sizes):
        raise PayloadError(f"{name}.shape: must be a list of 1 to {MOST_AXES} sizes", reason="malformed")
    flat = _flatten(data)
    width = len(flat) // sizes[0]
    expected = 1
    for size in sizes:
        expected *= size
    if expected != len(flat):
        raise PayloadError(
            f"{name}.shape = {sizes}: holds {expected} values, data has {len(flat)}", reason="malformed"
        )
    return [flat[start : start + width] for start in range(0, len(flat), width)]


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 < value < 2**31


def _flatten(data: list[Any]) -> list[Any]:
    # Level by level under a limit: the depth is the sender's choice.
    for _ in range(MOST_AXES):
        if not any(isinstance(item, list) for item in data):
            return data
        data = [inner for item in data for inner in (item if isinstance(item, list) else [item])]
    raise PayloadError(f"data: must be nested at most {MOST_AXES} deep", reason="malformed")


def _only(row: list[Any]) -> Any:
    if len(row) != 1:
        raise PayloadError(
            "inputs: a text tensor must have the shape [batch] or [batch, 1]", reason="malformed"
        )
    return row[0]


OPEN_INFERENCE_V2 = WireFormat(
    example='{"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["..."]}]}',
    recognises=_recognises,
    samples=_samples,
    answers=_answers,
)
