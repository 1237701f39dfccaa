"""What charts show of a window: means that a hand can check, and bounded labels."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from monitor.live.window_figures import (
    MOST_LABELS,
    OTHER_LABELS,
    input_means,
    prediction_mix,
    top_words_overlap,
    window_figures,
)
from monitor.privacy import WordPrivacy, in_clear
from monitor.records import Baseline, WordCount
from tests.drift import synthetic

WORDS = tuple(f"word{number:02d}" for number in range(40))


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    return synthetic.draw_baseline(np.random.default_rng(0), 400)


def test_inputs_are_means_of_tokens_and_shares(baseline):
    before = baseline.features
    longer = before.inputs.copy()
    longer[:, 0] += math.log(2)
    longer[:, 1] = 0.25
    longer[:, 2] = np.arange(len(before)) % 2
    means = input_means(before, replace(before, inputs=longer))
    assert means["tokens"][1] == pytest.approx(2 * means["tokens"][0], rel=1e-5)
    assert means["tokens"][0] == pytest.approx(np.exp(before.inputs[:, 0]).mean())
    assert means["unknown"][1] == 0.25
    assert means["truncated"][1] == pytest.approx(0.5, abs=1e-3)


def test_the_prediction_mix_is_the_mean_probability_of_each_label(baseline):
    before = baseline.features
    labels = baseline.identity.labels
    one = np.zeros((len(before), 2 + len(labels)), dtype=np.float32)
    one[:, 2] = 1.0
    mix = prediction_mix(baseline, replace(before, prediction=one))
    assert set(mix) == set(labels)
    assert mix[labels[0]][1] == 1.0
    assert sum(then for then, _ in mix.values()) == pytest.approx(before.prediction[:, 2:].sum(axis=1).mean())


def test_of_many_labels_the_commonest_are_told_and_the_others_together(baseline):
    before = baseline.features
    labels = tuple(f"class {number}" for number in range(100))
    draw = np.random.default_rng(1).dirichlet(np.ones(100), len(before)).astype(np.float32)
    many = replace(before, prediction=np.column_stack([draw.max(axis=1), draw.std(axis=1), draw]))
    wide = replace(baseline, features=many, identity=replace(baseline.identity, labels=labels))
    mix = prediction_mix(wide, many)
    assert len(mix) == MOST_LABELS + 1
    assert OTHER_LABELS in mix
    for column in (0, 1):
        assert sum(pair[column] for pair in mix.values()) == pytest.approx(1, abs=1e-4)


def test_a_model_that_predicts_no_label_has_no_mix(baseline):
    none = replace(baseline.features, prediction=np.zeros((len(baseline.features), 0), dtype=np.float32))
    assert prediction_mix(replace(baseline, features=none), none) == {}
    value = replace(baseline, identity=replace(baseline.identity, task="regression"))
    assert prediction_mix(value, baseline.features) == {}


def test_the_overlap_is_the_share_of_the_commonest_top_words_that_stay(baseline):
    words = {word: WordCount(present=99, top=90 - place) for place, word in enumerate(WORDS)}
    known = replace(baseline, words=words)
    same = replace(baseline.features, top_words=(WORDS[:20],) * len(baseline.features))
    half = replace(baseline.features, top_words=(WORDS[10:30],) * len(baseline.features))
    other = replace(baseline.features, top_words=(WORDS[20:],) * len(baseline.features))
    assert top_words_overlap(same, known, in_clear) == 1.0
    assert top_words_overlap(half, known, in_clear) == 0.5
    assert top_words_overlap(other, known, in_clear) == 0.0


def test_words_that_the_baseline_keeps_hashed_are_recognised(baseline):
    privacy = WordPrivacy(key=bytes(32))
    known = replace(baseline, words={privacy.name("film", 0): WordCount(present=5, top=5)})
    seen = replace(baseline.features, top_words=(("film",),) * len(baseline.features))
    assert top_words_overlap(seen, known, privacy.name) == 1.0
    assert top_words_overlap(seen, known, WordPrivacy(key=bytes(31) + b"1").name) == 0.0


def test_without_attributed_words_the_overlap_is_unknown(baseline):
    none = replace(baseline.features, top_words=((),) * len(baseline.features))
    assert math.isnan(top_words_overlap(none, baseline, in_clear))
    assert math.isnan(top_words_overlap(baseline.features, replace(baseline, words={}), in_clear))


def test_a_layer_that_moved_has_the_largest_effect_and_its_heads_another_role(baseline):
    before = baseline.features
    profile = before.profile.copy()
    place = baseline.statistics.index("self")
    profile[:, 1, :, place] = np.clip(profile[:, 1, :, place] + 0.5, 0, 1)
    figures = window_figures(replace(before, profile=profile), baseline, in_clear)
    assert figures.layer_effects.argmax() == 1
    assert figures.layer_effects[0] == pytest.approx(0, abs=1e-3)
    assert figures.roles_changed["self"] == before.profile.shape[2]
    assert sum(figures.roles_changed.values()) == figures.roles_changed["self"]


def test_importance_is_each_layers_share(baseline):
    importance = np.array(baseline.features.importance) * 0
    importance[0] = 3.0
    importance[1] = 1.0
    figures = window_figures(replace(baseline.features, importance=importance), baseline, in_clear)
    assert figures.layer_importance[:2].tolist() == [0.75, 0.25]
    unknown = window_figures(replace(baseline.features, importance=importance * 0), baseline, in_clear)
    assert unknown.layer_importance.size == 0
