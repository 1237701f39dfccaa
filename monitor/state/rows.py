"""What the state file gives back, and how a sample is written in it."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from monitor.records import Sample, ServedPrediction

WindowStatus = Literal["open", "closed", "profiled", "judged", "expired"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowRow:
    """One window; times in seconds since the epoch, ``end`` is None while it is open.

    ``received`` counts the distinct requests, ``kept`` those that were sampled.
    """

    index: int
    start: float
    end: float | None
    received: int
    kept: int
    status: WindowStatus

    @property
    def last_moment(self) -> float:
        """Its end; while it is open, its start."""
        return self.start if self.end is None else self.end


class OutboxUsage(NamedTuple):
    """What waits for its sink, by kind and in bytes, and how many records were dropped so far."""

    records: Mapping[str, int]
    bytes: int
    dropped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MaintenanceReport:
    """What one maintenance did. ``wal_truncated`` is False where a reader was in the way."""

    texts_expired: int
    windows_expired: int
    answers_expired: int
    verdicts_pruned: int
    wal_truncated: bool


def encode_sample(sample: Sample) -> str:
    """The sample as JSON, less its id, time and served prediction, which have columns."""
    body: dict[str, Any] = {
        "text": sample.text,
        "text_pair": sample.text_pair,
        "input_ids": sample.input_ids,
        "image": None if sample.image is None else base64.b64encode(sample.image).decode(),
        "revision": sample.revision,
        "attributes": dict(sample.attributes),
    }
    return json.dumps({key: value for key, value in body.items() if value}, ensure_ascii=False)


def decode_sample(row: tuple[str, float, str, str | None, float | None]) -> Sample:
    """A sample from the columns id, time, body, label, probability."""
    identity, time, body, label, probability = row
    values = json.loads(body)
    ids = values.get("input_ids")
    return Sample(
        id=identity,
        time=time,
        text=values.get("text"),
        text_pair=values.get("text_pair"),
        input_ids=None if ids is None else tuple(ids),
        image=base64.b64decode(values["image"]) if "image" in values else None,
        revision=values.get("revision"),
        served=None if label is None else ServedPrediction(label=label, probability=probability),
        attributes=values.get("attributes", {}),
    )
