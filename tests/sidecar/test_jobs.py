"""A job's runs, failures and times are kept, and its exception ends nothing."""

from __future__ import annotations

from itertools import count

from monitor.records import JobStatus
from monitor.sidecar.jobs import JobBook


def test_a_job_that_works_is_noted_with_its_duration() -> None:
    ticks = count(100.0, 2.0)
    book = JobBook(clock=lambda: next(ticks))
    book.run("profile", lambda: None)
    expected = JobStatus(runs=1, last_duration=2.0, total_duration=2.0, last_success=102.0)
    assert book.status() == {"profile": expected}


def test_a_job_that_fails_is_counted_and_keeps_its_last_success() -> None:
    ticks = count(100.0, 2.0)
    book = JobBook(clock=lambda: next(ticks))

    def fail() -> None:
        raise ValueError("no such thing")

    book.run("probe", lambda: None)
    book.run("probe", fail)
    expected = JobStatus(runs=2, failures=1, last_duration=2.0, total_duration=4.0, last_success=102.0)
    assert book.status()["probe"] == expected


def test_a_skipped_run_is_no_run() -> None:
    book = JobBook(clock=lambda: 0.0)
    book.skipped("export")
    assert book.status()["export"] == JobStatus(skipped=1)
