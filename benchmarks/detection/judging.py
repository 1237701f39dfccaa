"""The detector as the benchmark uses it: fitted on a pool as ``backtest`` fits it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from benchmarks.detection.pools import Pool, World
from benchmarks.detection.streams import WINDOW_SECONDS
from monitor.baselines.build import build_baseline
from monitor.drift.detector import Detector
from monitor.drift.settings import DriftSettings, mean_windows_between_false_alarms
from monitor.records import ProbeReading

DEFAULT = "1 per 30d"
"""The default setting: one false alarm in 8,640 windows of five minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """A fit; two are the same if their digests of all that they are given are."""

    digest: str
    world: World = field(compare=False)
    baseline: Pool = field(compare=False)
    settings: DriftSettings = field(compare=False)
    probe: ProbeReading | None = field(compare=False)


def fitted(
    world: World,
    baseline: Pool,
    false_alarms: str = DEFAULT,
    *,
    probe: ProbeReading | None = None,
    **settings: Any,
) -> Detector:
    """A detector for windows of five minutes; ``settings`` are fields of ``DriftSettings``."""
    chosen = DriftSettings(false_alarms=false_alarms, **settings)
    digest = hashlib.sha256(f"{world.identity} {world.statistics} {chosen!r}".encode())
    for name, array in baseline.features.to_arrays().items():
        digest.update(f"{name} {array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    if probe is not None:
        digest.update(f"{probe.identity} {probe.inputs_hash}".encode() + probe.profile.tobytes())
    return _fit(
        _Wanted(digest=digest.hexdigest(), world=world, baseline=baseline, settings=chosen, probe=probe)
    )


@lru_cache(maxsize=12)
def _fit(wanted: _Wanted) -> Detector:
    """Kept for the next scenario: most of a seed's share a baseline, and a detector never changes."""
    frozen = build_baseline(
        wanted.baseline.features,
        identity=wanted.world.identity,
        statistics=wanted.world.statistics,
        probe=wanted.probe,
        source="log",
        created=0.0,
    )
    mean_windows = mean_windows_between_false_alarms(wanted.settings, WINDOW_SECONDS)
    return Detector.fit(frozen, wanted.settings, mean_windows=mean_windows)
