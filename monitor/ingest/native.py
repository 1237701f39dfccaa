"""headwatch's own format: one JSON object a sample, alone, in a list, or one a line.

``{"id"?, "text" | "text" + "text_pair" | "input_ids" | "image", "time"?, "revision"?,
"prediction"? {"label", "probability"?}, "attributes"?}``; other keys are ignored. An image is the
bytes of its file in base64.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

from monitor.errors import PayloadError
from monitor.ingest.limits import PayloadLimits
from monitor.records import Sample, ServedPrediction

LONGEST_ID = 256
LONGEST_LABEL = 1024
MOST_ATTRIBUTES = 32
LARGEST_TOKEN_ID = 2**31 - 1
# Times after the year 5138 are taken for milliseconds, which is the usual mistake.
LATEST_TIME = 1e11


def read_sample(
    document: Any, *, new_id: Callable[[], str], now: Callable[[], float], limits: PayloadLimits
) -> Sample:
    """The sample that one JSON object describes; raises ``PayloadError`` naming the key to change."""
    if not isinstance(document, Mapping):
        raise _malformed(f'a sample is a JSON object such as {{"text": "..."}}; this is {_kind(document)}')
    ids = read_token_ids(document["input_ids"]) if document.get("input_ids") is not None else None
    text = read_text(document, "text", limits) if document.get("text") is not None else None
    pair = read_text(document, "text_pair", limits) if document.get("text_pair") is not None else None
    image = read_image(document["image"]) if document.get("image") is not None else None
    if ids is not None and (text is not None or pair is not None):
        raise _malformed("input_ids: given beside a text; give 'text' or 'input_ids', not both")
    if image is not None and (ids is not None or text is not None or pair is not None):
        raise _malformed("image: given beside a text; give 'image' or 'text', not both")
    if ids is None and text is None and image is None:
        raise _malformed("text: missing; give 'text' (and 'text_pair' for pairs) or 'input_ids'")
    served = document.get("prediction")
    return Sample(
        id=_read_id(document["id"]) if document.get("id") is not None else new_id(),
        time=read_time(document["time"]) if document.get("time") is not None else now(),
        text=text,
        text_pair=pair,
        input_ids=ids,
        image=image,
        revision=_read_label(document["revision"], "revision") if document.get("revision") else None,
        served=read_prediction(served) if served is not None else None,
        attributes=_read_attributes(document.get("attributes")),
    )


def read_text(document: Mapping[str, Any], key: str, limits: PayloadLimits) -> str:
    """The text under ``key``: neither blank nor too long, and encodable."""
    value = document[key]
    if not isinstance(value, str):
        raise _malformed(f"{key}: is {_kind(value)}; it must be a string")
    if not value.strip():
        raise PayloadError(f"{key}: is empty; send a text with at least one character", reason="empty")
    size = len(_encodable(value, key))
    if size > limits.maximum_text:
        raise PayloadError(
            f"{key}: has {size} bytes, the limit is {limits.maximum_text}; "
            "shorten it or raise ingest.maximum_text",
            reason="text_too_long",
        )
    return value


def read_token_ids(value: Any) -> tuple[int, ...]:
    """Token ids as they were served, never re-tokenised."""
    if not isinstance(value, list):
        raise _malformed(f"input_ids: is {_kind(value)}; it must be a list of token ids")
    if not value:
        raise PayloadError("input_ids: is empty; send at least one token id", reason="empty")
    if not all(type(item) is int and 0 <= item <= LARGEST_TOKEN_ID for item in value):
        raise _malformed(
            "input_ids: every token id must be a whole number from 0; send one flat list a sample"
        )
    return tuple(value)


def read_image(value: Any) -> bytes:
    """The bytes of an image file, from base64; whether they are an image, the model's processor tells."""
    try:
        data = base64.b64decode(value, validate=True) if isinstance(value, str) else b""
    except ValueError:
        data = b""
    if not data:
        raise _malformed("image: is not base64; send the bytes of a PNG or JPEG file in base64")
    return data


def read_time(value: Any) -> float:
    """Seconds since the epoch, from a number of seconds or from RFC 3339."""
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            raise _malformed(
                f"time = {_brief(value)}: is no RFC 3339 time; write 2026-01-31T12:00:00Z, or seconds"
            )
        return moment.timestamp()
    if isinstance(value, bool) or not isinstance(value, int | float) or _is_nan(value):
        raise _malformed(f"time: is {_kind(value)}; it must be in seconds or an RFC 3339 string")
    if not 0 <= value < LATEST_TIME:
        raise _malformed(
            f"time = {_brief(str(value))}: must be in seconds since 1970; divide milliseconds by 1000"
        )
    return float(value)


def read_prediction(value: Any) -> ServedPrediction:
    """``{"label": ..., "probability": ...}``; numeric labels become their decimal string."""
    if not isinstance(value, Mapping) or value.get("label") is None:
        raise _malformed('prediction: must be an object such as {"label": "positive", "probability": 0.98}')
    probability = value.get("probability")
    if probability is not None and not is_probability(probability):
        raise _malformed("prediction.probability: must be a number from 0 to 1; leave it out if unknown")
    return ServedPrediction(
        label=_read_label(value["label"], "prediction.label"),
        probability=None if probability is None else float(probability),
    )


def is_probability(value: Any) -> bool:
    """Whether a JSON value is a number within [0, 1]."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _is_nan(value: object) -> bool:
    # math.isnan alone refuses integers beyond the range of floats, and JSON has those.
    return isinstance(value, float) and math.isnan(value)


def _read_id(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int) or not 0 < len(str(value)) <= LONGEST_ID:
        raise _malformed(f"id: must be a string of 1 to {LONGEST_ID} characters; leave it out to get one")
    _encodable(str(value), "id")
    return str(value)


def _read_label(value: Any, key: str) -> str:
    if not isinstance(value, str | int) or not 0 < len(str(value)) <= LONGEST_LABEL:
        raise _malformed(f"{key}: must be a string of 1 to {LONGEST_LABEL} characters")
    _encodable(str(value), key)
    return str(value)


def _read_attributes(value: Any) -> Mapping[str, str]:
    if value is None:
        return MappingProxyType({})
    if not isinstance(value, Mapping) or len(value) > MOST_ATTRIBUTES:
        raise _malformed(f"attributes: must be an object of at most {MOST_ATTRIBUTES} strings")
    for name, item in value.items():
        if not isinstance(item, str | int | float) or max(len(name), len(str(item))) > LONGEST_LABEL:
            raise _malformed(
                f"attributes.{_brief(name)}: must be a string of at most {LONGEST_LABEL} characters"
            )
        _encodable(name, "attributes")
        _encodable(str(item), "attributes")
    return MappingProxyType({name: str(item) for name, item in value.items()})


def _encodable(value: str, key: str) -> bytes:
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise PayloadError(
            f"{key}: holds a lone surrogate; escape characters beyond U+FFFF as a pair", reason="not_utf8"
        ) from None


def _malformed(message: str) -> PayloadError:
    return PayloadError(message, reason="malformed")


def _brief(value: str) -> str:
    return value if len(value) <= 40 else value[:37] + "..."


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
