"""Windows before there is a baseline, until one stands."""

from __future__ import annotations

import logging

from monitor.analysis.heads.survey_sums import SurveySums
from monitor.baselines.file_format import baseline_bytes, save_baseline
from monitor.cycle.attributing import attribute_learnt
from monitor.cycle.state import Cycle
from monitor.live import evidence
from monitor.records import Features
from monitor.state.rows import WindowRow

log = logging.getLogger("headwatch.cycle")


def learn(cycle: Cycle, row: WindowRow, features: Features, survey: SurveySums) -> None:
    """Keep a window's features for the baseline; at the last one it is made and put in force."""
    cycle.learning.belong_to(cycle.context())
    have = cycle.learning.samples + len(features)
    summary = f"learning the baseline: {have} of {cycle.learning.wanted} samples"
    verdict = cycle.commit_unjudged(row, features, "learning", summary, keep_features=len(features) > 0)
    cycle.learning.add(features, survey)
    cycle.note(verdict)
    if cycle.learning.complete():
        _finish(cycle)


def _finish(cycle: Cycle) -> None:
    attribute_learnt(cycle)
    model = cycle.analyser.model
    baseline = cycle.learning.frozen(
        identity=model.identity,
        statistics=model.statistics,
        probe=cycle.model.probe(),
        integrated=cycle.words.learnt(cycle.context()),
    )
    record = evidence.baseline_record(baseline, baseline_bytes(baseline))
    cycle.store.add_outbox(cycle.wanted([record]))
    save_baseline(baseline, cycle.in_force.path)
    cycle.learning.forget()
    cycle.store.set_metas(cycle.words.over())
    cycle.in_force.adopt(baseline, model.identity, model.statistics)
    log.info("baseline %s stands: %d samples", baseline.version, len(baseline.features))
