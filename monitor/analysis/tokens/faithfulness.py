"""Do the tokens that a method ranks first carry the prediction? Tried by taking them out.

DeYoung et al. 2020, "ERASER: A Benchmark to Evaluate Rationalized NLP Models" (arXiv 1911.03429),
section 4.2. With m(x) the support for the prediction and r_k the first k tokens of the ranking:

    comprehensiveness = mean over k of m(x) - m(x without r_k)
    sufficiency       = mean over k of m(x) - m(r_k)

k runs over 1, 5, 10, 20 and 50 % of the content tokens, at least one; special tokens always stay.
The model is handed in as ``Effects``: what it says of each input with tokens taken out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.records import Faithfulness, Removal

BINS = (0.01, 0.05, 0.1, 0.2, 0.5)
TOPS = (1, 3, 5)
FEWEST_TOKENS = 2
Positions = frozenset[int]
NOTHING: Positions = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """The ``support`` for the original prediction, and the ``target`` that is predicted now, if any."""

    support: float
    target: int | None


Effects = Mapping[Positions, Effect]
"""By the positions that were taken out; ``NOTHING`` is the whole input."""


def ranking(values: NDArray[np.floating], content: Sequence[int]) -> tuple[int, ...]:
    """Content positions, the strongest support for the prediction first.

    >>> ranking(np.array([9.0, -2.0, 1.0, 3.0]), [1, 2, 3])
    (3, 2, 1)
    """
    return tuple(sorted(content, key=lambda position: -float(values[position])))


def removals(ranked: Sequence[int]) -> frozenset[Positions]:
    """Every set of positions whose removal ``faithfulness`` of this ranking asks about."""
    if len(ranked) < FEWEST_TOKENS:
        return frozenset()
    without = {frozenset(ranked[:k]) for k in (*_bins(ranked), *_tops(ranked))}
    alone = {frozenset(ranked[k:]) for k in _bins(ranked)}
    return frozenset({NOTHING} | without | alone)


def faithfulness(ranked: Sequence[int], effects: Effects) -> Faithfulness | None:
    """Comprehensiveness, sufficiency and what the first 1, 3 and 5 tokens are worth.

    None for fewer than two content tokens: what is left without one would be no input.
    """
    if len(ranked) < FEWEST_TOKENS:
        return None
    whole = effects[NOTHING]

    def drop(removed: Sequence[int]) -> float:
        return whole.support - effects[frozenset(removed)].support

    return Faithfulness(
        comprehensiveness=float(np.mean([drop(ranked[:k]) for k in _bins(ranked)])),
        sufficiency=float(np.mean([drop(ranked[k:]) for k in _bins(ranked)])),
        removals=tuple(
            Removal(
                tokens=k,
                drop=drop(ranked[:k]),
                flips=None if whole.target is None else effects[frozenset(ranked[:k])].target != whole.target,
            )
            for k in _tops(ranked)
        ),
    )


def _bins(ranked: Sequence[int]) -> list[int]:
    """How many tokens each bin has: one stays in, whatever the bin."""
    return [min(math.ceil(share * len(ranked)), len(ranked) - 1) for share in BINS]


def _tops(ranked: Sequence[int]) -> list[int]:
    return [count for count in TOPS if count < len(ranked)]
