"""Who is to blame, and what is said of it: weights, tokenizer, settings, upgrades, rollouts, data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from monitor.drift.cause import causes, untouched
from monitor.drift.changes import UNCHANGED, Changes, changes, parts
from monitor.drift.probe import compare
from monitor.drift.severity import severity
from monitor.drift.state import ProbeState
from monitor.drift.summary import summarise
from monitor.records import HeadId, Suspicion, Verdict
from tests.drift.synthetic import (
    HEADS,
    LAYERS,
    STATISTICS,
    draw_baseline,
    draw_features,
    fit,
    identity,
    judge,
    reading,
)

SD = np.full((LAYERS, HEADS, len(STATISTICS)), 0.1)
PREDICTION_SD = np.full(4, 0.2)
HASHES = tuple(tuple(f"L{layer}H{head}" for head in range(HEADS)) for layer in range(LAYERS))
KNOWN = {
    "head_hashes": HASHES,
    "layer_hashes": ("a", "b", "c"),
    "other_hashes": {"embeddings": "e", "classifier": "f"},
    "tokenizer_hash": "t",
    "pipeline": {"padding side": "right", "most tokens": "512", "words": "w"},
}
HARM = "predictions hold: look at it now."
HEAD = "the model answers the fixed probe inputs differently, "


def with_heads(*places):
    """The hashes of a model in which the heads at ``places`` are others."""
    return tuple(
        tuple("other" if (layer, head) in places else value for head, value in enumerate(row))
        for layer, row in enumerate(HASHES)
    )


@pytest.fixture(scope="module")
def detector():
    baseline = draw_baseline(np.random.default_rng(0), 600)
    return fit(replace(baseline, identity=identity(**KNOWN), probe=reading(**KNOWN)))


def told(detector, probe, **facts) -> Verdict:
    """The verdict of one quiet window with this reading of the probe."""
    features = draw_features(np.random.default_rng(1), 100)
    return judge(detector, detector.start(), features, 0, probe=probe, **facts)[1]


def read(**changed):
    """A probe that moved in L1H2 and after it, under an identity with these changes."""
    return reading(moved=(1, 2), **{**KNOWN, **changed})


# --- what differs between two identities -----------------------------------------------------


def test_identical_models_differ_by_nothing():
    assert changes(identity(**KNOWN), identity(**KNOWN)) == Changes(compared=True)
    assert changes(identity(), identity()) == UNCHANGED


def test_every_part_that_differs_is_listed():
    now = identity(
        **{
            **KNOWN,
            "weights_hash": "bbbb",
            "head_hashes": with_heads((0, 1), (2, 3)),
            "layer_hashes": ("a", "x", "c"),
            "other_hashes": {"embeddings": "e", "classifier": "x"},
            "tokenizer_hash": "u",
            "pipeline": {"padding side": "left", "most tokens": "512", "words": "w"},
            "libraries": {"torch": "3.0"},
            "device": "cuda",
        }
    )
    assert changes(identity(**KNOWN), now) == Changes(
        files=True,
        compared=True,
        heads=(HeadId(layer=0, head=1), HeadId(layer=2, head=3)),
        layers=(1,),
        modules=("classifier",),
        tokenizer=True,
        pipeline=("padding side right -> left",),
        upgrades=("torch 2.13.0 -> 3.0", "device cpu -> cuda"),
    )


@pytest.mark.parametrize(
    "before, now, other_words",
    [
        ({"words": "1"}, {"words": "1"}, False),
        ({"words": "1"}, {"words": "2"}, True),
        ({"words": "1"}, {}, True),
        ({}, {}, True),
    ],
)
def test_another_tokenizer_makes_other_words_unless_it_is_known_not_to(before, now, other_words):
    one = identity(tokenizer_hash="t", pipeline=before)
    assert not changes(one, one).words
    other = changes(one, identity(tokenizer_hash="u", pipeline=now))
    assert (other.words, other.pipeline) == (other_words, ())


@pytest.mark.parametrize(
    "setting, other_words",
    [("most tokens", True), ("lower-casing", True), ("padding side", False), ("special tokens added", False)],
)
def test_settings_that_cut_an_input_make_other_words(setting, other_words):
    found = changes(identity(pipeline={setting: "a"}), identity(pipeline={setting: "b"}))
    assert (found.words, found.inputs) == (other_words, True)


def test_parameters_in_another_precision_are_not_compared():
    now = identity(**{**KNOWN, "dtype": "bfloat16", "head_hashes": with_heads((0, 0))})
    assert changes(identity(**KNOWN), now) == Changes(upgrades=("dtype float32 -> bfloat16",))


@pytest.mark.parametrize(
    "found, text",
    [
        (Changes(heads=(HeadId(layer=1, head=2),)), "L1H2"),
        (Changes(heads=tuple(HeadId(layer=0, head=n) for n in range(4))), "4 heads"),
        (
            Changes(layers=(0, 3), modules=("classifier",)),
            "layer 0 outside of its heads, layer 3 outside of its heads, classifier",
        ),
        (
            Changes(layers=(0, 1, 2, 3), modules=("a", "b", "c", "d")),
            "4 layers outside of their heads, 4 other modules",
        ),
    ],
)
def test_changed_parts_are_named_while_they_are_few(found, text):
    assert parts(found) == text


def test_what_the_probe_knew_survives_json():
    found = Changes(files=True, compared=True, heads=(HeadId(layer=1, head=2),), upgrades=("torch 1 -> 2",))
    state = ProbeState(known=True, moved=True, since=3, changes=found)
    assert ProbeState.from_json(state.to_json()) == state


# --- which heads are named -------------------------------------------------------------------


def test_the_head_whose_weights_changed_is_named_though_another_one_moved_more():
    before = reading(**KNOWN)
    now = reading(moved=(1, 2), **{**KNOWN, "weights_hash": "b", "head_hashes": with_heads((1, 0))})
    now.profile[:, 1, 0, 1] += 0.03
    result = compare(before, now, SD, PREDICTION_SD)
    assert result is not None
    assert [str(item.head) for item in result.heads if item.named] == ["L1H0"]
    assert str(result.heads[0].head) == "L1H0"
    assert result.heads[0].difference < result.heads[1].difference


def test_every_head_whose_weights_changed_is_named_the_earliest_first():
    hashes = with_heads((2, 1), (0, 3), (0, 1))
    result = compare(reading(**KNOWN), read(weights_hash="b", head_hashes=hashes), SD, PREDICTION_SD)
    assert result is not None
    assert {str(item.head) for item in result.heads if item.named} == {"L0H1", "L0H3", "L2H1"}
    assert str(result.heads[2].head) == "L2H1"


def test_no_head_is_named_when_the_change_is_elsewhere_or_everywhere():
    everywhere = {"head_hashes": tuple(("x",) * HEADS for _ in range(LAYERS))}
    for changed in ({"other_hashes": {"embeddings": "e", "classifier": "x"}}, everywhere):
        result = compare(reading(**KNOWN), read(weights_hash="b", **changed), SD, PREDICTION_SD)
        assert result is not None
        assert result.heads
        assert not any(item.named for item in result.heads)


def test_where_the_hashes_are_silent_the_earliest_layer_that_moved_is_asked():
    for known in ({}, KNOWN):
        weights = {} if known else {"weights_hash": "b"}
        result = compare(reading(**known), reading(moved=(1, 2), **{**known, **weights}), SD, PREDICTION_SD)
        assert result is not None
        assert [str(item.head) for item in result.heads if item.named] == ["L1H2"]


# --- what the verdict says -------------------------------------------------------------------


@pytest.mark.parametrize(
    "changed, severity_wanted, cause, why",
    [
        (
            {"weights_hash": "b", "head_hashes": with_heads((1, 2))},
            "page",
            "model",
            f"the model's weights changed (those of L1H2), not the data; {HARM}",
        ),
        (
            {"weights_hash": "b", "tokenizer_hash": "u"},
            "page",
            "model",
            (
                "the model's tokenizer changed under the same weights, not the data; suspected: "
                f"another tokenizer (the tokenizer's files are not those of the baseline); {HARM}"
            ),
        ),
        (
            {"weights_hash": "b"},
            "page",
            "model",
            f"the model's configuration changed under the same weights, not the data; {HARM}",
        ),
        (
            {},
            "ticket",
            "environment",
            (
                "the weights are the same, so the cause is a library, the hardware or the precision; "
                "predictions hold: look at it in working hours."
            ),
        ),
        (
            {"libraries": {"torch": "3.0"}, "dtype": "bfloat16"},
            "note",
            "environment",
            (
                "the weights are the same, so the cause is an upgrade "
                "(torch 2.13.0 -> 3.0, dtype float32 -> bfloat16) and no incident; "
                "predictions hold: nothing needs to be done now."
            ),
        ),
        (
            {"pipeline": {"padding side": "right", "most tokens": "16", "words": "w"}},
            "ticket",
            "environment",
            (
                "the weights are the same, so the cause is a setting (most tokens 512 -> 16); suspected: "
                "inputs that are cut short (most tokens 512 -> 16); "
                "predictions hold: look at it in working hours."
            ),
        ),
    ],
)
def test_a_probe_that_moved_says_why(detector, changed, severity_wanted, cause, why):
    verdict = told(detector, read(**changed))
    a_head = "head_hashes" in changed or "weights_hash" not in changed
    assert verdict.causes == (cause,)
    assert verdict.severity == severity_wanted
    where = "first in L1H2 (the spread " if a_head else "most in L2H0 (attention on separators "
    assert verdict.summary.startswith(f"Since window 0: {HEAD}{where}")
    assert verdict.summary.split("; ", 1)[1] == why


@pytest.mark.parametrize(
    "changed, summary",
    [
        ({}, "Nothing has changed."),
        (
            {"libraries": {"torch": "3.0"}},
            "Nothing has changed but torch 2.13.0 -> 3.0: an upgrade without effect.",
        ),
        (
            {"weights_hash": "b"},
            "Nothing has changed but the model's files: the probe inputs give the same numbers.",
        ),
    ],
)
def test_what_changed_without_effect_is_told_and_alarms_nobody(detector, changed, summary):
    verdict = told(detector, reading(**{**KNOWN, **changed}))
    assert (verdict.alarm, verdict.causes, verdict.severity) == (False, (), None)
    assert verdict.summary == summary


def test_where_parameters_changed_no_difference_is_too_small(detector):
    slight = replace(reading(**{**KNOWN, "weights_hash": "b", "head_hashes": with_heads((1, 2))}))
    slight.profile[:, 1, 2, 0] += 0.001
    verdict = told(detector, slight)
    assert (verdict.causes, verdict.channels["model"].alarm) == (("model",), True)
    model = verdict.channels["model"]
    assert 0 < model.limit <= model.evidence
    same = replace(slight, identity=identity(**KNOWN))
    assert not told(detector, same).alarm


@pytest.mark.parametrize(
    "changed, detail",
    [
        (
            {"weights_hash": "b", "head_hashes": with_heads((1, 2))},
            "moved by 200 sd under other weights (L1H2)",
        ),
        ({"weights_hash": "b"}, "moved by 200 sd under other files"),
        ({}, "moved by 200 sd under the same weights"),
    ],
)
def test_the_model_channel_tells_how_far_and_under_what(detector, changed, detail):
    assert told(detector, read(**changed)).channels["model"].detail == detail


def test_a_declared_rollout_is_a_note_and_said_to_be_one(detector):
    verdict = told(detector, read(weights_hash="b", head_hashes=with_heads((1, 2))), declared=True)
    assert (verdict.causes, verdict.severity, verdict.declared) == (("model",), "note", True)
    assert verdict.summary.endswith(
        "the model's weights changed (those of L1H2), not the data (a declared change); "
        "predictions hold: nothing needs to be done now."
    )


def test_other_weights_under_an_upgrade_are_a_changed_model(detector):
    verdict = told(
        detector, read(weights_hash="b", head_hashes=with_heads((1, 2)), libraries={"torch": "3.0"})
    )
    assert (verdict.causes, verdict.severity) == (("model",), "page")
    assert verdict.upgrades == ("torch 2.13.0 -> 3.0",)


def test_padding_that_moves_one_input_while_it_is_unchanged_alone_is_suspected(detector):
    alone = np.full(SD.shape, 0.5, dtype=np.float32)
    before = replace(detector.baseline.probe, alone=alone, padding_gap=0.001)
    own = fit(replace(detector.baseline, probe=before))
    masked = replace(read(), alone=alone, padding_gap=28.4)
    assert told(own, masked).suspicions == (
        Suspicion(name="padding", sign="padding moves the profile of one input by 28.4 sd"),
    )
    assert told(own, replace(masked, alone=alone + 1)).suspicions == ()
    assert told(own, replace(masked, padding_gap=0.001)).suspicions == ()


def test_a_verdict_with_all_it_knows_comes_back_from_json(detector):
    verdict = told(detector, read(weights_hash="b", tokenizer_hash="u", libraries={"torch": "3.0"}))
    again = Verdict.from_json(verdict.to_json())
    assert (again.suspicions, again.upgrades) == (verdict.suspicions, verdict.upgrades)
    assert again.to_json() == verdict.to_json()


def test_a_verdict_of_an_earlier_version_is_read(detector):
    values = told(detector, reading(**KNOWN)).to_json()
    for name in ("declared", "upgrades", "suspicions"):
        del values[name]
    assert Verdict.from_json(values).suspicions == ()


# --- several causes --------------------------------------------------------------------------


def play(detector, windows, probes, *, first=0, state=None, **facts):
    state = detector.start() if state is None else state
    verdicts = []
    for index, (features, probe) in enumerate(zip(windows, probes, strict=True), start=first):
        state, verdict = judge(detector, state, features, index, probe=probe, **facts)
        verdicts.append(verdict)
    return state, verdicts


def longer(features):
    inputs = features.inputs.copy()
    inputs[:, 0] += 1.0
    return replace(features, inputs=inputs)


@pytest.mark.parametrize("data", ["words", "inputs"])
def test_data_that_drift_after_the_model_changed_are_told_too(detector, data):
    rng = np.random.default_rng(2)
    damaged = read(weights_hash="b", head_hashes=with_heads((1, 2)))
    windows = [draw_features(rng, 100, head_shift=2.0) for _ in range(3)]
    if data == "words":
        windows += [draw_features(rng, 100, head_shift=2.0, trigger=0.3) for _ in range(4)]
    else:
        windows += [longer(draw_features(rng, 100, head_shift=2.0)) for _ in range(4)]
    _, verdicts = play(detector, windows, [damaged] * 7)
    assert all(verdict.causes == ("model",) for verdict in verdicts[:3])
    assert verdicts[-1].causes == ("model", "data")
    assert (
        "the model's weights changed (those of L1H2); besides that the data changed" in verdicts[-1].summary
    )


def test_data_drift_stays_when_the_model_is_put_back(detector):
    rng = np.random.default_rng(3)
    damaged = read(weights_hash="b", head_hashes=with_heads((1, 2)))
    shifted = [draw_features(rng, 100, head_shift=2.0, trigger=0.3) for _ in range(4)]
    state, _ = play(detector, shifted, [damaged] * 4)
    mended = [draw_features(rng, 100, trigger=0.3) for _ in range(2)]
    _, verdicts = play(detector, mended, [reading(**KNOWN)] * 2, first=4, state=state)
    assert all(verdict.causes == ("data",) for verdict in verdicts)
    assert verdicts[0].channels["model"].cleared
    assert not verdicts[-1].channels["heads"].alarm


def test_a_changed_tokenizer_explains_inputs_that_change_with_it(detector):
    rng = np.random.default_rng(4)
    swapped = read(weights_hash="b", tokenizer_hash="u")
    _, verdicts = play(detector, [longer(draw_features(rng, 100)) for _ in range(4)], [swapped] * 4)
    assert verdicts[-1].channels["input"].alarm
    assert verdicts[-1].causes == ("model",)


def test_served_answers_that_part_besides_drifting_data_are_two_causes(detector):
    rng = np.random.default_rng(5)
    windows = [draw_features(rng, 100, served_wrong=0.3, trigger=0.3) for _ in range(4)]
    _, verdicts = play(detector, windows, [reading(**KNOWN)] * 4)
    assert verdicts[-1].causes == ("serving", "data")


@pytest.mark.parametrize(
    "alarms, found, present, expected",
    [
        ({"model": 9, "input": 12}, UNCHANGED, 0.0, ("model", "data")),
        ({"model": 9, "input": 9}, Changes(tokenizer=True), 0.0, ("model",)),
        ({"model": 9, "input": 9}, Changes(pipeline=("most tokens 512 -> 16",)), 0.0, ("model",)),
        ({"model": 9, "tokens": 9}, UNCHANGED, 0.0, ("model",)),
        ({"model": 9, "tokens": 9}, UNCHANGED, 20.0, ("model", "data")),
        ({"model": 9, "tokens": 9}, Changes(tokenizer=True), 20.0, ("model", "data")),
        ({"model": 9, "tokens": 9}, Changes(tokenizer=True, words=True), 20.0, ("model",)),
        ({"model": 9, "heads": 12, "prediction": 12}, UNCHANGED, 20.0, ("model",)),
    ],
)
def test_only_what_never_passes_through_the_model_speaks_of_data_beside_it(alarms, found, present, expected):
    free = untouched(found, present_words=present, words_limit=10.0)
    found = causes(alarms=alarms, probe_moved=True, moved_since=9, same_weights=False, untouched=free)
    assert found == expected


@pytest.mark.parametrize(
    "found, alarms, effect, facts, expected",
    [
        (("environment",), ["model"], 1.0, {"upgraded": True}, "note"),
        (("environment",), ["model"], 0.0, {}, "ticket"),
        (("environment",), ["model"], 0.5, {}, "page"),
        (("environment", "data"), ["model", "tokens"], 0.5, {"upgraded": True}, "ticket"),
        (("environment", "data"), ["model", "input"], 0.5, {"upgraded": True}, "note"),
        (("model",), ["model"], 0.0, {"upgraded": True}, "page"),
        (("model", "data"), ["model", "tokens"], 0.5, {"declared": True}, "ticket"),
        (("serving",), ["fidelity"], 0.0, {"declared": True}, "note"),
        (("data",), ["heads"], 0.5, {"declared": True}, "page"),
    ],
)
def test_what_was_done_on_purpose_is_a_note_and_data_beside_it_are_judged(
    found, alarms, effect, facts, expected
):
    known = {"declared": False, **facts}
    assert (
        severity(causes=found, alarms=alarms, heads=[], prediction_effect=effect, minimum_effect=0.2, **known)
        == expected
    )


def test_suspicions_stand_between_the_cause_and_the_harm():
    text = summarise(
        causes=("data",),
        severity="note",
        since=4,
        since_time=None,
        channels={},
        probe_known=True,
        prediction_effect=0.0,
        declared=False,
        suspicions=[Suspicion(name="lower_casing", sign="inputs without a capital letter: 1 % -> 60 %")],
    )
    assert text == (
        "Since window 4: the model itself is unchanged, so the cause is the data; suspected: inputs that "
        "are lower-cased (inputs without a capital letter: 1 % -> 60 %); predictions hold: "
        "nothing needs to be done now."
    )


def test_data_are_never_called_a_declared_change(detector):
    rng = np.random.default_rng(6)
    windows = [draw_features(rng, 100, trigger=0.3) for _ in range(3)]
    damaged = read(weights_hash="b", head_hashes=with_heads((1, 2)))
    _, verdicts = play(detector, windows, [reading(**KNOWN), damaged, damaged], declared=True)
    assert "so the cause is the data; " in verdicts[0].summary
    assert (
        "the model's weights changed (those of L1H2) (a declared change); besides that the data changed; "
        in verdicts[-1].summary
    )


def test_data_under_other_files_with_the_same_numbers_say_so(detector):
    rng = np.random.default_rng(7)
    saved_again = reading(**{**KNOWN, "weights_hash": "b"})
    _, verdicts = play(detector, [draw_features(rng, 100, trigger=0.3)] * 2, [saved_again] * 2)
    assert verdicts[-1].causes == ("data",)
    assert (
        "the model's files are other ones but give the same numbers, so the cause is the data"
        in verdicts[-1].summary
    )
