"""Cause, severity, recovery, fidelity and probe, each by itself."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.drift.cause import causes
from monitor.drift.decision import Latch, share_budget
from monitor.drift.fidelity import fit_fidelity
from monitor.drift.probe import compare
from monitor.drift.recovery import witness
from monitor.drift.settings import DriftSettings, mean_windows_between_false_alarms
from monitor.drift.severity import severity
from monitor.records import HeadEvidence, HeadId
from tests.drift.synthetic import HEADS, LAYERS, STATISTICS, reading

SD = np.full((LAYERS, HEADS, len(STATISTICS)), 0.1)
PREDICTION_SD = np.full(4, 0.2)


@pytest.mark.parametrize(
    "alarms, moved, same_weights, expected",
    [
        ({"heads": 5}, False, True, ("data",)),
        ({"tokens": 5, "heads": 6}, False, False, ("data",)),
        ({"model": 9}, True, False, ("model",)),
        ({"model": 9}, True, True, ("environment",)),
        ({"model": 9, "heads": 9}, True, False, ("model",)),
        ({"model": 9, "heads": 8, "prediction": 10}, True, False, ("model",)),
        ({"model": 9, "heads": 3}, True, False, ("model", "data")),
        ({"fidelity": 5}, False, True, ("serving",)),
        ({"fidelity": 5, "tokens": 5}, False, True, ("serving", "data")),
        ({"model": 5, "fidelity": 5}, True, False, ("model",)),
        ({}, False, True, ()),
    ],
)
def test_the_cause_follows_the_table(alarms, moved, same_weights, expected):
    found = causes(
        alarms=alarms,
        probe_moved=moved,
        moved_since=9 if moved and 9 in alarms.values() else 5,
        same_weights=same_weights,
    )
    assert found == expected


def head(importance, effect=1.0):
    return HeadEvidence(
        head=HeadId(layer=0, head=0),
        statistic="entropy",
        evidence=20,
        before=0,
        after=1,
        effect=effect,
        importance=importance,
        named=True,
    )


@pytest.mark.parametrize(
    "found, alarms, heads, moved, declared, expected",
    [
        (("model",), ["model"], [], 0.0, False, "page"),
        (("serving",), ["fidelity"], [], 0.0, False, "page"),
        (("model",), ["model"], [], 0.0, True, "note"),
        (("data",), ["heads"], [head(0.1)], 0.3, False, "page"),
        (("data",), ["heads"], [head(0.1)], 0.0, False, "ticket"),
        (("data",), ["heads"], [head(0.001)], 0.0, False, "note"),
        (("data",), ["tokens"], [], 0.0, False, "ticket"),
        (("environment",), ["model"], [], 0.0, False, "ticket"),
        (("data",), ["input"], [], 0.0, False, "note"),
        ((), [], [], 0.0, False, None),
    ],
)
def test_severity_is_about_harm(found, alarms, heads, moved, declared, expected):
    assert (
        severity(
            causes=found,
            alarms=alarms,
            heads=heads,
            prediction_effect=moved,
            minimum_effect=0.2,
            declared=declared,
        )
        == expected
    )


def test_the_budget_is_kept_by_the_pool_and_by_each_channel():
    budget = share_budget(100, {"heads": 3, "tokens": 1})
    assert budget.limit("heads") == pytest.approx(np.log(100 / 0.75))
    assert budget.over({"heads": budget.limit("heads"), "tokens": -50}) == {"heads"}
    assert budget.over({"heads": budget.limit("heads") - 0.1, "tokens": budget.limit("tokens") - 0.1}) == {
        "heads"
    }
    assert budget.over({"heads": 2.0, "tokens": 2.0}) == set()


@pytest.mark.parametrize(
    "text, seconds, windows",
    [("1 per 30d", 300.0, 8640.0), ("1 per 100 windows", 7.0, 100.0), ("2 per d", 300.0, 144.0)],
)
def test_the_setting_is_a_mean_number_of_windows(text, seconds, windows):
    assert mean_windows_between_false_alarms(DriftSettings(false_alarms=text), seconds) == windows


@pytest.mark.parametrize("text", ["often", "0 per 30d", "1 per 0 windows", "1/30d"])
def test_what_is_no_rate_is_refused(text):
    with pytest.raises(ValueError, match="is not a rate; write it as in '1 per 30d' or '1 per 8640 windows'"):
        DriftSettings(false_alarms=text)


def test_recovery_is_fast_when_the_shift_ends_and_never_comes_while_it_persists():
    rng = np.random.default_rng(0)
    item = witness("feature", place=(0, 0), quiet=0.0, shifted=0.3, highest=1.0)
    assert item is not None
    shifted = lambda: np.clip(rng.uniform(-1, 1, 200) + 0.3, -1, 1)
    for _ in range(500):
        item = item.step(shifted(), 1.0)
        assert item.evidence < np.log(20)
    for _ in range(2):
        item = item.step(rng.uniform(-1, 1, 200), 1.0)
    assert item.evidence > np.log(20)


def test_no_witness_is_taken_for_a_shift_that_is_none():
    assert witness("feature", place=(0, 0), quiet=0.0, shifted=0.0, highest=1.0) is None


def test_a_latch_survives_json():
    item = witness("line", place=(0,), quiet=0.0, shifted=0.3, highest=1.0, weights=[0.1, 0.2])
    latch = Latch(since=1, raised=2, witnesses=(item,))
    assert Latch.from_json(latch.to_json()) == latch


def test_served_answers_that_part_are_found_and_rare_differences_are_not():
    rng = np.random.default_rng(1)
    fidelity = fit_fidelity(np.full((500, 2), np.nan), np.arange(500.0))
    state = fidelity.fresh()
    for window in range(200):
        wrong = rng.random(200) < 0.005
        state = fidelity.step(state, np.stack([wrong, 0.3 * wrong], axis=1), window, 1.0)
        assert fidelity.evidence(state) < 3
    for window in range(200, 202):
        wrong = rng.random(200) < 0.15
        state = fidelity.step(state, np.stack([wrong, 0.3 * wrong], axis=1), window, 1.0)
    assert fidelity.evidence(state) > 15


def test_windows_without_served_answers_leave_fidelity_as_it_was():
    fidelity = fit_fidelity(np.full((500, 2), np.nan), np.arange(500.0))
    state = fidelity.fresh()
    assert fidelity.step(state, np.full((200, 2), np.nan), 0, 1.0) is state


def test_the_same_probe_reading_differs_by_nothing():
    result = compare(reading(), reading(), SD, PREDICTION_SD)
    assert result is not None
    assert (result.difference, result.heads) == (0.0, ())


def test_the_probe_names_the_damaged_head_though_later_layers_differ_more():
    result = compare(reading(), reading(moved=(1, 2), weights_hash="bbbb"), SD, PREDICTION_SD)
    assert result is not None
    assert str(result.heads[0].head) == "L1H2"
    assert result.difference > 1
    assert result.changes.files


def test_other_probe_inputs_cannot_be_compared():
    other = reading()
    other = type(other)(
        identity=other.identity, inputs_hash="other", profile=other.profile, prediction=other.prediction
    )
    result = compare(reading(), other, SD, PREDICTION_SD)
    assert result is not None
    assert not result.comparable


def test_a_probe_that_is_not_a_number_has_moved():
    broken = reading(moved=(0, 0), by=float("nan"))
    result = compare(reading(), broken, SD, PREDICTION_SD)
    assert result is not None
    assert result.difference > 1
