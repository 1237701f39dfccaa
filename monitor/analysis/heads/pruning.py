"""Heads that a model could do without, each with the evidence for it.

Importance: Michel, Levy & Neubig 2019 (arXiv 1905.10650). Redundancy: two heads of a layer that
attend alike (Clark et al. 2019). A candidate is a suspicion: equal attention over unequal values is
two heads, and heads that stand in for each other are unimportant only one at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.records import HeadId

DEAD_SHARE = 0.5
UNIMPORTANT = 0.1
ALIKE = 0.05
Heads = NDArray[np.floating]


@dataclass(frozen=True, slots=True, kw_only=True)
class PruningCandidate:
    """``importance``: over the median head's; ``dead``: share of queries at which it writes next to
    nothing; ``twin``: the head of its layer that attends most alike, ``distance`` bits away.
    ``reasons``: ``dead``, ``unimportant``, ``redundant``.
    """

    head: HeadId
    importance: float | None
    dead: float | None
    twin: HeadId | None
    distance: float | None
    reasons: tuple[str, ...]


def pruning_candidates(
    *, importance: Heads | None, dead: Heads | None, distances: NDArray[np.floating] | None, heads: int
) -> list[PruningCandidate]:
    """Dead, unimportant and redundant heads, those with most reasons first, then by importance.

    importance, dead (layer, head); distances (layer x head, layer x head), layer 0's heads first;
    each None where it was not measured. A head is dead where it writes next to nothing for half of
    the queries, unimportant below a tenth of the median head's importance, redundant within .05
    bits of a twin that is at least as important.
    """
    known = next(given for given in (importance, dead, distances) if given is not None)
    layers = len(known) if known is not distances else len(known) // heads
    relative = None if importance is None else _relative(importance)
    found = []
    for layer in range(layers):
        for head in range(heads):
            twin, distance = _twin(distances, layer, head, heads)
            reasons = []
            if dead is not None and dead[layer, head] >= DEAD_SHARE:
                reasons.append("dead")
            if relative is not None and relative[layer, head] < UNIMPORTANT:
                reasons.append("unimportant")
            alike = distance is not None and distance <= ALIKE
            if alike and twin is not None and _goes_first(relative, layer, head, twin):
                reasons.append("redundant")
            if reasons:
                found.append(
                    PruningCandidate(
                        head=HeadId(layer=layer, head=head),
                        importance=None if relative is None else float(relative[layer, head]),
                        dead=None if dead is None else float(dead[layer, head]),
                        twin=None if twin is None else HeadId(layer=layer, head=twin),
                        distance=distance,
                        reasons=tuple(reasons),
                    )
                )
    return sorted(found, key=lambda item: (-len(item.reasons), item.importance or 0.0, item.head))


def _relative(importance: Heads) -> NDArray[np.float64]:
    median = float(np.median(importance))
    return np.asarray(importance, dtype=np.float64) / median if median > 0 else np.ones(importance.shape)


def _twin(
    distances: NDArray[np.floating] | None, layer: int, head: int, heads: int
) -> tuple[int | None, float | None]:
    if distances is None or heads < 2:
        return None, None
    own = distances[layer * heads + head, layer * heads : (layer + 1) * heads].astype(np.float64)
    own[head] = np.inf
    twin = int(own.argmin())
    return twin, float(own[twin])


def _goes_first(relative: NDArray[np.float64] | None, layer: int, head: int, twin: int) -> bool:
    """Of two alike the less important one is the candidate; without importance, the later one."""
    if relative is None or relative[layer, head] == relative[layer, twin]:
        return head > twin
    return bool(relative[layer, head] < relative[layer, twin])
