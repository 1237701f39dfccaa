"""How surprising a sample's words are: one number that a strange language or subject moves at once.

surprisal(sample) = mean over its distinct words of -ln((c + 1/2) / (n + 1)), c of n baseline
requests having the word (Krichevsky & Trofimov 1981, the add-half estimate).

Two folds, as for the charts (``novelty``): the counts are kept for the baseline's even and odd time
blocks apart, its own samples are scored by the half that they are not in, and new ones by the two in
turn. So a request that comes again and again is as familiar among the baseline's own samples as it
is among new ones, and copies that come together do not make each other familiar.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Halves = tuple[int, int]


def surprisal(
    samples: Sequence[Sequence[str]],
    counts: Callable[[str], Halves],
    requests: Halves,
    half: NDArray[np.integer],
) -> NDArray[np.float32]:
    """Surprisal (sample,) in nats by the ``half`` (sample,) of the baseline that is to judge it.

    ``counts`` of a word and ``requests`` are those of the two halves; a sample without words gets 0.

    >>> counts = {"a": (3, 0), "b": (0, 0)}
    >>> surprisal([("a", "b"), ("a",)], counts.__getitem__, (3, 3), np.array([0, 1])).round(3).tolist()
    [1.1059999465942383, 2.0789999961853027]
    """
    known: dict[tuple[str, int], float] = {}
    found = np.zeros(len(samples), dtype=np.float32)
    for index, (words, judge) in enumerate(zip(samples, half.tolist(), strict=True)):
        logs = []
        for word in dict.fromkeys(words):
            key = (word, judge)
            if key not in known:
                known[key] = math.log(requests[judge] + 1) - math.log(counts(word)[judge] + 0.5)
            logs.append(known[key])
        if logs:
            found[index] = math.fsum(logs) / len(logs)
    return found
