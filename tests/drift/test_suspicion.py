"""Faults of the pipeline are recognised by what they leave in the inputs; other subjects are none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from monitor.drift.changes import UNCHANGED, Changes
from monitor.drift.recent_inputs import KEPT, MEASURES, RecentInputs, no_inputs
from monitor.drift.suspicion import SUSPICIONS, Signs, _words, suspicions
from tests.drift.synthetic import at, draw_baseline, draw_features, fit, judge, reading

COLUMN = {name: index for index, name in enumerate(MEASURES)}


def draw_inputs(rng, count):
    """English prose as an encoder's tokenizer cuts it: (sample, measure)."""
    tokens = np.clip(np.rint(np.exp(rng.normal(3.2, 0.4, count))), 5, 200)
    capitals = np.maximum(1, rng.poisson(4, count)) / (4 * tokens) * (rng.random(count) > 0.01)
    marks = np.maximum(1, rng.poisson(3, count)) / (4 * tokens) * (rng.random(count) > 0.02)
    zero = np.zeros(count)
    return np.column_stack(
        [
            np.log(tokens),
            zero,
            zero,
            np.full(count, 2.0),
            1.1 + rng.gamma(1.0, 0.1, count),
            capitals,
            marks,
            rng.normal(4.0, 0.5, count),
        ]
    )


def changed(values, **measures):
    """The same samples with other values in some measures."""
    values = values.copy()
    for name, value in measures.items():
        values[:, COLUMN[name]] = value
    return values


def cut(values, tokens=16):
    return changed(values, log_tokens=np.minimum(values[:, 0], np.log(tokens)))


def tokenized_otherwise(values):
    pieces = 1.6 * values[:, COLUMN["tokens_per_word"]]
    return changed(values, tokens_per_word=pieces, unknown_share=0.03, log_tokens=values[:, 0] + np.log(1.6))


def cut_to_words(values, words=10):
    """Cut before it was sent: the tokens follow from the words, most have no stop at their end."""
    pieces = values[:, COLUMN["tokens_per_word"]]
    content = np.minimum(np.exp(values[:, 0]) - 2, np.rint(words * pieces))
    return changed(values, log_tokens=np.log(content + 2), tokens_per_word=np.maximum(content / words, 1.0))


FAULTS = {
    "tokenizer": (tokenized_otherwise, "words take "),
    "truncation": (cut, "inputs of exactly 16 tokens: "),
    "special_tokens": (
        lambda values: changed(values, special_tokens=3.0),
        "inputs with 3 special tokens instead of 2: 0 % -> ",
    ),
    "lower_casing": (
        lambda values: changed(values, uppercase_share=0.0),
        "inputs without a capital letter: ",
    ),
    "punctuation": (lambda values: changed(values, punctuation_share=0.0), "inputs without punctuation: "),
}


@pytest.fixture(scope="module")
def before():
    return draw_inputs(np.random.default_rng(0), 2000)


def mixed(rng, fault, *, share, count):
    values = draw_inputs(rng, count)
    struck = round(share * count)
    return np.concatenate([fault(values[:struck]), values[struck:]])


def names(before, now, found=UNCHANGED, padding=0.0):
    signs = Signs(before=before, now=now, changes=found, padding=padding)
    return [item.name for item in suspicions(signs)]


def test_every_fault_that_shows_in_the_inputs_has_an_example_here():
    assert set(FAULTS) == set(SUSPICIONS) - {"padding"}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("share, count", [(1.0, 200), (0.25, 200), (0.1, 1000)])
def test_a_fault_is_recognised_in_all_or_some_of_the_inputs(before, fault, share, count):
    rng = np.random.default_rng(1)
    strike, sign = FAULTS[fault]
    for _ in range(20):
        now = mixed(rng, strike, share=share, count=count)
        (found,) = suspicions(Signs(before=before, now=now, changes=UNCHANGED))
        assert found.name == fault
        assert found.sign.startswith(sign)


@pytest.mark.parametrize("share, count", [(1.0, 200), (0.25, 200), (0.1, 1000)])
def test_texts_that_were_cut_by_words_before_they_were_sent_are_recognised(before, share, count):
    rng = np.random.default_rng(6)
    for _ in range(20):
        now = mixed(rng, cut_to_words, share=share, count=count)
        (found,) = suspicions(Signs(before=before, now=now, changes=UNCHANGED))
        assert found.name == "truncation"
        assert found.sign.startswith("inputs of exactly 10 words: ")


def test_a_sign_tells_how_many_inputs_had_it_and_have_it(before):
    now = changed(draw_inputs(np.random.default_rng(2), 400), special_tokens=3.0)
    now[100:, COLUMN["special_tokens"]] = 2.0
    (found,) = suspicions(Signs(before=before, now=now, changes=UNCHANGED))
    assert found.sign == "inputs with 3 special tokens instead of 2: 0 % -> 25 %"


def test_thousands_of_quiet_windows_look_like_no_fault(before):
    rng = np.random.default_rng(3)
    sizes = [30, 100, 200, 600, 2000]
    assert not any(names(before, draw_inputs(rng, sizes[window % 5])) for window in range(5000))


