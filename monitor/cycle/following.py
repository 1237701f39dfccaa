"""The model and its revision followed: other files, another declared revision."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Sequence

from monitor.cycle.judging import judge_waiting
from monitor.cycle.state import Cycle
from monitor.errors import HeadwatchError
from monitor.live import evidence
from monitor.records import Sample

log = logging.getLogger("headwatch.cycle")

# The share of a window's declared revisions at which the new one is taken to be rolled out.
ROLLED_OUT = 0.9


def follow_model(cycle: Cycle) -> None:
    """Load the model anew when its files changed; what waits is judged under the old one first.

    While the new files cannot be loaded or compared, nothing is judged: that must not look quiet.
    """
    judge_waiting(cycle)
    try:
        cycle.model.follow()
        cycle.in_force.check_fits(cycle.analyser.model.identity, cycle.analyser.model.statistics)
    except HeadwatchError as error:
        cycle.trouble = str(error)
        raise
    cycle.trouble = ""


def follow_revision(cycle: Cycle, samples: Sequence[Sample]) -> None:
    """A revision that the traffic declares brings its own baseline; changing to it is no drift.

    While a window declares several, the rollout is under way and a changed model pages nobody.
    """
    declared = Counter(sample.revision for sample in samples if sample.revision)
    if not declared:
        cycle.rollout_declared = False
        return
    newest, count = declared.most_common(1)[0]
    before = cycle.in_force.revision
    if before == "":
        log.info("revision %s is taken for the one that the baseline was made under", newest)
        cycle.in_force.declare(newest)
    elif newest != before and count >= ROLLED_OUT * declared.total():
        log.warning("revision %s was declared after %s: it gets its own baseline", newest, before)
        _close_episode(cycle, newest)
        cycle.in_force.drop_waiting(before=math.inf)
        cycle.learning.forget()
        cycle.in_force.declare(newest)
        cycle.take_up()
    cycle.rollout_declared = any(revision != cycle.in_force.revision for revision in declared)


def _close_episode(cycle: Cycle, revision: str) -> None:
    """An open episode ends with the baseline that it was found against."""
    if cycle.verdict is None or not cycle.verdict.alarm:
        return
    summary = f"Revision {revision} was declared; this episode ends with the former one's baseline."
    last = cycle.reporter.of_end(cycle.episode, "superseded")
    records = evidence.closing_records(cycle.verdict, summary, outcome="superseded", report=last.report())
    cycle.store.close_episode(outbox=cycle.wanted(records), meta={**cycle.words.over(), **last.to_keep()})
    cycle.standing.forget()
    cycle.verdict = None
