"""What is said to be found is found, and what is said to be too small is not."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.drift.power import WINDOWS, smallest_effects
from tests.drift.synthetic import draw_baseline, draw_features, fit, judge


@pytest.fixture(scope="module")
def detector():
    return fit(draw_baseline(np.random.default_rng(0), 1000))


def told(detector, change, samples=100):
    return next(item for item in smallest_effects(detector.fitted, samples) if item.change == change)


def delay(detector, most, **shift):
    rng = np.random.default_rng(1)
    state = detector.start()
    for window in range(most):
        state, verdict = judge(detector, state, draw_features(rng, 100, **shift), window)
        if verdict.alarm:
            return window + 1
    return None


def test_longer_patience_larger_windows_and_larger_baselines_find_less(detector):
    for item in smallest_effects(detector.fitted, 100):
        found = [size for size in item.within if size is not None]
        assert found == sorted(found, reverse=True)
        assert len(found) >= 2
    small = fit(draw_baseline(np.random.default_rng(0), 200))
    for change in ("one statistic of one head moves", "a word never seen before"):
        assert told(detector, change, 400).within[1] < told(detector, change).within[1]
        assert told(detector, change).within[1] < told(small, change).within[1]


def test_a_head_that_moves_by_what_is_said_is_found_in_about_that_many_windows(detector):
    size = told(detector, "one statistic of one head moves").within[WINDOWS.index(10)]
    assert delay(detector, 15, head_shift=1.2 * size) is not None
    assert delay(detector, 10, head_shift=0.5 * size) is None


def test_a_word_as_frequent_as_is_said_is_found_in_about_that_many_windows(detector):
    size = told(detector, "a word never seen before").within[WINDOWS.index(10)]
    assert delay(detector, 15, trigger=1.3 * size) is not None
    assert delay(detector, 10, trigger=0.4 * size) is None
