"""How surprising a sample's words are: one number that a strange language or subject moves at once.

surprisal(sample) = mean over its distinct words of -ln((c + 1/2) / (N + 1)), c of N baseline
requests having the word (Krichevsky & Trofimov 1981, the add-half estimate). A baseline sample is
left out of its own counts (c - 1 of N - 1), and so are its exact copies, so that its value is as fair
as a new sample's.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray


def surprisal(
    samples: Sequence[Sequence[str]], counts: Callable[[str], int], requests: int, *, own: bool = False
) -> NDArray[np.float32]:
    """Surprisal (sample,) in nats; 0 without words. ``own``: the samples are part of the counts.

    >>> round(float(surprisal([("a", "b")], {"a": 3, "b": 0}.__getitem__, 3)[0]), 3)
    1.106
    """
    bags = [frozenset(words) for words in samples]
    copies = Counter(bags) if own else {}
    known: dict[tuple[str, int], float] = {}
    found = np.zeros(len(samples), dtype=np.float32)
    for index, (words, bag) in enumerate(zip(samples, bags, strict=True)):
        left_out = copies.get(bag, 0)
        logs = []
        for word in dict.fromkeys(words):
            key = (word, left_out)
            if key not in known:
                seen = max(counts(word) - left_out, 0)
                known[key] = math.log(requests + 1 - left_out) - math.log(seen + 0.5)
            logs.append(known[key])
        if logs:
            found[index] = math.fsum(logs) / len(logs)
    return found
