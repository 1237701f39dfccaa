"""The detector as a whole, on features whose truth is known."""

from __future__ import annotations

import io
import math
from dataclasses import replace

import numpy as np
import pytest

from monitor.drift.decision import Latch
from monitor.drift.detector import Detector
from monitor.drift.settings import DriftSettings
from monitor.drift.state import TIMES_KEPT, DetectorState
from monitor.errors import StateError
from monitor.privacy import WordPrivacy
from tests.drift.synthetic import draw_baseline, draw_features, fit, judge, reading


@pytest.fixture(scope="module")
def baseline():
    return draw_baseline(np.random.default_rng(0), 1000)


@pytest.fixture(scope="module")
def detector(baseline):
    return fit(baseline)


def play(detector, windows, *, state=None, first=0, **facts):
    state = detector.start() if state is None else state
    verdicts = []
    for index, features in enumerate(windows, start=first):
        state, verdict = judge(detector, state, features, index, **facts)
        verdicts.append(verdict)
    return state, verdicts


def draws(rng, count, size=100, **changes):
    return [draw_features(rng, size, **changes) for _ in range(count)]


@pytest.mark.parametrize("samples, size", [(300, 50), (500, 200), (1000, 500), (1000, 50)])
def test_quiet_windows_stay_quiet_with_small_baselines_and_any_window(samples, size):
    rng = np.random.default_rng(samples + size)
    detector = fit(draw_baseline(rng, samples), mean_windows=100)
    _, verdicts = play(detector, draws(rng, 40, size))
    assert not any(verdict.alarm for verdict in verdicts)
    assert max(verdict.evidence for verdict in verdicts) < math.log(100)
    assert verdicts[-1].summary == "Nothing has changed."


def test_a_shifted_head_is_named_with_its_statistic_and_its_effect(detector):
    rng = np.random.default_rng(1)
    state, _ = play(detector, draws(rng, 3), probe=reading())
    _, verdicts = play(detector, draws(rng, 3, head_shift=1.0), state=state, first=3, probe=reading())
    final = verdicts[-1]
    top = final.channels["heads"].heads[0]
    assert final.alarm
    assert (str(top.head), top.statistic, top.named) == ("L1H2", "entropy", True)
    assert 0.6 < top.effect < 1.4
    assert top.after - top.before == pytest.approx(0.1, abs=0.04)
    assert final.causes == ("data",)
    assert final.severity == "ticket"
    assert final.since in (3, 4)
    assert final.since_time == 300.0 * final.since
    assert final.summary.startswith(
        f"Since window {final.since}: heads changed: L1H2 (the spread of its attention 0.5"
    )
    assert final.summary.endswith(
        "the model itself is unchanged, so the cause is the data; predictions hold: "
        "look at it in working hours."
    )


def test_an_alarm_is_raised_once_stays_while_the_shift_lasts_and_clears_soon_after(detector):
    rng = np.random.default_rng(2)
    state, shifted = play(detector, draws(rng, 30, head_shift=1.0))
    first = next(verdict.window for verdict in shifted if verdict.alarm)
    assert all(verdict.alarm for verdict in shifted[first:])
    assert sum(verdict.raised for verdict in shifted) == 1
    assert len({verdict.episode for verdict in shifted[first:]}) == 1
    state, quiet = play(detector, draws(rng, 20), state=state, first=30)
    cleared = [verdict.window - 30 for verdict in quiet if verdict.cleared]
    assert len(cleared) == 1
    assert cleared[0] < 4
    assert quiet[-1].state == "quiet"
    assert not state.latches


def test_a_trigger_word_is_found_and_shown_only_when_enough_requests_had_it(baseline):
    privacy = WordPrivacy(key=bytes(32), minimum_requests=20)
    detector = fit(baseline)
    rng = np.random.default_rng(3)
    windows = draws(rng, 4, trigger=0.12)
    _, verdicts = play(detector, windows, word_name=privacy.name)
    shown = [[item.word for item in verdict.channels["tokens"].gained] for verdict in verdicts]
    assert verdicts[-1].channels["tokens"].alarm
    assert shown[-1] == ["cucumber"]
    assert all(words in ([], [privacy.name("cucumber", 0)], ["cucumber"]) for words in shown)


