"""The smallest changes that would be found with a baseline, as ``baseline show`` prints them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from monitor.commands.rates import mean_windows
from monitor.drift.detector import Detector
from monitor.drift.power import WINDOWS, SmallestEffect, smallest_effects
from monitor.drift.settings import DriftSettings
from monitor.drift.summary import plain_number
from monitor.records import Baseline


def found_by(baseline: Baseline, settings: DriftSettings, samples: int) -> tuple[SmallestEffect, ...]:
    """The smallest changes that a detector on this baseline finds in windows of so many samples."""
    detector = Detector.fit(baseline, settings, mean_windows=mean_windows(settings))
    return smallest_effects(detector.fitted, samples)


def as_json(effects: Sequence[SmallestEffect]) -> list[dict[str, Any]]:
    """Plain values: per change its size by the number of windows, null where it is never found."""
    return [
        {
            "channel": item.channel,
            "change": item.change,
            "unit": item.unit,
            "within_windows": dict(zip(map(str, WINDOWS), item.within, strict=True)),
        }
        for item in effects
    ]


def table(effects: Sequence[SmallestEffect]) -> list[str]:
    """Lines of at most 80 columns."""
    heads = [f"{windows} window{'s' if windows > 1 else ''}" for windows in WINDOWS]
    rows = [
        [f"{item.channel}: {item.change}", *(_size(size, item.unit) for size in item.within)]
        for item in effects
    ]
    rows.insert(0, ["change", *heads])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    forms = [f"{{:{widths[0]}}}", *(f"{{:>{width}}}" for width in widths[1:])]
    return ["  ".join(forms).format(*row) for row in rows]


def _size(size: float | None, unit: str) -> str:
    """A size as people write it; a share in percent.

    >>> _size(0.1234, "sd"), _size(0.012, "share"), _size(None, "sd")
    ('0.12 sd', '1.2 %', 'never')
    """
    if size is None:
        return "never"
    return f"{plain_number(100 * size)} %" if unit == "share" else f"{plain_number(size)} {unit}"
