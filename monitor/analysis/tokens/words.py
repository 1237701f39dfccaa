"""Values of tokens merged to values of words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Spans = Sequence[tuple[str, Sequence[int]]]
"""Each word's text and the positions of its tokens."""


def word_sums(words: Spans, values: NDArray[np.floating]) -> tuple[float, ...]:
    """Each word's sum over its tokens.

    >>> word_sums([("head", [1, 2]), ("!", [3])], np.array([9.0, 1.0, 2.0, 4.0]))
    (3.0, 4.0)
    """
    return tuple(float(values[list(tokens)].sum()) for _, tokens in words)


def largest_words(words: Spans, values: NDArray[np.floating], top: int) -> tuple[str, ...]:
    """The ``top`` distinct words whose tokens' values have the largest absolute sum, largest first."""
    sums = word_sums(words, values)
    order = sorted(range(len(words)), key=lambda i: -abs(sums[i]))
    return tuple(dict.fromkeys(words[i][0] for i in order))[:top]
