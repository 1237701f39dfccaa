"""Windows with too few samples wait and are joined to the next; near-identical requests are thinned.

What waits is kept in the state, for a day at most: text may not lie longer anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from monitor.drift.evidence import temper
from monitor.drift.repeats import thin
from monitor.drift.state import DetectorState
from monitor.drift.stream import Heard
from monitor.records import Features

LONGEST = 86400.0


def gather(
    state: DetectorState,
    features: Features,
    integrated: Sequence[Sequence[str]],
    *,
    window: int,
    end: float,
    minimum: int,
    largest: float,
) -> tuple[DetectorState, Heard | None]:
    """What is there to be judged: this window and what waited, thinned; None below ``minimum``.

    ``end`` of the window in seconds; ``largest``: see ``repeats.thin``.
    """
    joined, words = features, tuple(sorted(tuple(item) for item in integrated))
    if state.waiting is not None:
        recent = np.flatnonzero(state.waiting.times > end - LONGEST)
        if len(recent):
            joined = Features.concatenate([state.waiting.take(recent), features])
            words = (*state.waiting_words, *words)
    joined = joined.in_order()
    kept = thin(joined.words, largest)
    chosen = joined.take(kept.rows)
    if len(chosen) < minimum:
        waiting = chosen if len(chosen) else None
        return replace(state, waiting=waiting, waiting_words=words if waiting else ()), None
    heard = Heard(
        index=window,
        features=chosen,
        words=(chosen.words, [top for top in chosen.top_words if top], words),
        power=temper(len(chosen)) * kept.power,
    )
    return replace(state, waiting=None, waiting_words=()), heard
