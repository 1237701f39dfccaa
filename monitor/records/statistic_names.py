"""What people read for the statistics of a head: the one table of their names, for every page."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

NAMES: Mapping[str, str] = MappingProxyType(
    {
        "entropy": "spread of attention",
        "content_entropy": "spread over content words",
        "self": "on the token itself",
        "previous": "on the token before",
        "first": "on the first token",
        "separator": "on separators",
        "distance": "mean distance (even: 1)",
        "output_norm": "log size of its output",
        "readout_entropy": "spread at the read-out",
        "readout_special": "special tokens, at the read-out",
    }
)
"""Short, for tables and charts."""

PHRASES: Mapping[str, str] = MappingProxyType(
    {
        "entropy": "the spread of its attention",
        "content_entropy": "the spread of its attention over content words",
        "self": "attention on the token itself",
        "previous": "attention on the token before",
        "first": "attention on the first token",
        "separator": "attention on separators",
        "distance": "the mean distance of its attention",
        "output_norm": "the size of what it writes",
        "readout_entropy": "the spread of its attention at the read-out",
        "readout_special": "attention on special tokens at the read-out",
    }
)
"""The same within a sentence."""


def readable(statistic: str) -> str:
    """Its short name; that of a statistic from another version as it is.

    >>> readable("output_norm"), readable("of_a_later_version")
    ('log size of its output', 'of_a_later_version')
    """
    return NAMES.get(statistic, statistic)
