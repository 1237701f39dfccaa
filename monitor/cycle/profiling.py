"""A closed window replayed: features and words in, text out, one commit."""

from __future__ import annotations

import logging

import numpy as np

from monitor.analysis.heads.survey_sums import SurveySums, survey_for_report
from monitor.cycle.following import follow_revision
from monitor.cycle.state import Cycle
from monitor.live import evidence
from monitor.reading.stacking import stack
from monitor.sampling import subsample
from monitor.state.rows import WindowRow

log = logging.getLogger("headwatch.cycle")

# Closed windows that may wait for the model; past that the oldest is given up and counted. It bounds
# the disk under lasting overload; a backlog after an outage or a crash must stay well below it.
MOST_WAITING = 500


def profile_window(cycle: Cycle, row: WindowRow) -> bool:
    """Whether the window was profiled to its end."""
    samples = cycle.store.window_samples(row.index)
    follow_revision(cycle, samples)
    learning = cycle.baseline is None
    if learning:
        samples = subsample(samples, cycle.learning.quota())
    survey = survey_for_report(cycle.config.analysis.scheduled)
    analysed = cycle.analyser.profile(
        samples,
        gradient=cycle.config.analysis.gradient_attribution,
        should_stop=cycle.should_stop,
        survey=survey,
    )
    if not analysed.complete:
        return False
    for sample, reason in analysed.refused:
        cycle.dropped["unreadable"] += 1
        log.info("sample %s cannot be analysed: %s", sample, reason)
    features = stack(analysed.analyses, like=cycle.analyser.model)
    stored = cycle.learning.without_clear_words(features) if learning else features
    chosen = subsample(samples, cycle.config.analysis.attribution.samples)
    cycle.store.store_features(
        row.index,
        evidence.npz(
            {
                **stored.to_arrays(),
                **({} if survey is None else SurveySums.of(survey).to_arrays()),
                "context": np.array(cycle.context()),
            }
        ),
        attribution_ids=[sample.id for sample in chosen],
    )
    if learning:
        cycle.learning.note_words(features)
    return True


def give_up_surplus(cycle: Cycle) -> None:
    """Under lasting overload the oldest windows go, counted, so that the newest are judged."""
    waiting = cycle.store.windows("closed")
    for row in waiting[: max(0, len(waiting) - MOST_WAITING)]:
        cycle.dropped["overload"] += cycle.store.give_up(row.index)
