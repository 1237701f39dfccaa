"""What a baseline has not seen of life, in words: it will be called drift when it comes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitor.baselines.build import ADVISED
from monitor.drift.blocks import BLOCKS
from monitor.records import Baseline

HOUR, DAY = 3600.0, 86400.0
DAYS_OF_A_WEEK = 7
BLOCK = 30
"""Samples of a time block, as of the smallest window: fewer say little of how windows differ."""


def coverage_warnings(baseline: Baseline) -> tuple[str, ...]:
    """One sentence for each thing that the baseline covers too little of; none if all is well."""
    times = baseline.features.times
    told = []
    if len(times) < ADVISED:
        told.append(f"{len(times)} samples: below {ADVISED} only larger shifts are found")
    known = bool(len(times)) and float(times.min()) > 0
    blocks = len(times) // BLOCK if not known else min(len(times) // BLOCK, len(np.unique(times)))
    if blocks < BLOCKS:
        told.append(
            f"{blocks} time blocks of {BLOCK} samples, fewer than {BLOCKS}: how much clean windows differ is "
            "known poorly; give more samples, over more time"
        )
    if not known:
        told.append(
            "times unknown: whether it holds days, nights and weekends cannot be told; give lines with a time"
        )
        return tuple(told)
    return (*told, *_of_time(times))


def _of_time(times: NDArray[np.float64]) -> list[str]:
    # Samples stand for the time around them: a week of hourly ones ends an hour early.
    span = float(np.ptp(times)) * (1 + 1 / max(len(times) - 1, 1))
    if span < DAY - HOUR:
        less = (
            f"spans {_length(span)}, less than a day: what changes with the hour was never seen and will "
            "alarm; give a day at least, better a week"
        )
        return [less]
    told = []
    missing = sorted(set(range(24)) - set((times // HOUR % 24).astype(int).tolist()))
    if missing:
        told.append(
            f"no sample at {' and '.join(_ranges(missing))} UTC: these hours will be judged by "
            "the others; give samples of every hour"
        )
    if span < DAYS_OF_A_WEEK * DAY - HOUR:
        told.append(
            f"spans {_length(span)}, less than a week: what changes with the day, as at weekends, was never "
            "seen and will alarm; give a week"
        )
    return told


def _length(seconds: float) -> str:
    if seconds < HOUR:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / HOUR:.1f} hours" if seconds < DAY else f"{seconds / DAY:.1f} days"


def _ranges(hours: list[int]) -> list[str]:
    """Runs of hours of the day, as ``02:00-05:00``.

    >>> _ranges([2, 3, 4, 23])
    ['02:00-05:00', '23:00-24:00']
    """
    runs: list[list[int]] = []
    for hour in hours:
        if runs and hour == runs[-1][1]:
            runs[-1][1] = hour + 1
        else:
            runs.append([hour, hour + 1])
    return [f"{first:02d}:00-{end:02d}:00" for first, end in runs]
