"""Which part of an attribution lies on words that somebody watches, on punctuation, on special tokens."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Phrases = Sequence[tuple[str, ...]]
"""Words or runs of words, cut into words as the watched texts are."""
PUNCTUATION, SPECIAL, WATCHED = "punctuation", "special", "watched/"


def word_shares(
    words: Sequence[str], values: Sequence[float], lists: Mapping[str, Phrases]
) -> dict[str, float]:
    """Of the summed magnitude of all words, what lies on punctuation and on each watch list.

    A list is left out for an input that has none of its words; nothing is given where all values
    are 0. A word counts once for a list, however many of its phrases it is part of.

    >>> word_shares(["he", "ran", "!"], [2.0, -1.0, 1.0], {"gender": [("he",), ("she",)]})
    {'punctuation': 0.25, 'watched/gender': 0.5}
    """
    magnitude = np.abs(np.asarray(values, dtype=np.float64))
    total = float(magnitude.sum())
    if total <= 0:
        return {}
    marks = [place for place, word in enumerate(words) if is_punctuation(word)]
    shares = {PUNCTUATION: float(magnitude[marks].sum()) / total}
    for name, phrases in lists.items():
        places = sorted(occurrences(words, phrases))
        if places:
            shares[f"{WATCHED}{name}"] = float(magnitude[places].sum()) / total
    return shares


def special_share(values: NDArray[np.floating], special: Sequence[int]) -> float:
    """Of the summed magnitude of all tokens, what lies on special ones; 0 where all values are 0.

    >>> special_share(np.array([1.0, -2.0, 1.0]), [0, 2])
    0.5
    """
    magnitude = np.abs(values.astype(np.float64))
    total = float(magnitude.sum())
    return float(magnitude[list(special)].sum()) / total if total > 0 else 0.0


def occurrences(words: Sequence[str], phrases: Phrases) -> set[int]:
    """Where in ``words`` a phrase stands, whatever the case; all positions of longer phrases.

    >>> sorted(occurrences(["New", "York", "is", "new"], [("new", "york")]))
    [0, 1]
    """
    folded = [word.casefold() for word in words]
    places: set[int] = set()
    for phrase in phrases:
        wanted, length = [word.casefold() for word in phrase], len(phrase)
        for start in range(len(folded) - length + 1):
            if length and folded[start : start + length] == wanted:
                places.update(range(start, start + length))
    return places


def is_punctuation(word: str) -> bool:
    """Whether a word is made of punctuation and symbols alone.

    >>> [is_punctuation(word) for word in ("...", "e-mail", "")]
    [True, False, False]
    """
    return bool(word) and all(unicodedata.category(letter)[0] in "PS" for letter in word)
