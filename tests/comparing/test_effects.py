"""How far heads moved, against the definition in plain Python, and with which one it began."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest

from monitor.comparing.effects import effects, first_moved, limits, noise_floor, origins
from monitor.drift.changes import Changes
from monitor.records import HeadId

DRAW = np.random.default_rng(4)
BEFORE = DRAW.normal(size=(30, 3, 4, 5)).astype(np.float32)
AFTER = (BEFORE + DRAW.normal(scale=0.3, size=BEFORE.shape)).astype(np.float32)


def test_effect_and_size_are_those_of_the_definition():
    found = effects(BEFORE, AFTER)
    for place in [(0, 0, 0), (1, 2, 3), (2, 3, 4)]:
        one = [float(value) for value in BEFORE[:, *place]]
        other = [float(value) for value in AFTER[:, *place]]
        moved = [b - a for a, b in zip(one, other, strict=True)]
        spread = statistics.pstdev(one)
        assert found.before[place] == pytest.approx(statistics.fmean(one))
        assert found.after[place] == pytest.approx(statistics.fmean(other))
        assert found.effect[place] == pytest.approx(statistics.fmean(moved) / spread)
        typical = math.sqrt(statistics.fmean([value**2 for value in moved]))
        assert found.size[place] == pytest.approx(typical / spread)


def test_equal_readings_give_exactly_nothing():
    assert not effects(BEFORE, BEFORE.copy()).size.any()


def test_the_unit_of_a_statistic_changes_no_size():
    np.testing.assert_allclose(effects(BEFORE * 40, AFTER * 40).size, effects(BEFORE, AFTER).size, rtol=1e-5)


def test_a_change_that_differs_in_sign_from_sample_to_sample_is_seen():
    swing = BEFORE + np.where(np.arange(30) % 2, 0.5, -0.5)[:, None, None, None].astype(np.float32)
    found = effects(BEFORE, swing)
    assert np.abs(found.effect).max() < 1e-6
    assert found.size.min() > 0.2


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_a_value_that_is_no_number_has_moved_without_end(broken):
    after = AFTER.copy()
    after[7, 1, 2, 0] = broken
    by_head = effects(BEFORE, after).by_head
    assert by_head[1, 2] == math.inf
    assert np.isfinite(np.delete(by_head.ravel(), 6)).all()


def test_the_noise_floor_is_a_heads_own_or_the_median_heads():
    floor = noise_floor(BEFORE, AFTER[:10])
    spread = BEFORE.astype(np.float64).std(axis=0)
    own = np.sqrt(((AFTER[:10].astype(np.float64) - BEFORE[:10]) ** 2).mean(axis=0)) / spread
    own = own.max(axis=2)
    np.testing.assert_allclose(floor, np.where(own > np.median(own), own, np.median(own)), rtol=1e-6)


def test_the_limit_is_five_floors_and_never_below_rounding():
    assert limits(None, (1, 2)).tolist() == [[0.01, 0.01]]
    assert limits(np.array([[0.001, 0.05]]), (1, 2)).tolist() == [[0.01, 0.25]]


def test_it_begins_with_the_strongest_head_of_the_first_layer_that_moved():
    by_head = np.array([[0.0, 0.005], [0.3, 2.0], [9.0, 0.1]])
    assert first_moved(by_head, by_head > 0.01) == (1, 1)
    assert first_moved(by_head, by_head > 100) is None


def test_a_head_under_its_own_limit_is_not_the_strongest():
    by_head = np.array([[0.5, 0.3]])
    assert first_moved(by_head, np.array([[False, True]])) == (0, 1)


def test_where_stacks_take_turns_the_first_layer_is_the_one_that_runs_first():
    by_head = np.array([[0.0, 0.0], [0.0, 0.0], [0.0, 3.0], [0.3, 2.0]])
    assert first_moved(by_head, by_head > 0.01, (0, 1, 3, 2)) == (3, 1)
    assert first_moved(by_head, by_head > 0.01) == (2, 1)
    found = Changes(files=True, compared=True, heads=heads((2, 0), (3, 0)))
    assert origins(by_head, by_head > 0.01, found, (0, 1, 3, 2))[0] == ((3, 0), (2, 0))


SIZES = np.array([[0.0, 0.0], [0.3, 2.0], [9.0, 0.1]])
MOVED = SIZES > 0.01


def heads(*places):
    return tuple(HeadId(layer=layer, head=head) for layer, head in places)


def test_weights_name_the_heads_that_differ_the_earliest_and_strongest_first():
    found = Changes(files=True, compared=True, heads=heads((1, 0), (1, 1), (2, 0)))
    assert origins(SIZES, MOVED, found) == (((1, 1), (1, 0), (2, 0)), "weights")


@pytest.mark.parametrize("other", [{"layers": (0,)}, {"modules": ("classifier",)}])
def test_no_head_is_blamed_where_other_parts_differ_too(other):
    found = Changes(files=True, compared=True, heads=heads((2, 0)), **other)
    assert origins(SIZES, MOVED, found) == ((), "weights")


@pytest.mark.parametrize("compared", [True, False])
def test_behaviour_names_the_first_where_no_parameter_tells(compared):
    assert origins(SIZES, MOVED, Changes(files=True, compared=compared)) == (((1, 1),), "behaviour")
    assert origins(SIZES * 0, MOVED & False, Changes(compared=compared)) == ((), "behaviour")
