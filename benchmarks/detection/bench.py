"""The detection benchmark: false alarms and delays on real features, through the code of backtest.

``python -m benchmarks.detection.bench`` prints a table and writes
``benchmarks/results/detection.json``; ``--smoke`` runs a small part of it in seconds.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binom

from benchmarks.detection.features import CACHE, TRIGGERS, cached_features, joined
from examples.sentiment.assemble import assemble
from monitor.backtest import judge_stream
from monitor.baseline import build_baseline
from monitor.drift.detector import Detector
from monitor.drift.settings import DriftSettings, mean_windows_between_false_alarms
from monitor.records import Features, ModelIdentity, Verdict

RESULTS = Path(__file__).resolve().parents[1] / "results" / "detection.json"
WINDOW_SECONDS = 300.0
QUIET_BEFORE = 5
LONGEST = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Everything measured is drawn from these."""

    features: dict[str, Features]
    identity: ModelIdentity
    statistics: tuple[str, ...]

    def split(self, seed: int, samples: int) -> tuple[Features, Features, np.random.Generator]:
        """A baseline of ``samples`` held-out sentences, and the others for quiet windows."""
        draw = np.random.default_rng(seed)
        pool = self.features["held_out"]
        order = draw.permutation(len(pool))
        reference = pool.take(order[:samples])
        return replace(reference, times=np.arange(samples, dtype=float)), pool.take(order[samples:]), draw

    def detector(self, reference: Features, false_alarms: str) -> Detector:
        """Fitted as ``backtest`` fits it."""
        settings = DriftSettings(false_alarms=false_alarms)
        baseline = build_baseline(
            reference,
            identity=self.identity,
            statistics=self.statistics,
            probe=None,
            source="log",
            created=0.0,
        )
        mean_windows = mean_windows_between_false_alarms(settings, WINDOW_SECONDS)
        return Detector.fit(baseline, settings, mean_windows=mean_windows)


def window_of(
    quiet: Features, draw: np.random.Generator, size: int, shifted: Features | None = None, share: float = 0.0
) -> Features:
    """A window of ``size`` samples, of which a ``share`` come from another corpus."""
    other = round(share * size) if shifted is not None else 0
    window = quiet.take(draw.choice(len(quiet), size - other, replace=False))
    if other and shifted is not None:
        window = joined(window, shifted.take(draw.choice(len(shifted), other, replace=False)))
    return window.take(draw.permutation(size))


def quiet_run(
    bench: Bench, *, baselines: int, windows: int, size: int, samples: int, false_alarms: str
) -> dict[str, Any]:
    """Alarms over quiet windows, against the 99 % binomial bound of the setting."""
    alarms, in_alarm, largest, seconds = 0, 0, -np.inf, 0.0
    expected = 0.0
    for seed in range(baselines):
        reference, quiet, draw = bench.split(seed, samples)
        detector = bench.detector(reference, false_alarms)
        expected = detector.budget.mean_windows
        stream = (window_of(quiet, draw, size) for _ in range(windows))
        started = time.process_time()
        for _, verdict in judge_stream(detector, stream):
            alarms += verdict.raised
            in_alarm += verdict.alarm
            largest = max(largest, verdict.evidence)
        seconds += time.process_time() - started
    total = baselines * windows
    bound = int(binom.ppf(0.99, total, 1 / expected))
    return {
        "false_alarms": false_alarms,
        "baselines": baselines,
        "baseline_samples": samples,
        "window": size,
        "windows": total,
        "alarms": alarms,
        "windows_in_alarm": in_alarm,
        "bound_99": bound,
        "kept": alarms <= bound,
        "largest_log_evidence": round(float(largest), 2),
        "cpu_ms_a_window": round(1000 * seconds / total, 1),
    }


def drift_run(
    bench: Bench, *, shifted: str, share: float, baselines: int, size: int, samples: int, false_alarms: str
) -> dict[str, Any]:
    """Windows until the alarm, which channels it came from, and windows until it is quiet again."""
    delays, recoveries, channels, words = [], [], Counter[str](), Counter[str]()
    early = 0
    for seed in range(baselines):
        reference, quiet, draw = bench.split(seed, samples)
        detector = bench.detector(reference, false_alarms)
        story = Story()
        stream = _windows(story, quiet, bench.features[shifted], share, size, draw)
        for _, verdict in judge_stream(detector, stream):
            story.hear(verdict)
            if story.done:
                break
        early += story.early
        delays.append(story.delay)
        if story.delay is not None:
            channels.update(story.channels)
            words.update(story.words)
        if story.recovery is not None:
            recoveries.append(story.recovery)
    known = [LONGEST + 1 if delay is None else delay for delay in delays]
    return {
        "shift": shifted,
        "share": share,
        "false_alarms": false_alarms,
        "baselines": baselines,
        "median_delay": float(np.median(known)),
        "delays": delays,
        "early_alarms": early,
        "channels": dict(channels),
        "words": [word for word, _ in words.most_common(3)],
        "median_recovery": float(np.median(recoveries)) if recoveries else None,
        "recoveries": recoveries,
    }


