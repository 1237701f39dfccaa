"""False alarms over quiet windows, against the 99 % binomial bound of the setting.

Windows are drawn without replacement inside a window from the texts that the baseline did not take.
Those are few (about as many as the baseline), so their own mean differs from the baseline's by as
much as its error again: the test is harder than fresh traffic would be.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any

from scipy.stats import binom

from benchmarks.detection.judging import fitted
from benchmarks.detection.pools import Pool, Scenario, World
from benchmarks.detection.streams import WINDOW_SECONDS, quiet
from monitor.backtest import judge_stream
from monitor.drift.detector import Detector
from monitor.drift.settings import DriftSettings, mean_windows_between_false_alarms

RATES = ("1 per 100 windows", "1 per 1000 windows", "1 per 8640 windows")
Row = dict[str, Any]


def at_every_rate(measure: Callable[[str], Row], rates: Sequence[str]) -> list[Row]:
    """One baseline's share of the null figures of several rates, the most frequent alarms first.

    The rate sets the limit and nothing else: windows that raise no alarm at one rate go the same way at
    every rarer one, so they are judged anew only where there was an alarm.
    """
    found: list[Row] = []
    for rate in rates:
        if found and not found[-1]["alarms"] and not found[-1]["windows_in_alarm"]:
            mean_windows = mean_windows_between_false_alarms(DriftSettings(false_alarms=rate), WINDOW_SECONDS)
            found.append({**found[-1], "false_alarms": rate, "mean_windows": mean_windows})
        else:
            found.append(measure(rate))
    return found


def undisturbed(world: World, *, seed: int, false_alarms: str, size: int, samples: int, windows: int) -> Row:
    """One baseline's share of a null figure."""
    stream = quiet(world, seed, size, samples=samples)
    detector = fitted(world, stream.baseline, false_alarms)
    return {
        "world": world.name,
        "false_alarms": false_alarms,
        "window": size,
        "baseline_samples": len(stream.baseline),
        **counted(detector, islice(stream.windows, windows)),
    }


def wobbling(
    world: World, scenario: Scenario, *, seed: int, false_alarms: str, windows: int, size: int
) -> Row:
    """One baseline's share of a null figure in which traffic wobbles as the baseline did."""
    stream = scenario.build(world, seed, size)
    detector = fitted(world, stream.baseline, false_alarms)
    return {
        "world": world.name,
        "scenario": scenario.name,
        "false_alarms": false_alarms,
        "window": size,
        "baseline_samples": len(stream.baseline),
        **counted(detector, islice(stream.windows, windows)),
    }


def counted(detector: Detector, windows: Iterable[Pool]) -> Row:
    """Alarms raised, windows in alarm, the largest log evidence, and what a window costs."""
    alarms = in_alarm = judged = 0
    largest = -math.inf
    channels: dict[str, int] = {}
    started = time.process_time()
    for _, verdict in judge_stream(detector, (window.features for window in windows)):
        judged += 1
        alarms += verdict.raised
        in_alarm += verdict.alarm
        largest = max(largest, verdict.evidence)
        if verdict.raised:
            for name, channel in verdict.channels.items():
                channels[name] = channels.get(name, 0) + channel.alarm
    return {
        "mean_windows": detector.budget.mean_windows,
        "windows": judged,
        "alarms": alarms,
        "windows_in_alarm": in_alarm,
        "largest_log_evidence": largest,
        "channels": {name: count for name, count in channels.items() if count},
        "cpu_seconds": time.process_time() - started,
    }


def against_the_bound(parts: Sequence[Row]) -> Row:
    """The parts of one figure (same setting, other baselines) together, and whether the rate was kept."""
    total = sum(part["windows"] for part in parts)
    alarms = sum(part["alarms"] for part in parts)
    expected = total / parts[0]["mean_windows"]
    bound = int(binom.ppf(0.99, total, 1 / parts[0]["mean_windows"]))
    channels: dict[str, int] = {}
    for part in parts:
        for name, count in part["channels"].items():
            channels[name] = channels.get(name, 0) + count
    summed = {"windows", "alarms", "windows_in_alarm", "largest_log_evidence", "channels", "cpu_seconds"}
    return {
        **{key: value for key, value in parts[0].items() if key not in summed},
        "baselines": len(parts),
        "windows": total,
        "alarms": alarms,
        "alarms_by_baseline": [part["alarms"] for part in parts],
        "windows_in_alarm": sum(part["windows_in_alarm"] for part in parts),
        "channels": channels,
        "expected_alarms": round(expected, 2),
        "ratio": round(alarms / expected, 3),
        "bound_99": bound,
        "kept": alarms <= bound,
        "largest_log_evidence": round(max(part["largest_log_evidence"] for part in parts), 2),
        "cpu_ms_a_window": round(1000 * sum(part["cpu_seconds"] for part in parts) / total, 1),
    }


def figures(parts: Iterable[Row], keys: Sequence[str]) -> list[Row]:
    """One row per setting; ``keys`` tell settings apart."""
    grouped: dict[tuple[Any, ...], list[Row]] = {}
    for part in parts:
        grouped.setdefault(tuple(part[key] for key in keys), []).append(part)
    return [against_the_bound(group) for group in grouped.values()]
