from __future__ import annotations

from collections import Counter

import numpy as np

from monitor.drift.arrays import part
from monitor.drift.tokens import WordState, count_words, fit_words
from monitor.privacy import WordPrivacy, in_clear
from monitor.records import WordCount

COUNTS = {"film": WordCount(present=600, top=300), "dull": WordCount(present=40, top=20)}


def counted(present, samples, top=None, attributed=0):
    return [(Counter(present), samples), (Counter(top or {}), attributed)]


def bets(**changes):
    return fit_words(COUNTS, **{"requests": 2000, "attributed": 2000, **changes})


def test_a_new_word_in_a_tenth_of_the_inputs_is_found_at_once_and_counted():
    words = bets()
    state = words.step(words.fresh(), counted({"film": 60, "cucumber": 20}, 200), in_clear, 0)
    assert [(row.name, row.lost) for row in state.rows] == [("cucumber", False)]
    assert words.evidence(state) > 15
    assert state.seen.tolist() == [20.0]


def test_words_at_their_usual_rate_gather_no_evidence():
    rng = np.random.default_rng(0)
    words = bets()
    state = words.fresh()
    for window in range(300):
        present = {"film": int(rng.binomial(200, 0.3)), "dull": int(rng.binomial(200, 0.02))}
        state = words.step(state, counted(present, 200), in_clear, window)
        assert words.evidence(state) < 3


def test_a_common_word_that_goes_missing_is_found_as_lost():
    words = bets()
    state = words.step(words.fresh(), counted({"film": 10}, 200), in_clear, 0)
    assert [(row.name, row.lost) for row in state.rows] == [("film", True)]
    assert words.evidence(state) > 10


def test_a_word_that_only_becomes_important_is_found_among_the_top_attributed():
    words = bets()
    window = counted({"film": 60, "dull": 5}, 200, {"film": 30, "dull": 60}, 200)
    state = words.step(words.fresh(), window, in_clear, 0)
    assert [(row.name, row.kind) for row in state.rows] == [("dull", 1)]


def test_without_attribution_only_presence_is_judged():
    words = bets(attributed=0)
    state = words.step(words.fresh(), counted({"film": 60, "dull": 60}, 200, {"dull": 60}, 200), in_clear, 0)
    assert [(row.name, row.kind) for row in state.rows] == [("dull", 0)]


def test_a_rare_word_is_hashed_until_enough_requests_had_it():
    privacy = WordPrivacy(key=bytes(32), minimum_requests=20)
    words = bets()
    state = words.step(words.fresh(), counted({"zebra": 12}, 200), privacy.name, 0)
    assert state.rows[0].shown == state.rows[0].name == privacy.name("zebra", 0)
    state = words.step(state, counted({"zebra": 12}, 200), privacy.name, 1)
    assert state.rows[0].shown == "zebra"
    assert state.rows[0].name == privacy.name("zebra", 0)


def test_a_baseline_with_a_lost_key_takes_any_word_for_one_seen_nineteen_times():
    known, lost = bets(), bets(unseen_count=19)
    window = counted({"film": 60, "zebra": 3}, 200)
    assert known.step(known.fresh(), window, in_clear, 0).rows
    assert not lost.step(lost.fresh(), window, in_clear, 0).rows
    assert lost.bound("zebra", 0, lost=False) == lost.upper[0][19]


def test_the_state_of_words_resumes_exactly():
    words = bets()
    state = words.step(words.fresh(), counted({"film": 60, "cucumber": 20}, 200), in_clear, 0)
    again = WordState.from_arrays({**state.to_arrays()})
    assert again.rows == state.rows
    assert np.array_equal(again.streams.log_r, state.streams.log_r)
    assert part(state.to_arrays(), "streams")["log_r"].shape == (1, 4)


def test_a_word_counts_once_in_a_sample():
    assert count_words([("a", "a"), ("b",)]) == {"a": 1, "b": 1}