class Story:
    """Quiet, then shifted until two windows after the alarm, then quiet until it has cleared."""

    def __init__(self) -> None:
        self.seen = 0
        self.early = 0
        self.delay: int | None = None
        self.recovery: int | None = None
        self.channels: list[str] = []
        self.words: list[str] = []

    @property
    def shifted(self) -> bool:
        """Whether the next window is shifted."""
        ended = self.delay is not None and self.seen >= QUIET_BEFORE + self.delay + 2
        return self.seen >= QUIET_BEFORE and not ended

    @property
    def done(self) -> bool:
        """Whether the story has been told."""
        gone = self.delay is not None and self.recovery is not None
        return gone or self.seen >= QUIET_BEFORE + (LONGEST if self.delay is None else 3 * LONGEST)

    def hear(self, verdict: Verdict) -> None:
        """Take one verdict."""
        self.seen += 1
        if self.seen <= QUIET_BEFORE:
            self.early += verdict.raised
        elif self.delay is None and verdict.alarm:
            self.delay = self.seen - QUIET_BEFORE
            self.channels = [name for name, channel in verdict.channels.items() if channel.alarm]
            self.words = [item.word for item in verdict.channels["tokens"].gained[:3]]
        elif self.delay is not None and self.recovery is None and not verdict.alarm:
            after = self.seen - (QUIET_BEFORE + self.delay + 2)
            # an alarm that clears while the shift goes on is counted as a recovery of 0 or less
            self.recovery = after


def _windows(
    story: Story, quiet: Features, shifted: Features, share: float, size: int, draw: np.random.Generator
) -> Iterator[Features]:
    while True:
        yield window_of(quiet, draw, size, shifted if story.shifted else None, share)


def run(bench: Bench, *, smoke: bool) -> dict[str, Any]:
    """All measurements; ``smoke``: a few of each."""
    baselines = 2 if smoke else 10
    quiet = [
        {"false_alarms": "1 per 100 windows", "size": 200, "samples": 2000, "windows": 10 if smoke else 100}
    ]
    if not smoke:
        quiet += [
            {"false_alarms": "1 per 30d", "size": 200, "samples": 2000, "windows": 100},
            {"false_alarms": "1 per 100 windows", "size": 50, "samples": 300, "windows": 50},
            {"false_alarms": "1 per 100 windows", "size": 200, "samples": 500, "windows": 50},
            {"false_alarms": "1 per 100 windows", "size": 500, "samples": 1000, "windows": 25},
        ]
    drifts = [("imdb_same_length", 0.25), *((f"trigger_{word}", 0.10) for word in TRIGGERS)]
    if smoke:
        drifts = drifts[:2]
    else:
        drifts += [("imdb_same_length", 0.10), ("guardian", 0.10), ("guardian", 0.05)]
    result: dict[str, Any] = {"quiet": [], "drift": []}
    for setting in quiet:
        row = quiet_run(bench, baselines=baselines, **setting)
        print(_quiet_line(row), flush=True)
        result["quiet"].append(row)
    for shifted, share in drifts:
        row = drift_run(
            bench,
            shifted=shifted,
            share=share,
            baselines=baselines,
            size=200,
            samples=2000,
            false_alarms="1 per 30d",
        )
        print(_drift_line(row), flush=True)
        result["drift"].append(row)
    return result


def _quiet_line(row: dict[str, Any]) -> str:
    return (
        f"quiet  baseline {row['baseline_samples']:>4}  window {row['window']:>3}  {row['false_alarms']:<18}"
        f"  {row['alarms']} alarms in {row['windows']} windows (99 % bound {row['bound_99']}), largest log "
        f"evidence {row['largest_log_evidence']}, {row['cpu_ms_a_window']} ms a window"
    )


def _drift_line(row: dict[str, Any]) -> str:
    return (
        f"drift  {row['shift']:<22} {100 * row['share']:>3.0f} %  alarm after {row['median_delay']:g}, "
        f"quiet again after {row['median_recovery']}  by {', '.join(row['channels'])}  "
        f"{' '.join(row['words'])}"
    )


def main() -> int:
    """0 if the false-alarm bound was kept and the two goals were reached."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="the demo model's folder; default: assembled in .cache")
    parser.add_argument("--smoke", action="store_true", help="a small part, in seconds; nothing is written")
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    folder = arguments.model or assemble(CACHE.parent / "sentiment")
    features, identity, statistics = cached_features(folder)
    bench = Bench(features=features, identity=identity, statistics=statistics)
    result = run(bench, smoke=arguments.smoke)
    goals = {
        "false alarms within the 99 % bound": all(row["kept"] for row in result["quiet"]),
        "25 % IMDb within 5 windows": _median(result, "imdb_same_length", 0.25) <= 5,
        "a trigger word in 10 % within 3 windows": all(
            row["median_delay"] <= 3 for row in result["drift"] if row["shift"].startswith("trigger")
        ),
    }
    for goal, reached in goals.items():
        print(f"{'reached' if reached else 'MISSED '}  {goal}")
    if not arguments.smoke:
        result["goals"] = goals
        result["machine"] = {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "cpu": platform.machine(),
        }
        result["model"] = {"name": identity.name, "weights_sha256": identity.weights_hash}
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0 if all(goals.values()) else 1


def _median(result: dict[str, Any], shift: str, share: float) -> float:
    rows = result["drift"]
    return next(row["median_delay"] for row in rows if row["shift"] == shift and row["share"] == share)


if __name__ == "__main__":
    sys.exit(main())
