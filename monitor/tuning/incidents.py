"""Known incidents of a log: one JSON object a line.

``{"start": 4000, "end": 5200, "name"?: "German inputs", "cause"?: "data"}``: ``start`` and ``end`` are
the numbers of samples in the log (from 0, the end not included), or times as in
``"2026-01-31T12:00:00Z"`` where the log's samples have times.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from monitor.errors import InputError
from monitor.records import Cause

EXAMPLE = '{"start": 4000, "end": 5200, "name": "German inputs", "cause": "data"}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """A known incident: samples ``start`` .. ``stop`` - 1 of the log.

    ``start_time`` in seconds since the epoch, None where the log has no times.
    """

    name: str
    cause: Cause | None
    start: int
    stop: int
    start_time: float | None


def _moment(value: Any) -> int | datetime:
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            raise ValueError("is no RFC 3339 time; write it as in 2026-01-31T12:00:00Z")
        return moment
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError("must be the number of a sample, from 0, or a time as in 2026-01-31T12:00:00Z")
    return value


Moment = Annotated[int | datetime, BeforeValidator(_moment)]


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    start: Moment
    end: Moment
    name: str | None = Field(default=None, min_length=1, max_length=100)
    cause: Cause | None = None


def read_incidents(path: Path, times: Sequence[float]) -> tuple[Incident, ...]:
    """The incidents in order; ``times`` are the log's, 0 where a sample has none.

    Raises InputError that lists every problem with its line and what to do.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
        raise InputError(
            f"--labels = {path}: cannot be read ({reason}); give a file of lines as in {EXAMPLE}"
        ) from None
    found: dict[int, Incident] = {}
    problems: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            found[number] = _incident(line, number, times)
        except ValueError as error:
            problems += [f"{path.name} line {number}: {told}" for told in str(error).splitlines()]
    problems += [f"{path.name} {told}" for told in _overlaps(found)]
    if problems:
        raise InputError("\n".join(problems))
    if not found:
        raise InputError(f"--labels = {path}: names no incident; give lines as in {EXAMPLE}")
    return tuple(sorted(found.values(), key=lambda incident: incident.start))


def _incident(line: str, number: int, times: Sequence[float]) -> Incident:
    try:
        values = _Line.model_validate(json.loads(line))
    except ValidationError as error:
        raise ValueError("\n".join(_told(item) for item in error.errors())) from None
    except json.JSONDecodeError:
        raise ValueError(f"is no JSON; write one incident a line, as in {EXAMPLE}") from None
    timed = bool(len(times)) and min(times) > 0
    start, stop = (_place(key, getattr(values, key), times, timed=timed) for key in ("start", "end"))
    if stop <= start:
        raise ValueError("end: is not after start; write the first sample after the incident")
    if start >= len(times):
        raise ValueError(f"start: is behind the log's end ({len(times)} samples); give the log that has it")
    began = values.start.timestamp() if isinstance(values.start, datetime) else times[start]
    return Incident(
        name=values.name or f"line {number}",
        cause=values.cause,
        start=start,
        stop=stop,
        start_time=began if timed else None,
    )


def _place(key: str, value: int | datetime, times: Sequence[float], *, timed: bool) -> int:
    """The first sample at or after a time; the number itself where a sample is named."""
    if isinstance(value, int):
        return value
    if not timed:
        raise ValueError(
            f"{key}: is a time, and the log has samples without; give the numbers of samples instead"
        )
    moment = value.timestamp()
    return next((place for place, time in enumerate(times) if time >= moment), len(times))


def _told(item: Any) -> str:
    key = str(item["loc"][0]) if item["loc"] else ""
    told = {
        "missing": f"{key}: missing; write it as in {EXAMPLE}",
        "extra_forbidden": f"{key}: unknown key; an incident has start, end, name and cause",
        "literal_error": f"{key}: must be one of data, model, environment, serving; leave it out if unknown",
        "model_type": f"is no JSON object; write it as in {EXAMPLE}",
    }.get(item["type"])
    if told is None and item["type"] == "value_error":
        told = f"{key}: {item['ctx']['error']}"
    return told or f"{key}: must be a text of 1 to 100 characters; leave it out if there is none"


def _overlaps(found: dict[int, Incident]) -> list[str]:
    ordered = sorted(found.items(), key=lambda item: item[1].start)
    return [
        f"line {number}: overlaps the incident of line {before}; write them as one"
        for (before, one), (number, other) in pairwise(ordered)
        if other.start < one.stop
    ]
