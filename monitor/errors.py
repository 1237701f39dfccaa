"""Every error that headwatch raises on purpose.

HeadwatchError
├── ConfigError        the YAML file or the environment says something that cannot be done
├── ModelError         the model cannot be loaded, or has no attention that can be read
├── InputError         a file that a command was given cannot be read
├── PayloadError       one request or log line that is no sample (carries a drop reason)
├── BaselineError      a baseline file of another schema, model or content
├── StateError         the state file is locked, damaged or of another schema
├── ExportError        a sink did not take a record (it stays in the outbox)
└── SidecarError       no running sidecar answers at the address that was given

Messages read ``key = value: requirement; remedy`` and name what the user can change.
"""

from __future__ import annotations


class HeadwatchError(Exception):
    """Base of all; the command line prints its message without a traceback."""

    exit_code = 1


class ConfigError(HeadwatchError):
    """The configuration cannot be used."""

    exit_code = 2


class ModelError(HeadwatchError):
    """The model cannot be loaded or watched."""

    exit_code = 3


class InputError(HeadwatchError):
    """An input file cannot be read."""

    exit_code = 4


class PayloadError(HeadwatchError):
    """A payload that is no sample; ``reason`` is the label under which it is counted."""

    exit_code = 4

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class BaselineError(HeadwatchError):
    """A baseline that does not fit this version or this model."""

    exit_code = 5


class StateError(HeadwatchError):
    """The state file cannot be used."""

    exit_code = 6


class ExportError(HeadwatchError):
    """A sink refused or could not be reached; the record is kept and tried again."""

    exit_code = 7


class SidecarError(HeadwatchError):
    """No running sidecar answered, so nothing is known of its model."""

    exit_code = 13
