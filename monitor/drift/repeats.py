"""Near-identical requests within a window: bursts are thinned, what stays is weighed.

Two requests are near-identical when their distinct words overlap by at least .8 (Jaccard 1912) on the
words that fewer than half of the window has (a shared prompt template makes nobody a copy), or, with
fewer than three such words, when all their words are the same. Groups are the connected components.

A group keeps at most max(2, q n) of its n-window's samples, q being the largest share of a group in
any time block of the baseline: popular requests are life, a burst beyond them is one client.
Kish's effective size of what is kept, n' = (sum m)^2 / sum m^2 over groups of size m, says what the
window is worth: its product of bets is raised to n' / n, which makes it fair to second order in the
stakes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

ALIKE = 0.8
FEWEST_WORDS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Thinned:
    """The ``rows`` that are kept, in order, and the ``power`` (0, 1] that each of them is worth."""

    rows: NDArray[np.intp]
    power: float


def groups(samples: Sequence[Sequence[str]]) -> NDArray[np.intp]:
    """The group (sample,) of each sample's words; samples without words are all on their own."""
    size = len(samples)
    present = Counter(word for words in samples for word in dict.fromkeys(words))
    columns = {word: index for index, word in enumerate(present)}
    telling = [[w for w in dict.fromkeys(words) if 2 * present[w] < size] for words in samples]
    enough = np.array([len(words) >= FEWEST_WORDS for words in telling], dtype=np.bool_)
    pointers = np.cumsum([0, *map(len, telling)])
    indices = np.array([columns[word] for words in telling for word in words], dtype=np.int32)
    incidence = csr_array(
        (np.ones(len(indices), dtype=np.float32), indices, pointers), shape=(size, len(columns))
    )
    shared = (incidence @ incidence.T).tocoo()
    lengths = np.diff(pointers)
    one, two = shared.row, shared.col
    union = lengths[one] + lengths[two] - shared.data
    alike = (shared.data >= ALIKE * union) & enough[one] & enough[two] & (one < two)
    links = [*zip(one[alike].tolist(), two[alike].tolist(), strict=True)]
    first: dict[tuple[str, ...], int] = {}
    for index, words in enumerate(samples):
        if words and not enough[index]:
            links.append((first.setdefault(tuple(sorted(set(words))), index), index))
    graph = csr_array(
        (np.ones(len(links)), tuple(np.array(links, dtype=np.int32).reshape(-1, 2).T)), shape=(size, size)
    )
    found: NDArray[np.intp] = connected_components(graph, directed=False)[1]
    return found


def largest_share(samples: Sequence[Sequence[str]], blocks: NDArray[np.intp]) -> float:
    """The largest share that one group has of a block's samples; ``blocks`` (sample,)."""
    largest = 0.0
    for block in np.unique(blocks):
        rows = np.flatnonzero(blocks == block)
        sizes = np.bincount(groups([samples[int(row)] for row in rows]))
        largest = max(largest, float(sizes.max()) / len(rows))
    return largest


def thin(samples: Sequence[Sequence[str]], largest: float) -> Thinned:
    """Which samples of a window to keep, given the baseline's ``largest`` share of one group.

    >>> thin([("buy", "now", "cheap")] * 5 + [("a", "fine", "film"), ("so", "dull", "indeed")], 0.01).rows
    array([0, 1, 5, 6])
    """
    if not samples:
        return Thinned(rows=np.zeros(0, dtype=np.intp), power=1.0)
    group = groups(samples)
    most = max(2, int(np.ceil(largest * len(samples))))
    seen: Counter[int] = Counter()
    kept = []
    for row, own in enumerate(group.tolist()):
        if seen[own] < most:
            seen[own] += 1
            kept.append(row)
    sizes = np.array(list(seen.values()), dtype=np.float64)
    power = 1.0 if (sizes == 1).all() else float(sizes.sum() / (sizes**2).sum())
    return Thinned(rows=np.array(kept, dtype=np.intp), power=power)
