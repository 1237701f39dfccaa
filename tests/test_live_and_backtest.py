"""The running cycle and ``backtest`` say the same of the same features, to the last bit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.backtest import run_backtest
from monitor.baselines.file_format import load_baseline
from monitor.cycle import jobs
from monitor.drift.detector import Detector, WindowFacts
from monitor.drift.settings import mean_windows_between_false_alarms
from monitor.judging import Given, judge_all
from monitor.live import evidence
from monitor.privacy import WordPrivacy
from monitor.records import Features, Sample
from monitor.tuning.profiled import Profiled
from tests.cycle_bench import LEARNING, WINDOW, Bench

PRIVACY = WordPrivacy(key=bytes(32), minimum_requests=5)


@pytest.fixture
def bench(tmp_path: Path, tiny_classifier: Path) -> Iterator[Bench]:
    opened = Bench(tmp_path, Path(shutil.copytree(tiny_classifier, tmp_path / "model")))
    yield opened
    opened.store.close()


class Recorder:
    """Takes down, from the state file, what every window is about to be judged by."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.given: list[Given] = []

    def window(
        self,
        change: Callable[[list[str]], list[str]] = list,
        *,
        declared: bool = False,
        sample: Callable[[int], dict[str, Any]] | None = None,
    ) -> None:
        bench = self.bench
        if sample is None:
            bench.send(change)
        else:
            bench.store.ingest(
                [Sample(id=f"o{bench.now}-{i}", time=bench.now, **sample(i)) for i in range(WINDOW)]
            )
            bench.now += 60.0
        jobs.run_probe(bench.cycle)
        jobs.run_profile(bench.cycle)
        for row in bench.store.windows("profiled"):
            waiting = json.loads(bench.store.get_meta("integrated") or '{"words": []}')["words"]
            self.given.append(
                Given(
                    features=Features.from_arrays(evidence.load_npz(bench.store.load_features(row.index))),
                    facts=WindowFacts(
                        index=row.index, start=row.start, end=row.last_moment, received=row.received
                    ),
                    probe=bench.cycle.model.reading,
                    declared=declared,
                    integrated=tuple(tuple(words) for words in waiting),
                )
            )
        jobs.run_evaluation(bench.cycle)


def detector(bench: Bench) -> Detector:
    baseline = load_baseline(bench.folder / "state.baseline")
    return Detector.fit(
        baseline,
        bench.config.drift,
        mean_windows=mean_windows_between_false_alarms(bench.config.drift, bench.config.window.duration),
        unseen_count=PRIVACY.unseen_count(baseline.word_key_fingerprint),
    )


def test_every_verdict_of_a_long_story_comes_out_of_a_backtest_byte_for_byte(bench: Bench) -> None:
    for _ in range(LEARNING):
        bench.send(revision="v1")
        bench.run()
    told = Recorder(bench)
    for _ in range(3):
        told.window()
    jobs.run_attribution(bench.cycle)
    told.window()
    bench.reopen()
    # unreadable but for a few: too few to judge, so they wait for the next window
    told.window(sample=lambda i: {"input_ids": (999_999,)} if i > 10 else {"text": "the quiet harbour woke"})
    told.window()
    half = {0: "v1", 1: "v2"}
    told.window(declared=True, sample=lambda i: {"text": f"boats carried {i} bread", "revision": half[i % 2]})
    for _ in range(4):
        told.window(lambda words: ["zebra", *words, "quartz"])
        jobs.run_attribution(bench.cycle)
    bench.reopen()
    for _ in range(6):
        told.window()
    live = bench.store.verdicts(LEARNING - 1)
    tested = judge_all(
        detector(bench), told.given, word_name=PRIVACY.name, stream=str(bench.store.get_meta("state_id"))
    )
    assert [json.dumps(verdict.to_json()) for _, verdict in tested] == live
    found = [json.loads(text) for text in live]
    assert {"too_few_samples", "quiet", "alarm"} <= {verdict["state"] for verdict in found}
    assert any(verdict["raised"] for verdict in found)
    assert any(verdict["cleared"] for verdict in found)
    assert any(given.integrated for given in told.given), "Integrated Gradients were judged too"


def test_a_backtest_of_what_the_cycle_has_measured_shows_the_same_evidence(bench: Bench) -> None:
    bench.learn()
    told = Recorder(bench)
    for _ in range(3):
        told.window()
    for _ in range(2):
        told.window(lambda words: ["zebra", *words])
    for _ in range(4):
        told.window()
    count = WINDOW * len(told.given)
    log = Profiled(
        features=Features.concatenate([given.features for given in told.given]),
        places=np.arange(count),
        first=0,
        stop=count,
    )
    result = run_backtest(
        [log],
        samples=count,
        detector=detector(bench),
        window=WINDOW,
        probe=told.given[-1].probe,
        word_name=PRIVACY.name,
    )
    live = [json.loads(text) for text in bench.store.verdicts(LEARNING - 1)]
    assert len(live) == len(result.verdicts) == 9
    # A log has its own clock and numbers its windows from 0; all else is the same.
    own = {"index", "start", "end", "since", "since_time", "episode", "summary", "received"}
    for verdict, expected in zip(result.verdicts, live, strict=True):
        assert _shifted(verdict.to_json(), own, by=LEARNING) == _shifted(expected, own, by=0)
    assert any(verdict.raised for verdict in result.verdicts)


def _shifted(verdict: dict[str, Any], own: set[str], *, by: int) -> dict[str, Any]:
    channels = {
        name: {**channel, "since": None if channel["since"] is None else channel["since"] + by}
        for name, channel in verdict["channels"].items()
    }
    return {**{key: value for key, value in verdict.items() if key not in own}, "channels": channels}
