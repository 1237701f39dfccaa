"""What a failed job leaves in the log: what to change in one line, or the traceback of a fault."""

from __future__ import annotations

from monitor.errors import ModelError
from monitor.sidecar.jobs import JobBook


def test_an_error_that_says_what_to_change_is_logged_without_its_traceback(caplog):
    def fail() -> None:
        raise ModelError("model.source = /m: cannot be read (Permission denied)")

    JobBook(clock=lambda: 0.0).run("profile", fail)
    (record,) = caplog.records
    assert record.getMessage() == (
        "job profile failed; it runs again at its next time: "
        "model.source = /m: cannot be read (Permission denied)"
    )
    assert record.exc_info is None


def test_a_fault_of_headwatch_is_logged_with_its_traceback(caplog):
    def fail() -> None:
        raise ValueError("no such thing")

    JobBook(clock=lambda: 0.0).run("profile", fail)
    (record,) = caplog.records
    assert record.getMessage() == "job profile failed; it runs again at its next time"
    assert "ValueError: no such thing" in caplog.text
