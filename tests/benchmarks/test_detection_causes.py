"""The matrix of causes: what counts as said, and what a served answer is taken to be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.detection.causes import causes_of, label
from benchmarks.detection.pools import Pool
from benchmarks.detection.teller import served
from tests.drift.synthetic import draw_features
from tests.exporters.scenes import alarmed, quiet

UPGRADE = ("torch 2.13.0 -> 3.0",)


@pytest.mark.parametrize(
    "facts, said",
    [
        ({"causes": ("data",)}, {"data"}),
        ({"causes": ("model", "data"), "severity": "page"}, {"model", "data"}),
        ({"causes": ("environment",)}, {"environment"}),
        ({"causes": ("environment",), "severity": "note", "upgrades": UPGRADE}, {"upgrade"}),
        ({"causes": ("environment",), "severity": "ticket", "upgrades": UPGRADE}, {"ticket"}),
        ({"causes": ("model",), "severity": "page", "upgrades": UPGRADE}, {"model"}),
        ({"causes": ("model",), "severity": "note", "declared": True}, {"declared rollout"}),
        ({"causes": ("serving",), "severity": "page", "declared": True}, {"page"}),
        (
            {"causes": ("model", "data"), "severity": "ticket", "declared": True},
            {"declared rollout", "data"},
        ),
    ],
)
def test_an_announced_change_is_only_right_as_a_note(facts, said):
    assert causes_of(replace(alarmed(), **facts)) == said


def test_a_quiet_window_says_nothing_but_an_upgrade():
    assert causes_of(quiet()) == set()
    assert causes_of(replace(quiet(), upgrades=UPGRADE)) == {"upgrade"}


def test_a_column_of_the_matrix_has_the_causes_in_one_order():
    assert label(set()) == "none"
    assert label({"data", "model"}) == "model + data"
    assert label({"upgrade", "page"}) == "upgrade + page"


def pool(features):
    return Pool(features=features, pooled=np.zeros((len(features), 2), np.float32),
                labels=np.zeros(len(features), np.int64))  # fmt: skip


def test_a_server_with_the_same_model_differs_by_its_rounding_alone():
    features = draw_features(np.random.default_rng(0), 50)
    fidelity = served(pool(features)).fidelity
    assert not fidelity[:, 0].any()
    assert fidelity[:, 1].max() <= 0.0005001


def test_another_servers_answers_are_compared_with_the_replays():
    rng = np.random.default_rng(1)
    replayed, answered = draw_features(rng, 50), draw_features(rng, 50)
    by_server = np.arange(50) < 25
    fidelity = served(pool(replayed), pool(answered), by_server).fidelity
    one, other = replayed.prediction[:, 2:], answered.prediction[:, 2:]
    differs = one.argmax(axis=1) != other.argmax(axis=1)
    assert np.array_equal(fidelity[:25, 0] > 0, differs[:25])
    assert not fidelity[25:, 0].any()
    chosen = other.argmax(axis=1)
    gap = np.abs(other[np.arange(50), chosen] - one[np.arange(50), chosen])
    assert np.allclose(fidelity[:25, 1], gap[:25])