def test_predictions_that_move_too_make_it_a_page(detector):
    rng = np.random.default_rng(4)
    _, verdicts = play(detector, draws(rng, 4, head_shift=1.0, prediction_shift=1.0))
    assert verdicts[-1].severity == "page"
    assert "predictions moved by" in verdicts[-1].summary
    assert verdicts[-1].summary.endswith("look at it now.")


def test_other_weights_are_a_page_that_explains_the_drift_and_clears_when_they_are_put_back(detector):
    rng = np.random.default_rng(5)
    state, _ = play(detector, draws(rng, 2), probe=reading())
    damaged = reading(moved=(1, 2), weights_hash="bbbb")
    state, broken = play(detector, draws(rng, 4, head_shift=2.0), state=state, first=2, probe=damaged)
    assert broken[0].alarm
    assert all(verdict.causes == ("model",) for verdict in broken)
    assert broken[-1].severity == "page"
    assert str(broken[0].channels["model"].heads[0].head) == "L1H2"
    assert broken[-1].channels["heads"].alarm
    assert (
        "the model answers the fixed probe inputs differently, first in L1H2 (the spread of its attention "
        in broken[-1].summary
    )
    assert "the model's weights changed, not the data" in broken[-1].summary
    state, mended = play(detector, draws(rng, 3), state=state, first=6, probe=reading())
    assert mended[0].cleared
    assert not any(verdict.alarm for verdict in mended)
    assert mended[0].evidence < 3


def test_the_same_weights_with_other_numbers_are_the_environment(detector):
    rng = np.random.default_rng(6)
    _, verdicts = play(detector, draws(rng, 1), probe=reading(moved=(0, 0)))
    assert verdicts[0].causes == ("environment",)
    assert verdicts[0].severity == "ticket"


def test_a_declared_change_is_noted_and_pages_nobody(detector):
    rng = np.random.default_rng(7)
    _, verdicts = play(detector, draws(rng, 1), probe=reading(moved=(0, 0), weights_hash="b"), declared=True)
    assert verdicts[0].severity == "note"
    assert "(a declared change)" in verdicts[0].summary


def test_data_drift_from_before_the_model_moved_stays_data(detector):
    rng = np.random.default_rng(8)
    state, _ = play(detector, draws(rng, 4, trigger=0.2), probe=reading())
    damaged = reading(moved=(1, 2), weights_hash="bbbb")
    _, verdicts = play(detector, draws(rng, 1, trigger=0.2), state=state, first=4, probe=damaged)
    assert verdicts[0].causes == ("model", "data")


def test_served_answers_that_part_from_the_replay_are_the_serving(baseline):
    rng = np.random.default_rng(9)
    _, verdicts = play(fit(baseline), draws(rng, 3, served_wrong=0.2), probe=reading())
    assert verdicts[-1].causes == ("serving",)
    assert verdicts[-1].severity == "page"
    assert "served and replayed labels differ on" in verdicts[-1].summary


def test_too_few_samples_leave_the_evidence_as_it_was(detector):
    rng = np.random.default_rng(10)
    state, _ = play(detector, draws(rng, 2))
    after, verdict = judge(detector, state, draw_features(rng, 29, head_shift=5), 2)
    assert verdict.state == "too_few_samples"
    assert detector.evidence(after) == detector.evidence(state)
    assert verdict.summary == "29 samples are too few to judge (at least 30); evidence is kept as it was."
    _, verdict = judge(detector, state, draw_features(rng, 100).take([]), 2)
    assert verdict.state == "too_few_samples"


def test_a_changed_model_pages_even_when_hardly_any_request_comes(detector):
    rng = np.random.default_rng(11)
    _, verdict = judge(
        detector, detector.start(), draw_features(rng, 3), 0, probe=reading(moved=(0, 1), weights_hash="b")
    )
    assert (verdict.state, verdict.alarm, verdict.severity) == ("too_few_samples", True, "page")


def test_a_detector_resumes_to_the_last_bit(detector):
    rng = np.random.default_rng(12)
    windows = [*draws(rng, 3), *draws(rng, 4, head_shift=1.0, trigger=0.1), *draws(rng, 6)]
    _, straight = play(detector, windows)
    state, resumed = detector.start(), []
    for index, features in enumerate(windows):
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **state.to_arrays())
        with np.load(io.BytesIO(buffer.getvalue()), allow_pickle=False) as arrays:
            state = DetectorState.from_arrays(dict(arrays))
        state, verdict = judge(detector, state, features, index)
        resumed.append(verdict)
    assert resumed == straight


