"""The jobs of the schedule, one function each; all that touch the model run on one thread."""

from __future__ import annotations

import logging

from monitor.cycle.answering import answer
from monitor.cycle.attributing import attribute_window, waiting
from monitor.cycle.following import follow_model
from monitor.cycle.judging import judge_waiting
from monitor.cycle.profiling import give_up_surplus, profile_window
from monitor.cycle.state import Cycle

log = logging.getLogger("headwatch.cycle")


def run_profile(cycle: Cycle) -> None:
    """Replay the samples of closed windows, keep their features, drop their text."""
    cycle.store.close_due_window()
    give_up_surplus(cycle)
    follow_model(cycle)
    for row in cycle.store.windows("closed"):
        # What was profiled before is judged first: it may be what this window is judged by.
        judge_waiting(cycle)
        if cycle.should_stop() or not profile_window(cycle, row):
            return


def run_evaluation(cycle: Cycle) -> None:
    """Judge profiled windows, then do what a user has asked for meanwhile."""
    judge_waiting(cycle)
    answer(cycle)


def run_probe(cycle: Cycle) -> None:
    """Re-run the fixed inputs: does the model itself still do what it did?"""
    follow_model(cycle)
    cycle.model.probe()


def run_attribution(cycle: Cycle) -> None:
    """Integrated Gradients of the newest window that waits; older ones are released unseen.

    One window a run, so that profiles never wait long for the thread; the text goes with it.
    """
    cycle.expire()
    due = waiting(cycle)
    for index in sorted(due)[:-1]:
        cycle.store.commit_attribution(index, outbox=())
    if not due:
        return
    attribute_window(cycle, max(due), due[max(due)])


def run_maintenance(cycle: Cycle) -> None:
    """Overwrite text that has waited too long, shrink the write-ahead log."""
    report = cycle.store.maintain()
    if report.texts_expired:
        cycle.dropped["expired"] += report.texts_expired
    log.info("maintenance: %s", report)
