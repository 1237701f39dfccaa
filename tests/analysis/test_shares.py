"""Which part of an attribution lies on watched words, punctuation and special tokens."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.analysis.tokens.agreement import agreement
from monitor.analysis.tokens.shares import occurrences, special_share, word_shares

WORDS = ["Dr", ".", "New", "York", "saw", "her", ",", "new", "."]
VALUES = [1.0, -0.5, 2.0, -1.0, 0.5, 3.0, 0.25, 1.0, 0.75]


def test_shares_are_of_the_summed_magnitude_of_all_words() -> None:
    shares = word_shares(WORDS, VALUES, {"places": [("new", "york")], "gender": [("she",), ("her",)]})
    assert shares == pytest.approx(
        {"punctuation": 1.5 / 10, "watched/places": 3 / 10, "watched/gender": 3 / 10}
    )


def test_a_list_of_which_no_word_occurs_has_no_share_rather_than_none() -> None:
    assert word_shares(WORDS, VALUES, {"absent": [("river",)]}) == {"punctuation": 0.15}
    assert word_shares([], [], {}) == {}
    assert word_shares(["a"], [0.0], {"a": [("a",)]}) == {}


def test_a_phrase_is_found_whole_and_a_word_counts_once_for_phrases_that_share_it() -> None:
    assert occurrences(WORDS, [("york", "new")]) == set()
    assert occurrences(["a", "b", "a", "b", "a"], [("a", "b", "a"), ("a",)]) == {0, 1, 2, 3, 4}
    assert occurrences(["a"], [("a", "b")]) == set()
    assert occurrences(["STRASSE", "Straße"], [("strasse",)]) == {0, 1}


def test_the_special_share_is_of_all_tokens() -> None:
    assert special_share(np.array([1.0, -3.0, 4.0], dtype=np.float32), [0, 1]) == pytest.approx(0.5)
    assert special_share(np.zeros(3, dtype=np.float32), [0]) == 0


def test_agreement_is_over_content_tokens_by_magnitude() -> None:
    found = agreement(np.array([0.0, 3.0, -2.0, 1.0]), np.array([99.0, -0.3, 0.2, 0.1]), [1, 2, 3])
    assert (found.spearman, found.overlap_at_5) == (1.0, 1.0)
