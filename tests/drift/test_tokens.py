from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from monitor.drift.arrays import part
from monitor.drift.tokens import WordRow, WordState, count_words, fit_words, word_wobble
from monitor.privacy import WordPrivacy, in_clear
from monitor.records import WordCount

COUNTS = {"film": WordCount(present=600, top=300), "dull": WordCount(present=40, top=20)}


def counted(present, samples, top=None, attributed=0):
    return [(Counter(present), samples), (Counter(top or {}), attributed)]


def bets(**changes):
    return fit_words(COUNTS, **{"total": (2000, 2000, 0), **changes})


def test_a_new_word_in_a_tenth_of_the_inputs_is_found_at_once_and_counted():
    words = bets()
    state = words.step(words.fresh(), counted({"film": 60, "cucumber": 20}, 200), in_clear, 0, 1.0)
    assert [(row.name, row.lost) for row in state.rows] == [("cucumber", False)]
    assert words.evidence(state) > 15
    assert state.seen.tolist() == [20.0]


def test_words_at_their_usual_rate_gather_no_evidence():
    rng = np.random.default_rng(0)
    words = bets()
    state = words.fresh()
    for window in range(300):
        present = {"film": int(rng.binomial(200, 0.3)), "dull": int(rng.binomial(200, 0.02))}
        state = words.step(state, counted(present, 200), in_clear, window, 1.0)
        assert words.evidence(state) < 3


def test_a_common_word_that_goes_missing_is_found_as_lost():
    words = bets()
    state = words.step(words.fresh(), counted({"film": 10}, 200), in_clear, 0, 1.0)
    assert [(row.name, row.lost) for row in state.rows] == [("film", True)]
    assert words.evidence(state) > 10


def test_a_word_that_only_becomes_important_is_found_among_the_top_attributed():
    words = bets()
    window = counted({"film": 60, "dull": 5}, 200, {"film": 30, "dull": 60}, 200)
    state = words.step(words.fresh(), window, in_clear, 0, 1.0)
    assert [(row.name, row.kind) for row in state.rows] == [("dull", 1)]


def test_without_attribution_only_presence_is_judged():
    words = bets(total=(2000, 0, 0))
    state = words.step(
        words.fresh(), counted({"film": 60, "dull": 60}, 200, {"dull": 60}, 200), in_clear, 0, 1.0
    )
    assert [(row.name, row.kind) for row in state.rows] == [("dull", 0)]


def test_a_rare_word_is_hashed_until_enough_requests_had_it():
    privacy = WordPrivacy(key=bytes(32), minimum_requests=20)
    words = bets()
    state = words.step(words.fresh(), counted({"zebra": 12}, 200), privacy.name, 0, 1.0)
    assert state.rows[0].shown == state.rows[0].name == privacy.name("zebra", 0)
    state = words.step(state, counted({"zebra": 12}, 200), privacy.name, 1, 1.0)
    assert state.rows[0].shown == "zebra"
    assert state.rows[0].name == privacy.name("zebra", 0)


def test_a_baseline_with_a_lost_key_takes_any_word_for_one_seen_nineteen_times():
    known, lost = bets(), bets(unseen_count=19)
    window = counted({"film": 60, "zebra": 3}, 200)
    assert known.step(known.fresh(), window, in_clear, 0, 1.0).rows
    assert not lost.step(lost.fresh(), window, in_clear, 0, 1.0).rows
    assert lost.bound("zebra", 0, lost=False) == lost.unseen[0] > known.unseen[0]


def test_the_state_of_words_resumes_exactly():
    words = bets()
    state = words.step(words.fresh(), counted({"film": 60, "cucumber": 20}, 200), in_clear, 0, 1.0)
    again = WordState.from_arrays({**state.to_arrays()})
    assert again.rows == state.rows
    assert np.array_equal(again.streams.log_r, state.streams.log_r)
    assert part(state.to_arrays(), "streams")["log_r"].shape == (1, 5)


def test_a_word_that_only_integrated_gradients_put_on_top_is_found():
    words = bets(total=(2000, 2000, 200))
    window = [(Counter({"film": 60}), 200), (Counter({"film": 60}), 200), (Counter({"dull": 30}), 60)]
    state = words.step(words.fresh(), window, in_clear, 0, 1.0)
    assert ("dull", 2) in [(row.name, row.kind) for row in state.rows]


@pytest.mark.parametrize("total", [(2000, 0, 0), (2000, 2000, 0), (2000, 2000, 200)])
def test_the_shares_of_all_words_and_kinds_sum_to_one(total):
    counts = {name: replace(count, integrated=count.top // 10) for name, count in COUNTS.items()}
    words = fit_words(counts, total=total)
    rows = []
    for kind in (index for index, requests in enumerate(total) if requests):
        rows += [WordRow(name=name, shown=name, kind=kind, lost=False) for name in counts]
        rows += [WordRow(name=name, shown=name, kind=kind, lost=True) for name in words.common[kind]]
    assert any(row.lost for row in rows)
    assert abs(sum(words.weight(row) for row in rows) - 1) < 1e-9


def test_a_word_whose_rate_wobbles_in_the_baseline_may_wobble_on():
    rng = np.random.default_rng(4)
    times = np.arange(2000.0)
    rates = np.where(rng.random(20) < 0.5, 0.05, 0.35)[(times // 100).astype(int)]
    samples = [("film",) if rng.random() < rate else ("other",) for rate in rates]
    wobble = word_wobble(samples, times)
    assert 0.1 < wobble["film"] < 0.2
    assert "film" not in word_wobble([samples[index] for index in rng.permutation(2000)], times)
    count = sum(words == ("film",) for words in samples)
    steady = fit_words({"film": WordCount(present=count, top=0)}, total=(2000, 0, 0))
    wobbling = fit_words(
        {"film": WordCount(present=count, top=0, wobble=(wobble["film"], 0.0))}, total=(2000, 0, 0)
    )
    window = counted({"film": 90}, 200)
    gain = [
        words.evidence(words.step(words.fresh(), window, in_clear, 0, 1.0)) for words in (steady, wobbling)
    ]
    assert gain[0] > 5
    assert gain[1] < 0


def test_a_word_counts_once_in_a_sample():
    assert count_words([("a", "a"), ("b",)]) == {"a": 1, "b": 1}
