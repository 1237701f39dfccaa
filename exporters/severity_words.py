"""What headwatch calls a severity, in the words that people's alert routing already uses."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

ALERT_SEVERITIES: Mapping[str, str] = MappingProxyType(
    {"page": "critical", "ticket": "warning", "note": "info"}
)
"""headwatch's word: the value of Prometheus' label ``severity``, the worst first."""


def alert_severity(severity: str | None) -> str:
    """The label's value for a verdict's severity; an alarm without one is worth a note.

    >>> alert_severity("page"), alert_severity(None)
    ('critical', 'info')
    """
    return ALERT_SEVERITIES[severity or "note"]
