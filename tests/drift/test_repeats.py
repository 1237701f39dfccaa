"""Near-identical requests, and windows that are too small to be judged."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from monitor.drift.blocks import time_blocks
from monitor.drift.repeats import groups, largest_share, thin
from monitor.drift.state import DetectorState
from monitor.drift.surprisal import surprisal
from monitor.records import Features
from tests.drift.synthetic import draw_baseline, draw_features, fit, judge


def sentences(rng, count, words=12):
    return [tuple(f"w{index}" for index in rng.integers(0, 400, words)) for _ in range(count)]


def edited(rng, sentence):
    changed = list(sentence)
    changed[int(rng.integers(len(changed)))] = f"new{rng.integers(1000)}"
    return tuple(changed)


def test_small_edits_of_one_text_are_one_group_and_other_texts_are_none():
    rng = np.random.default_rng(0)
    samples = sentences(rng, 60)
    samples += [edited(rng, samples[0]) for _ in range(20)]
    found = groups(samples)
    assert len({found[index] for index in (0, *range(60, 80))}) == 1
    assert len(set(found[1:60].tolist())) == 59


def test_a_shared_prompt_template_makes_nobody_a_copy():
    rng = np.random.default_rng(1)
    template = tuple(f"t{index}" for index in range(40))
    samples = [template + own for own in sentences(rng, 60, 5)]
    assert len(set(groups(samples).tolist())) > 55


def test_a_burst_is_thinned_to_what_the_baseline_knows_and_its_rest_is_weighed():
    rng = np.random.default_rng(2)
    samples = sentences(rng, 100)
    burst = [*samples, *(edited(rng, samples[0]) for _ in range(100))]
    kept = thin(burst, 0.01)
    assert len(kept.rows) == 101
    assert kept.rows[:100].tolist() == list(range(100))
    assert 0.9 < kept.power < 1.0
    popular = thin(burst, 0.25)
    assert len(popular.rows) == 149


def test_every_request_twice_halves_what_each_is_worth():
    samples = sentences(np.random.default_rng(3), 100)
    kept = thin([*samples, *samples], 0.02)
    assert len(kept.rows) == 200
    assert kept.power == 0.5


def test_the_largest_share_is_that_of_one_time_block():
    samples = [*sentences(np.random.default_rng(4), 95), *([("same", "words", "again")] * 5)]
    assert largest_share(samples, time_blocks(np.arange(100.0))) == 1.0
    assert largest_share(samples[:95], time_blocks(np.arange(95.0))) <= 0.25


@pytest.fixture(scope="module")
def detector():
    return fit(draw_baseline(np.random.default_rng(0), 500), mean_windows=100)


def at(features: Features, start: float) -> Features:
    ids = tuple(f"{start}-{index}" for index in range(len(features)))
    return replace(features, ids=ids, times=start + np.arange(len(features), dtype=np.float64))


def test_small_windows_wait_until_together_they_are_large_enough(detector):
    rng = np.random.default_rng(5)
    parts = [at(draw_features(rng, 12), 1000.0 * index) for index in range(3)]
    state = detector.start()
    verdicts = []
    for index, part in enumerate(parts):
        state, verdict = judge(detector, state, part, index)
        verdicts.append(verdict)
    assert [verdict.state for verdict in verdicts] == ["too_few_samples", "too_few_samples", "quiet"]
    assert state.waiting is None
    whole, _ = judge(detector, detector.start(), Features.concatenate(parts), 2)
    one, other = state.measures["heads"], whole.measures["heads"]
    assert np.array_equal(one.streams.log_r, other.streams.log_r)
    assert np.array_equal(one.along.log_r, other.along.log_r)


def test_what_waits_survives_a_restart_and_is_dropped_after_a_day(detector):
    part = at(draw_features(np.random.default_rng(6), 12), 0.0)
    state, _ = judge(detector, detector.start(), part, 0, integrated=[("film", "good")])
    assert state.waiting is not None
    again = DetectorState.from_arrays(state.to_arrays())
    assert again.waiting is not None
    assert again.waiting.ids == state.waiting.ids
    assert again.waiting.words == state.waiting.words
    assert again.waiting_words == (("film", "good"),)
    later = at(draw_features(np.random.default_rng(7), 12), 2 * 86400.0)
    state, _ = judge(detector, again, later, 600)
    assert state.waiting is not None
    assert all(name.startswith("172800") for name in state.waiting.ids)


def test_the_windows_of_two_replicas_joined_either_way_are_one_window(detector):
    rng = np.random.default_rng(8)
    window = at(draw_features(rng, 90), 0.0)
    odd, even = window.take(range(1, 90, 2)), window.take(range(0, 90, 2))
    states = [
        judge(detector, detector.start(), features, 0)
        for features in (window, Features.concatenate([odd, even]), Features.concatenate([even, odd]))
    ]
    for state, verdict in states[1:]:
        assert verdict.to_json() == states[0][1].to_json()
        arrays = state.to_arrays()
        assert all(np.array_equal(arrays[name], array) for name, array in states[0][0].to_arrays().items())


def halves_of(texts, half):
    """Counts of every word in the two halves of the baseline, and their sizes."""
    counts = [Counter(), Counter()]
    for words, own in zip(texts, half, strict=True):
        counts[own].update(set(words))
    sizes = (int((half == 0).sum()), int((half == 1).sum()))
    return (lambda word: (counts[0][word], counts[1][word])), sizes


def test_new_requests_are_no_more_surprising_than_a_baseline_with_each_of_its_own_twice():
    rng = np.random.default_rng(9)
    texts = sentences(rng, 600)
    twice = [words for words in texts[:300] for _ in range(2)]
    half = np.arange(600) // 30 % 2
    counts, sizes = halves_of(twice, half)
    before = surprisal(twice, counts, sizes, 1 - half)
    after = surprisal(texts[300:], counts, sizes, np.arange(300) % 2)
    assert abs(before.mean() - after.mean()) < 4 * after.std() / np.sqrt(300)


def test_requests_that_come_again_and_again_are_no_less_surprising_than_in_the_baseline():
    rng = np.random.default_rng(10)
    popular, fresh_ones = sentences(rng, 40), sentences(rng, 1500)
    stream = [popular[rng.integers(40)] if rng.random() < 0.5 else fresh_ones[index] for index in range(1500)]
    half = np.arange(1000) // 50 % 2
    counts, sizes = halves_of(stream[:1000], half)
    before = surprisal(stream[:1000], counts, sizes, 1 - half)
    after = surprisal(stream[1000:], counts, sizes, np.arange(500) % 2)
    assert abs(before.mean() - after.mean()) < 4 * after.std() / np.sqrt(500)
