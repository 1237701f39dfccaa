"""What the last attributed subsample told, as points: the names of its figures taken apart into labels."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TypeAlias

Point: TypeAlias = tuple[str, tuple[str, ...], float]
"""A metric's short name, its label values, its value."""

# Figures whose whole name is one metric's.
_PLAIN: Mapping[str, str] = {
    "samples": "attribution_samples",
    "unconverged_share": "attribution_unconverged_ratio",
    "top_3_flips": "attribution_flips_ratio",
}
# Figures that a pattern takes apart: its groups are the labels after the model, in order.
_PARTS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("attribution_agreement", re.compile("(?P<method>.*?)_?(?P<measure>spearman|overlap_at_5)")),
    (
        "attribution_faithfulness",
        re.compile("(?P<method>.+)_(?P<measure>comprehensiveness|sufficiency)"),
    ),
    ("watch_list_share_ratio", re.compile("share_watched_(?P<watch_list>.+)")),
    ("watch_list_seen_ratio", re.compile("seen_watched_(?P<watch_list>.+)")),
    ("attribution_share_ratio", re.compile("share_(?P<part>.+)")),
    ("heads_leading", re.compile("heads_(?P<role>.+)")),
)
# The agreement with rollout was the first there was, and its figures have no method in their names.
FIRST_METHOD = "rollout"


def attribution_points(model: str, figures: Mapping[str, float]) -> Iterator[Point]:
    """A point for each figure that charts show; the others are left to MLflow.

    >>> list(attribution_points("m", {"spearman": 0.5, "head_clusters": 7.0}))
    [('attribution_agreement', ('m', 'rollout', 'spearman'), 0.5)]
    """
    for name, value in figures.items():
        if name in _PLAIN:
            yield _PLAIN[name], (model,), value
            continue
        for metric, pattern in _PARTS:
            found = pattern.fullmatch(name)
            if found is not None:
                yield metric, (model, *(group or FIRST_METHOD for group in found.groups())), value
                break
