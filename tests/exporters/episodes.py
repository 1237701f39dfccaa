"""A drift episode from its first quiet window to its last, judged by the real detector.

The features are drawn from the small imaginary model of ``tests.drift.synthetic``, so the truth is
known: from window ``SHIFT`` on one head's entropy moves, a word comes in and the predictions move.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from monitor.baselines.file_format import baseline_bytes
from monitor.drift.detector import Detector, WindowFacts
from monitor.live import evidence
from monitor.live.episode_report import EpisodeSources, episode_report
from monitor.privacy import in_clear
from monitor.records import Baseline, Features, OutboxRecord, Verdict
from monitor.report.episode_data import EpisodeReport
from tests.drift import synthetic

START = 1_790_000_100.0
WINDOW = 300.0
SHIFT, CALM, END = 12, 20, 46


@dataclass(frozen=True, kw_only=True)
class Story:
    """What was judged, and all that it sends to MLflow, in order."""

    baseline: Baseline
    verdicts: tuple[Verdict, ...]
    records: tuple[OutboxRecord, ...]

    def while_open(self) -> tuple[OutboxRecord, ...]:
        """The records until just before the drift ends."""
        ended = next(index for index, record in enumerate(self.records) if "/closed/" in record.key)
        # The last window's own record comes before that of the end.
        return self.records[: ended - 1]


def story(*, seed: int = 3, quiet: dict[str, float] | None = None, **shift: float) -> Story:
    """``shift``: what ``draw_features`` takes, for the windows from ``SHIFT`` to ``CALM``."""
    rng = np.random.default_rng(seed)
    drawn = synthetic.draw_baseline(rng, 1000, **(quiet or {}))
    named = replace(drawn, identity=replace(drawn.identity, name="sentiment"), created=START - 3600)
    detector = synthetic.fit(named)
    verdicts: list[Verdict] = []
    records = [evidence.baseline_record(named, baseline_bytes(named))]
    for verdict, sent in _judged(detector, named, rng, shift):
        verdicts.append(verdict)
        records += [record for record in sent if record.kind != "notification"]
    return Story(baseline=named, verdicts=tuple(verdicts), records=tuple(records))


def _judged(
    detector: Detector, baseline: Baseline, rng: np.random.Generator, shift: dict[str, float]
) -> Iterator[tuple[Verdict, list[OutboxRecord]]]:
    state, before = detector.start(), None
    history: list[Verdict] = []
    during: list[Features] = []
    for index in range(END):
        changes = shift if SHIFT <= index < CALM else {}
        features = synthetic.draw_features(rng, 120, **changes)
        facts = WindowFacts(
            index=index, start=START + WINDOW * index, end=START + WINDOW * (index + 1), received=960
        )
        state, verdict = detector.judge(
            state,
            features,
            window=facts,
            probe=synthetic.reading(),
            declared=False,
            integrated=(),
            word_name=in_clear,
        )
        history.append(verdict)
        if verdict.alarm:
            during.append(features)
        told = verdict if verdict.alarm else before
        report = functools.partial(_report, told, baseline, during, history)
        yield verdict, evidence.verdict_records(verdict, before, features, baseline, report=report)
        before = verdict
        if verdict.cleared:
            return


def _report(
    told: Verdict, baseline: Baseline, during: list[Features], history: list[Verdict]
) -> EpisodeReport:
    newest = history[-1]
    return episode_report(
        EpisodeSources(
            verdict=told,
            baseline=baseline,
            during=Features.concatenate(during),
            made=newest.end,
            ended=None if newest.alarm else newest.end,
            reading=synthetic.reading(),
            history=history,
        )
    )