@pytest.mark.parametrize(
    "subject",
    [
        # another domain: longer, with rarer words and more capitals
        lambda v: changed(
            v, log_tokens=v[:, 0] + 0.5, surprisal=v[:, 7] + 0.6, uppercase_share=1.3 * v[:, 5]
        ),
        # headlines: short, capitals, a third without punctuation
        lambda v: changed(
            v,
            log_tokens=np.log(np.rint(np.exp(0.5 * v[:, 0] + 1))),
            punctuation_share=v[:, 6] * (v[:, 7] > 3.8),
            uppercase_share=2 * v[:, 5],
            surprisal=v[:, 7] + 1.5,
        ),
        # another language: every word in many pieces, all of them strange
        lambda v: changed(v, tokens_per_word=1.7 * v[:, 4], surprisal=v[:, 7] + 2.5, unknown_share=0.01),
        # lower-cased chat in which every word is strange
        lambda v: changed(v, uppercase_share=0.0, surprisal=v[:, 7] + 1.0, log_tokens=v[:, 0] - 0.6),
    ],
    ids=["domain", "headlines", "language", "chat"],
)
@pytest.mark.parametrize("share", [0.1, 0.25, 1.0])
def test_another_subject_or_language_is_no_fault_of_the_pipeline(before, subject, share):
    rng = np.random.default_rng(4)
    assert not any(names(before, mixed(rng, subject, share=share, count=600)) for _ in range(50))


def test_what_the_baseline_never_had_cannot_be_lost():
    rng = np.random.default_rng(5)
    lower = changed(draw_inputs(rng, 2000), uppercase_share=0.0)
    assert names(lower, changed(draw_inputs(rng, 600), uppercase_share=0.0)) == []


def test_inputs_over_the_models_limit_are_told_as_such(before):
    now = changed(draw_inputs(np.random.default_rng(6), 200), truncated=0.0)
    now[:40, COLUMN["truncated"]] = 1.0
    (found,) = suspicions(Signs(before=before, now=now, changes=UNCHANGED))
    assert (found.name, found.sign) == ("truncation", "inputs longer than the model takes: 0 % -> 20 %")


def test_texts_that_are_sent_again_and_again_prove_nothing(before):
    rng = np.random.default_rng(10)
    for _ in range(50):
        now = draw_inputs(rng, 150)[rng.integers(150, size=2000)]
        assert names(before, now) == []


def test_cut_inputs_that_lost_their_full_stop_are_cut_and_not_stripped(before):
    now = cut(draw_inputs(np.random.default_rng(7), 400))
    now[now[:, 0] == np.log(16), COLUMN["punctuation_share"]] = 0.0
    assert names(before, now) == ["truncation"]


@pytest.mark.parametrize(
    "found, padding, expected",
    [
        (
            Changes(files=True, tokenizer=True),
            0.0,
            [("tokenizer", "the tokenizer's files are not those of the baseline")],
        ),
        (Changes(pipeline=("most tokens 512 -> 16",)), 0.0, [("truncation", "most tokens 512 -> 16")]),
        (
            Changes(pipeline=("padding side right -> left",)),
            0.0,
            [("padding", "padding side right -> left")],
        ),
        (
            Changes(pipeline=("special tokens added [CLS] [SEP] -> [CLS] [SEP] [SEP]",)),
            0.0,
            [("special_tokens", "special tokens added [CLS] [SEP] -> [CLS] [SEP] [SEP]")],
        ),
        (Changes(pipeline=("lower-casing yes -> no",)), 0.0, [("lower_casing", "lower-casing yes -> no")]),
        (UNCHANGED, 0.05, []),
        (UNCHANGED, 28.4, [("padding", "padding moves the profile of one input by 28.4 sd")]),
        (Changes(files=True), 28.4, []),
        (Changes(upgrades=("torch 2.13.0 -> 3.0",)), 0.0, []),
    ],
)
def test_what_the_models_identity_tells_needs_no_samples(before, found, padding, expected):
    signs = Signs(before=before, now=before[:0], changes=found, padding=padding)
    assert [(item.name, item.sign) for item in suspicions(signs)] == expected


def test_the_newest_inputs_are_kept_with_their_windows():
    rng = np.random.default_rng(8)
    kept = no_inputs()
    for window in range(30):
        kept = kept.add(window, draw_inputs(rng, 100))
    assert len(kept.values) == len(kept.windows) == KEPT
    assert kept.since(28).shape == (200, len(MEASURES))
    assert kept.since(0).shape == (KEPT, len(MEASURES))
    again = RecentInputs.from_arrays(kept.to_arrays())
    assert np.array_equal(again.values, kept.values)


def with_inputs(features, values):
    return replace(features, inputs=values[:, :-1].astype(np.float32))


def test_a_suspicion_is_told_while_the_alarm_stands_and_never_in_quiet_windows():
    rng = np.random.default_rng(9)
    made = draw_baseline(rng, 1000)
    baseline = replace(made, features=with_inputs(made.features, draw_inputs(rng, 1000)))
    detector = fit(baseline)
    state, verdicts = detector.start(), []
    for window in range(12):
        values = draw_inputs(rng, 100)
        if 4 <= window < 7:
            values = changed(values, special_tokens=3.0)
        features = at(with_inputs(draw_features(rng, 100), values), 300.0 * window)
        state, verdict = judge(detector, state, features, window, probe=reading())
        verdicts.append(verdict)
    assert not any(verdict.suspicions for verdict in verdicts if not verdict.alarm)
    assert [item.name for item in verdicts[4].suspicions] == ["special_tokens"]
    assert verdicts[4].causes == ("data",)
    assert (
        "suspected: special tokens that are added twice "
        "(inputs with 3 special tokens instead of 2: 0 % -> 100 %); predictions hold" in verdicts[4].summary
    )
    assert not verdicts[-1].alarm


def test_images_have_no_words_that_could_be_cut():
    """Their tokens belong to none: a count of words from that would be any number, however large."""
    images = changed(draw_inputs(np.random.default_rng(5), 300), log_tokens=np.log(197), tokens_per_word=0.0)
    assert _words(images).tolist() == [0] * 300
    assert not suspicions(Signs(before=images, now=images, changes=UNCHANGED))