def test_judging_changes_no_state_it_was_given(detector):
    rng = np.random.default_rng(13)
    state, _ = play(detector, draws(rng, 3, head_shift=0.5))
    before = {name: array.copy() for name, array in state.to_arrays().items()}
    features = draw_features(rng, 100, head_shift=1.0)
    one = judge(detector, state, features, 3)[1]
    other = judge(detector, state, features, 3)[1]
    assert one == other
    assert all(np.array_equal(before[name], array) for name, array in state.to_arrays().items())


def test_a_state_of_another_schema_is_refused(detector):
    arrays = dict(detector.start().to_arrays())
    header = arrays["header"].tobytes().replace(b'"schema": 2', b'"schema": 7')
    arrays["header"] = np.frombuffer(header, dtype=np.uint8)
    with pytest.raises(StateError) as error:
        DetectorState.from_arrays(arrays)
    assert str(error.value) == (
        "detector state: schema = 7, this version of headwatch reads 2; remove it, evidence then starts anew"
    )


def test_a_damaged_state_is_refused(detector):
    arrays = dict(detector.start().to_arrays())
    del arrays["words/names"]
    with pytest.raises(StateError) as error:
        DetectorState.from_arrays(arrays)
    assert str(error.value) == "detector state: is damaged; remove it, evidence then starts anew"


def test_a_state_of_another_baseline_is_refused(detector):
    other = fit(draw_baseline(np.random.default_rng(14), 200))
    with pytest.raises(StateError) as error:
        judge(detector, other.start(), draw_features(np.random.default_rng(15), 50), 0)
    assert str(error.value) == (
        f"detector state: made for baseline {other.baseline.version}, this is {detector.baseline.version}; "
        "start a fresh one"
    )


def test_a_model_without_predictions_and_without_attribution_is_watched_all_the_same():
    from dataclasses import replace

    rng = np.random.default_rng(16)
    bare = lambda features: replace(
        features,
        prediction=np.zeros((len(features), 0), dtype=np.float32),
        top_words=((),) * len(features),
        importance=np.zeros_like(features.importance),
    )
    baseline = draw_baseline(rng, 500)
    baseline = replace(baseline, features=bare(baseline.features), attributed_requests=0)
    detector = Detector.fit(baseline, DriftSettings(), mean_windows=8640)
    windows = [bare(features) for features in draws(rng, 6, head_shift=1.5)]
    _, verdicts = play(detector, windows)
    assert verdicts[-1].alarm
    assert "prediction" not in verdicts[-1].channels


def test_the_verdict_is_plain_json(detector):
    import json

    rng = np.random.default_rng(17)
    _, verdicts = play(detector, draws(rng, 3, head_shift=2.0, trigger=0.2), probe=reading())
    for verdict in verdicts:
        text = json.dumps(verdict.to_json(), allow_nan=False)
        assert set(json.loads(text)["channels"]) == {
            "heads", "rollout", "prediction", "input", "tokens", "fidelity", "model"
        }  # fmt: skip


def test_the_start_of_a_long_alarm_is_remembered(detector):
    state = replace(detector.start(), latches={"heads": Latch(since=3, raised=4)}, times=((3, 30.0),))
    for window in range(4, 4 + 2 * TIMES_KEPT):
        state = replace(state, times=state.times_with(window, 10.0 * window))
    assert state.start_of(3) == 30.0
    assert len(state.times) == TIMES_KEPT + 1


def test_one_of_a_hundred_classes_that_moves_by_chance_makes_no_page():
    """The heads drift, the predictions are drawn as ever: the largest of many moves is no harm."""
    rng = np.random.default_rng(12)

    def with_classes(features):
        classes = np.full((len(features), 100), 0.2 / 99)
        sure = 0.7 + 0.2 * rng.random(len(features))
        classes[np.arange(len(features)), rng.integers(100, size=len(features))] = sure
        top = np.stack([sure, rng.random(len(features))], axis=1)
        return replace(features, prediction=np.hstack([top, classes]).astype(np.float32))

    drawn = draw_baseline(rng, 2000)
    detector = fit(replace(drawn, features=with_classes(drawn.features)))
    firsts = [with_classes(features) for features in draws(rng, 12, 200, head_shift=3.0)]
    verdicts = [judge(detector, detector.start(), first, 0)[1] for first in firsts]
    assert [verdict.severity for verdict in verdicts] == ["ticket"] * 12
