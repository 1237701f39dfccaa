"""What people read for statistics of heads and measures of channels: the one table of their names."""

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


MEASURES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "rollout": {
            "entropy": "spread of the attention flow",
            "special_mass": "attention flow from special tokens",
            "reach": "reach of the attention flow",
        },
        "input": {
            "log_tokens": "input length (log tokens)",
            "unknown_share": "share of unknown tokens",
            "truncated": "share of inputs cut to the model's limit",
            "special_tokens": "special tokens per input",
            "tokens_per_word": "tokens per word",
            "uppercase_share": "share of capital letters",
            "punctuation_share": "share of punctuation",
            "surprisal": "surprise of the words",
        },
        "prediction": {
            "top_probability": "confidence of the predictions",
            "entropy": "entropy of the predictions",
        },
        "fidelity": {
            "label_differs": "share of answers with another label",
            "probability_gap": "share of answers with a far other probability",
        },
    }
)
"""Channel -> measure -> its name. Measures that a model's labels name (``probability of X``) have none."""


def measured(channel: str, measure: str) -> str:
    """The name of a channel's measure; without one as it is.

    >>> measured("input", "surprisal"), measured("prediction", "probability of positive")
    ('surprise of the words', 'probability of positive')
    """
    return MEASURES.get(channel, {}).get(measure, measure)


def readable(statistic: str) -> str:
    """Its short name; that of a statistic from another version as it is.

    >>> readable("output_norm"), readable("of_a_later_version")
    ('log size of its output', 'of_a_later_version')
    """
    return NAMES.get(statistic, statistic)
