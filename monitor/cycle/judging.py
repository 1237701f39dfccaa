"""Profiled windows to verdicts, one commit each."""

from __future__ import annotations

import json
import logging
from dataclasses import replace

import numpy as np

from monitor.analysis.heads.survey_sums import SurveySums
from monitor.cycle.learning import learn
from monitor.cycle.state import Cycle
from monitor.drift.detector import WindowFacts
from monitor.judging import Given, judge_given
from monitor.live import evidence
from monitor.live.window_figures import window_figures
from monitor.records import Features
from monitor.state.rows import WindowRow

log = logging.getLogger("headwatch.cycle")

# Quiet windows whose attributions may yet belong to an alarm: its evidence began to rise in them.
RISING = 12


def judge_waiting(cycle: Cycle) -> None:
    """Judge profiled windows in order; one commit each."""
    for row in cycle.store.windows("profiled"):
        if cycle.should_stop():
            return
        arrays = evidence.load_npz(cycle.store.load_features(row.index))
        features, survey = Features.from_arrays(arrays), SurveySums.from_arrays(arrays)
        if str(arrays["context"]) != cycle.context():
            _pass_over(cycle, row, features)
        elif cycle.baseline is None:
            learn(cycle, row, features, survey)
        else:
            _judge(cycle, row, features, survey)
        cycle.profile = features.profile.mean(axis=0) if len(features) else None
        differs = features.fidelity[:, 0] if len(features) else np.zeros(0)
        known = np.isfinite(differs)
        cycle.fidelity = 1 - float(differs[known].mean()) if known.any() else float("nan")


def _judge(cycle: Cycle, row: WindowRow, features: Features, survey: SurveySums) -> None:
    force = cycle.in_force
    assert force.detector is not None
    assert force.state is not None
    if cycle.model.reading is None:
        cycle.model.probe()
    given = Given(
        features=features,
        facts=WindowFacts(index=row.index, start=row.start, end=row.last_moment, received=row.received),
        probe=cycle.model.reading,
        declared=cycle.rollout_declared,
        integrated=cycle.words.waiting(cycle.context()),
    )
    # Window numbers start anew with a new state file; episodes of the same baseline must not.
    state, verdict = judge_given(
        force.detector, force.state, given, word_name=cycle.privacy.name, stream=cycle.state_id
    )
    # The detector has the name that its baseline was made under, which may be a former one.
    verdict = replace(verdict, model=cycle.analyser.model.identity.name)
    made = cycle.reporter.of_window(cycle.episode(), verdict, features, survey)
    records = evidence.verdict_records(
        verdict, cycle.verdict, features, force.detector.baseline, report=made.report
    )
    cycle.store.commit_verdict(
        row.index,
        json.dumps(verdict.to_json()),
        model_key=force.model_key,
        detector_state=evidence.npz(state.to_arrays()),
        outbox=cycle.wanted(records),
        keep_features=False,
        episode=cycle.standing.pack(features, cycle.context(), survey) if verdict.alarm else None,
        episode_over=not verdict.alarm,
        meta={**cycle.words.judged(cycle.context(), alarm=verdict.alarm), **made.to_keep()},
    )
    force.state = state
    if verdict.alarm:
        cycle.standing.add(row.index, features)
    else:
        cycle.standing.forget()
        cycle.reporter.forget(before=row.index - RISING)
    baseline = force.detector.baseline
    cycle.figures = window_figures(features, baseline, cycle.privacy.name) if len(features) else None
    cycle.note(verdict)


def _pass_over(cycle: Cycle, row: WindowRow, features: Features) -> None:
    """Model or baseline changed between profile and verdict: nothing fair can be said."""
    summary = "Not judged: the model or its baseline changed after this window was profiled."
    verdict = cycle.commit_unjudged(row, features, "too_few_samples", summary, keep_features=False)
    log.warning("window %d: %s", row.index, summary)
    cycle.windows[verdict.state] += 1
