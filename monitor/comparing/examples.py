"""One input that both checkpoints read: where the heads that moved look in each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from monitor.comparing.comparison import Comparison
from monitor.reading.analyser import Analyser
from monitor.reading.whole_heads import read_heads
from monitor.records import HeadId, Sample
from monitor.report.html.head_view import HeadRow, HeadView

LONGEST = 40
SHORTEST = 6
EXAMPLES = 8
SHOWN_HEADS = 12

Views = Mapping[str, HeadView]


def read_examples(analyser: Analyser, samples: Sequence[Sample]) -> dict[str, HeadView]:
    """Every head over the first few samples of a length that a page can show, by the sample's id."""
    views: dict[str, HeadView] = {}
    encoded, _ = analyser.encode(samples)
    for index, row in encoded.items():
        if len(views) == EXAMPLES:
            break
        if SHORTEST <= len(row.ids) <= LONGEST or analyser.model.reads_images:
            view = read_heads(analyser, row, np.zeros(len(row.ids), dtype=np.float32), gradient=False)
            if view is not None:
                views[samples[index].id] = view
    return views


def side_by_side(found: Comparison, before: Views, after: Views) -> tuple[str, HeadView] | None:
    """The sample on which the heads that moved look elsewhere most, and those heads in both.

    None where no head moved, or no sample was of a length to show.
    """
    heads = [item.head for item in found.ranked[:SHOWN_HEADS]]
    shared = [name for name in before if name in after]
    if not heads or not shared:
        return None
    chosen = max(shared, key=lambda name: _distance(before[name], after[name], heads))
    one, other = before[chosen], after[chosen]
    rows = [_pair(one.rows[head.layer], other.rows[head.layer], head) for head in heads]
    view = replace(
        one,
        rows=tuple(rows),
        columns=("model", "candidate"),
        words=("Head", "Checkpoint"),
        together=True,
        start=(0, 0),
        notes=(),
    )
    return chosen, view


def _pair(one: HeadRow, other: HeadRow, head: HeadId) -> HeadRow:
    return replace(
        one,
        title=str(head),
        matrices=np.stack([row.matrices[head.head] for row in (one, other)]),
        heads=tuple(row.heads[head.head] for row in (one, other)),
    )


def _distance(one: HeadView, other: HeadView, heads: Sequence[HeadId]) -> float:
    """Mean over heads and queries of half the difference of the weights: the share that moved."""
    moved = [np.abs(_weights(one, head) - _weights(other, head)).sum(axis=-1).mean() / 2 for head in heads]
    return float(np.nan_to_num(np.mean(moved)))


def _weights(view: HeadView, head: HeadId) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.asarray((view.rows[head.layer].matrices[head.head] / 255.0) ** 2)
