"""Whether the damaged head is the one that the verdict puts first: from the stream, and by the probe.

From the stream: the top head of the verdict on the window that raised the alarm, the probe unread.
By the probe: the top head of the channel ``model`` in the first window in which the probe is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import numpy as np

from benchmarks.detection.delays import middle
from benchmarks.detection.judging import DEFAULT, fitted
from benchmarks.detection.null import Row
from benchmarks.detection.pools import Pool, Scenario, World
from benchmarks.detection.streams import quiet
from monitor.backtest import judge_stream
from monitor.drift.detector import Detector
from monitor.records import HeadId, ProbeReading, Verdict

SIZE = 200
QUIET_BEFORE = 5
LONGEST = 30


def localised(world: World, faults: Sequence[Scenario], *, seed: int) -> list[Row]:
    """One row per fault of one head, all against one baseline. Their pools are named as their readings."""
    stream, draw = quiet(world, seed, SIZE), np.random.default_rng(seed)
    detector = fitted(world, stream.baseline, DEFAULT, probe=world.readings["baseline"])
    before = list(islice(stream.windows, QUIET_BEFORE))
    rows = []
    for fault in faults:
        assert fault.head is not None, f"{fault.name}: is no fault of one head"
        name, head = fault.needs[-1], str(HeadId(layer=fault.head[0], head=fault.head[1]))
        pool = world.pools[name]
        windows = [pool.take(draw.choice(len(pool), SIZE, replace=False)) for _ in range(LONGEST)]
        delay, found = _from_stream(detector, [*before, *windows])
        probed = _by_probe(detector, before[0], world.readings[name])
        rows.append(
            {
                "world": world.name,
                "fault": name,
                "damage": name.removesuffix(f"_{head}"),
                "head": head,
                "seed": seed,
                "delay": delay,
                "from_stream": None if found is None else str(_top(found, "heads")),
                "named": found is not None
                and any(str(item.head) == head and item.named for item in found.channels["heads"].heads),
                "by_probe": str(_top(probed, "model")),
            }
        )
    return rows


def _from_stream(detector: Detector, windows: Sequence[Pool]) -> tuple[int | None, Verdict | None]:
    for index, (_, verdict) in enumerate(judge_stream(detector, (w.features for w in windows))):
        if index >= QUIET_BEFORE and verdict.alarm:
            return index - QUIET_BEFORE + 1, verdict
    return None, None


def _by_probe(detector: Detector, window: Pool, reading: ProbeReading) -> Verdict:
    _, verdict = next(iter(judge_stream(detector, [window.features], probe=reading)))
    return verdict


def _top(verdict: Verdict, channel: str) -> HeadId | None:
    heads = verdict.channels[channel].heads
    return heads[0].head if heads else None


def figures(rows: Iterable[Row]) -> list[Row]:
    """Shares of faults named right, per damage and over all of them."""
    grouped: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        for damage in (row["damage"], "all"):
            grouped.setdefault((row["world"], damage), []).append(row)
    return [_figure(world, damage, group) for (world, damage), group in grouped.items()]


def _figure(world: str, damage: str, rows: Sequence[Row]) -> dict[str, Any]:
    stream = sum(row["from_stream"] == row["head"] for row in rows)
    probe = sum(row["by_probe"] == row["head"] for row in rows)
    return {
        "world": world,
        "damage": damage,
        "faults": len({row["fault"] for row in rows}),
        "baselines": len({row["seed"] for row in rows}),
        "trials": len(rows),
        "median_delay": middle([row["delay"] for row in rows]),
        "alarmed": sum(row["delay"] is not None for row in rows),
        "right_from_stream": stream,
        "right_by_probe": probe,
        "wrong": [
            f"{row['fault']}: stream {row['from_stream']}, probe {row['by_probe']}"
            for row in rows
            if row["head"] not in (row["from_stream"], row["by_probe"]) or row["from_stream"] != row["head"]
        ]
        if damage == "all"
        else [],
    }
