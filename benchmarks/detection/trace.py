"""The evidence over time of one drift that comes and goes: what the plot shows."""

from __future__ import annotations

import math
from itertools import islice

from benchmarks.detection.judging import DEFAULT, fitted
from benchmarks.detection.null import Row
from benchmarks.detection.pools import Scenario, World
from monitor.backtest import judge_stream

LOWEST = -10.0


def traced(world: World, scenario: Scenario, *, seed: int, size: int, shifted: int, after: int) -> Row:
    """Log evidence per window; the shift lasts ``shifted`` windows, then ``after`` quiet ones are seen."""
    stream = scenario.build(world, seed, size)
    onset, end = stream.onset or 0, stream.end or 0
    assert end - onset >= shifted, f"{scenario.name}: lasts {end - onset} windows, not {shifted}"
    windows = (
        window.features
        for index, window in enumerate(islice(stream.windows, end + after))
        if index < onset + shifted or index >= end
    )
    points = [
        {
            "evidence": _shown(verdict.evidence),
            "alarm": verdict.alarm,
            "recovery": _shown(max(c.recovery for c in verdict.channels.values())),
            "channels": {
                name: _shown(channel.evidence)
                for name, channel in verdict.channels.items()
                if name != "model"
            },
        }
        for _, verdict in judge_stream(fitted(world, stream.baseline, DEFAULT), windows)
    ]
    return {
        "world": world.name,
        "scenario": scenario.name,
        "onset": onset,
        "end": onset + shifted,
        "log_limit": round(math.log(8640), 3),
        "windows": points,
    }


def _shown(value: float) -> float:
    return round(max(value, LOWEST), 3)
