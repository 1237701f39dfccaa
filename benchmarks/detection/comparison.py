"""Every method on the same windows: the share of quiet windows in alarm, and the delay of each shift.

A method's delay is the first window since the onset in which it alarms; one that alarms often while
nothing has changed is quick by chance, so its quiet share stands beside it. Slow methods judge the
first few windows of each part only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import numpy as np

from benchmarks.detection.competitors.method import Begin, Decide, Method, Reference
from benchmarks.detection.delays import LONGEST, middle
from benchmarks.detection.null import Row
from benchmarks.detection.pools import Pool, Scenario, Stream, World

MEAN_WINDOWS = 8640.0
SLOW_WINDOWS = 2


class Fits:
    """Methods fitted once per baseline: most scenarios of a seed share theirs."""

    def __init__(self, world: World, methods: Sequence[Method], seed: int, size: int) -> None:
        self._world, self._methods, self._seed, self._size = world, methods, seed, size
        self._begins: dict[bytes, list[tuple[Method, Begin]]] = {}

    def begun(self, baseline: Pool) -> list[tuple[Method, Decide]]:
        """Each method, ready for a new stream."""
        key = baseline.features.profile.tobytes()
        if key not in self._begins:
            self._begins[key] = [
                (
                    method,
                    method.fit(
                        Reference(
                            world=self._world,
                            baseline=baseline,
                            size=self._size,
                            mean_windows=MEAN_WINDOWS,
                            draw=np.random.default_rng(self._seed),
                        )
                    ),
                )
                for method in self._methods
            ]
        return [(method, begin()) for method, begin in self._begins[key]]


def compared(
    world: World,
    scenarios: Sequence[Scenario],
    methods: Sequence[Method],
    *,
    seed: int,
    size: int,
    quiet_windows: int,
) -> list[Row]:
    """Every scenario from one seed; rows (scenario, method) with ``quiet`` shares or ``delay``."""
    fits = Fits(world, [method for method in methods if method.installed()], seed, size)
    rows = []
    for scenario in scenarios:
        stream = scenario.build(world, seed, size)
        told = (
            _quiet(stream, fits.begun(stream.baseline), quiet_windows)
            if stream.onset is None
            else _delays(stream, fits.begun(stream.baseline))
        )
        rows += [
            {"world": world.name, "scenario": scenario.name, "group": scenario.group, "seed": seed, **row}
            for row in told
        ]
    return rows


def _quiet(stream: Stream, begun: Sequence[tuple[Method, Decide]], windows: int) -> list[Row]:
    alarms: dict[str, list[bool]] = {name: [] for method, _ in begun for name in method.names}
    for index, window in enumerate(islice(stream.windows, windows)):
        for method, decide in begun:
            if method.slow and index >= 2 * SLOW_WINDOWS:
                continue
            for name, alarm in zip(method.names, decide(window), strict=True):
                alarms[name].append(alarm)
    return [{"method": name, "windows": len(found), "in_alarm": sum(found)} for name, found in alarms.items()]


def _delays(stream: Stream, begun: Sequence[tuple[Method, Decide]]) -> list[Row]:
    assert stream.onset is not None
    delays: dict[str, int | None] = {name: None for method, _ in begun for name in method.names}
    last = stream.onset + LONGEST if stream.end is None else min(stream.end, stream.onset + LONGEST)
    for index, window in enumerate(islice(stream.windows, last)):
        for method, decide in begun:
            over = all(delays[name] is not None for name in method.names)
            late = method.slow and not stream.onset <= index < stream.onset + SLOW_WINDOWS
            if over or late:
                continue
            for name, alarm in zip(method.names, decide(window), strict=True):
                if alarm and index >= stream.onset and delays[name] is None:
                    delays[name] = index - stream.onset + 1
    slow = {name for method, _ in begun if method.slow for name in method.names}
    return [
        {"method": name, "delay": delay, "windows": SLOW_WINDOWS if name in slow else last - stream.onset}
        for name, delay in delays.items()
    ]


def figures(rows: Iterable[Row]) -> list[Row]:
    """One row per (world, scenario, method) over the seeds."""
    grouped: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        grouped.setdefault((row["world"], row["scenario"], row["method"]), []).append(row)
    return [_figure(group) for group in grouped.values()]


def _figure(rows: Sequence[Row]) -> dict[str, Any]:
    first = rows[0]
    kept = {key: first[key] for key in ("world", "scenario", "group", "method")}
    windows = sum(row["windows"] for row in rows)
    if "in_alarm" in first:
        alarms = sum(row["in_alarm"] for row in rows)
        share = round(alarms / windows, 4)
        return {**kept, "baselines": len(rows), "windows": windows, "in_alarm": alarms, "share": share}
    delays = [row["delay"] for row in rows]
    return {
        **kept,
        "baselines": len(rows),
        "median_delay": middle(delays),
        "delays": delays,
        "windows": first["windows"],
    }


def not_installed(methods: Iterable[Method]) -> list[str]:
    """Names of the methods whose library is not installed."""
    return [name for method in methods if not method.installed() for name in method.names]
