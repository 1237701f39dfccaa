"""Numbers as Grafana shows them in the units that the dashboards use."""

from __future__ import annotations

import math
from typing import Any

_BYTES = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))
_LONG = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def shown(value: float, unit: str, decimals: int | None, *, now: float) -> str:
    """``value`` as text; ``dateTimeFromNow`` is in milliseconds since the epoch."""
    if math.isnan(value):
        return "-"
    if unit == "dateTimeFromNow":
        return f"{_span(now - value / 1000)} ago"
    if unit == "percentunit":
        return f"{100 * value:.{1 if decimals is None else decimals}f}%"
    if unit == "bytes":
        return _bytes(value)
    if unit == "s":
        return _seconds(value)
    suffix = {"cps": " c/s"}.get(unit, "")
    if decimals is not None:
        return f"{value:.{decimals}f}{suffix}"
    if unit == "short" and abs(value) >= 1000:
        return f"{value / 1000:.3g} K"
    return f"{value:.3g}{suffix}"


def mapped(value: float, mappings: list[dict[str, Any]]) -> tuple[str, str] | None:
    """The word and the colour that a value mapping gives, or None."""
    for mapping in mappings:
        found = mapping["options"].get(str(int(value))) if value == int(value) else None
        if found is not None:
            return found["text"], found["color"]
    return None


def _bytes(value: float) -> str:
    for size, name in _BYTES:
        if value >= size:
            return f"{value / size:.3g} {name}"
    return f"{value:.0f} B"


def _seconds(value: float) -> str:
    if abs(value) < 1:
        return f"{1000 * value:.3g} ms"
    if value < 120:
        return f"{value:.3g} s"
    return f"{value / 60:.3g} min"


def _span(seconds: float) -> str:
    for size, name in _LONG:
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {name}{'s' if count > 1 else ''}"
    return "moments"
