"""What is known of each scheduled job: runs, failures, how long, when it last worked."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Callable, Mapping

from monitor.errors import HeadwatchError
from monitor.records import JobStatus

log = logging.getLogger("headwatch.jobs")


class JobBook:
    """Runs jobs and keeps their record; a job's exception is logged and counted, never raised."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._status: dict[str, JobStatus] = {}

    def run(self, name: str, job: Callable[[], None]) -> None:
        """Run ``job`` in this thread and note how it went."""
        started = self._clock()
        try:
            job()
        except Exception as error:
            if isinstance(error, HeadwatchError):
                # Its message says what to change; a traceback would bury it.
                log.error("job %s failed; it runs again at its next time: %s", name, error)
            else:
                log.exception("job %s failed; it runs again at its next time", name)
            self._note(name, runs=1, failures=1, last_duration=self._clock() - started)
        else:
            now = self._clock()
            self._note(name, runs=1, last_duration=now - started, last_success=now)

    def skipped(self, name: str) -> None:
        """The scheduler left a run out because the one before was still going."""
        self._note(name, skipped=1)

    def status(self) -> Mapping[str, JobStatus]:
        """A copy of the record of every job that ran or was skipped."""
        with self._lock:
            return dict(self._status)

    def _note(self, name: str, **change: float) -> None:
        with self._lock:
            before = self._status.get(name, JobStatus())
            counts = {
                key: getattr(before, key) + change.pop(key, 0) for key in ("runs", "failures", "skipped")
            }
            total = before.total_duration + change.get("last_duration", 0.0)
            self._status[name] = dataclasses.replace(
                before,
                **counts,
                **change,  # type: ignore[arg-type]
                total_duration=total,
            )
