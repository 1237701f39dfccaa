"""A JSONL file read at once: one sample a line; what is no sample is named and skipped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from monitor.errors import InputError, PayloadError
from monitor.ingest.limits import PayloadLimits
from monitor.ingest.native import read_sample
from monitor.records import Sample


def read_samples(path: Path, *, limits: PayloadLimits | None = None) -> tuple[list[Sample], list[str]]:
    """The samples of a JSONL file, and one message for each line that is none, by line number.

    A line without ``id`` is called ``line-<number>``; one without ``time`` gets 0.0, so that the
    same file always gives the same samples. Blank lines are skipped. Raises ``InputError`` for a
    file that cannot be read.
    """
    bounds = limits if limits is not None else PayloadLimits()
    samples: list[Sample] = []
    problems: list[str] = []
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                try:
                    samples.append(_read_line(line, number, bounds))
                except PayloadError as error:
                    problems.append(f"{path.name} line {number}: {error}")
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{path}: cannot be read ({reason}); give a JSONL file that exists") from error
    return samples, problems


def parse_line(line: bytes) -> Any:
    """The JSON document of one line; raises ``PayloadError`` where it is none."""
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PayloadError(
            f"byte {error.start} is no UTF-8; save the file as UTF-8", reason="not_utf8"
        ) from None
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        detail = (
            f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else "too deep"
        )
        raise PayloadError(
            f"is no JSON ({detail}); write one JSON object a line", reason="malformed"
        ) from None


def _read_line(line: bytes, number: int, limits: PayloadLimits) -> Sample:
    document = parse_line(line)
    return read_sample(document, new_id=lambda: f"line-{number}", now=lambda: 0.0, limits=limits)
