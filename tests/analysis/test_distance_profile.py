"""Attention by relative distance and the survey that samples it, against plain loops."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.analysis.heads.distance_profile import DISTANCE_BINS, DistanceReducer
from monitor.analysis.heads.means import HeadMeans
from monitor.analysis.heads.roles import ROLES, RoleReducer
from monitor.analysis.heads.survey import HeadSurvey
from monitor.analysis.heads.survey_sums import SurveySums
from monitor.analysis.settings import ScheduledSettings
from monitor.analysis.together import SomeInputs
from tests.analysis.random_layers import RandomLayers, random_layers

RANGES = [
    (-10_000, -65), (-64, -33), (-32, -17), (-16, -9), (-8, -5), (-4, -3), (-2, -2), (-1, -1), (0, 0),
    (1, 1), (2, 2), (3, 4), (5, 8), (9, 16), (17, 32), (33, 64), (65, 10_000),
]  # fmt: skip


def plain_profile(layers: RandomLayers, number: int, layer: int, *, causal: bool) -> np.ndarray:
    """(head, bin): every pair of a query and a key put into its bin by hand."""
    attention, _ = layers.row(number, layer)
    _, _, special = layers.words(number)
    heads, n, _ = attention.shape
    aside = [i == 0 for i in range(n)] if causal else [mark or i == 0 for i, mark in enumerate(special)]
    queries = [i for i in range(n) if not (i == 0 if causal else special[i])] or list(range(n))
    found = np.zeros((heads, len(RANGES) + 1))
    for h in range(heads):
        for i in queries:
            for j in range(n):
                place = next(k for k, (low, high) in enumerate(RANGES) if low <= j - i <= high)
                found[h, len(RANGES) if aside[j] else place] += attention[h, i, j] / len(queries)
    return found


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("causal", [False, True], ids=["encoder", "decoder"])
def test_the_profile_equals_counting_every_pair_by_its_distance(causal: bool, side: str) -> None:
    layers = random_layers(causal=causal, side=side)
    for block in (14, 5):
        reducer = DistanceReducer(layers.marks)
        layers.feed(reducer, block=block)
        found = reducer.profile().numpy()
        for number in range(3):
            for layer in range(3):
                wanted = plain_profile(layers, number, layer, causal=causal)
                np.testing.assert_allclose(found[number, layer], wanted, atol=1e-6)


def test_far_tokens_fall_into_the_outer_bins() -> None:
    layers = random_layers(lengths=(140,), width=140)
    reducer = DistanceReducer(layers.marks)
    layers.feed(reducer, block=33)
    for layer in range(3):
        wanted = plain_profile(layers, 0, layer, causal=False)
        assert wanted[:, [0, -2]].min() > 0.05
        np.testing.assert_allclose(reducer.profile()[0, layer].numpy(), wanted, atol=1e-5)


def test_the_bins_are_named_after_their_distances_and_hold_all_attention() -> None:
    assert DISTANCE_BINS[:3] == ("..-65", "-64..-33", "-32..-17")
    assert DISTANCE_BINS[7:10] == ("-1", "0", "+1")
    assert DISTANCE_BINS[-2:] == ("+65..", "special")
    assert len(DISTANCE_BINS) == len(RANGES) + 1
    layers = random_layers()
    reducer = DistanceReducer(layers.marks)
    layers.feed(reducer, block=4)
    np.testing.assert_allclose(reducer.profile().sum(-1).numpy(), 1, atol=1e-6)


def test_a_reducer_of_some_inputs_sees_these_as_if_they_were_alone() -> None:
    layers = random_layers()
    whole, some = (
        RoleReducer(marks, grams=layers.grams)
        for marks in (layers.marks, layers.marks.rows(slice(0, None, 2)))
    )
    layers.feed(whole, block=5)
    layers.feed(SomeInputs(some, slice(0, None, 2)), block=5)
    np.testing.assert_allclose(some.shares().numpy(), whole.shares()[::2].numpy(), equal_nan=True)


def test_a_survey_of_each_fourth_input_counts_through_the_batches() -> None:
    settings = ScheduledSettings(distance_profile=True, roles=True, sinks=False)
    survey = HeadSurvey(settings, every=4)
    seen = []
    for seed in range(5):
        layers = random_layers(seed)
        for reducer in survey.start(layers.marks, layers.grams):
            layers.feed(reducer, block=14)
        survey.finish(np.ones(3, dtype=bool))
        survey.commit()
        seen += [(seed, row) for row in range(3)]
    chosen = seen[::4]
    assert survey.samples == len(chosen) == 4
    wanted = HeadMeans.nothing(DISTANCE_BINS, 3, 4)
    for seed, row in chosen:
        layers = random_layers(seed)
        one = [plain_profile(layers, row, layer, causal=False) for layer in range(3)]
        wanted = wanted.with_samples(np.array([one]))
    assert survey.distance_profile is not None
    np.testing.assert_allclose(survey.distance_profile.mean, wanted.mean, atol=1e-6)


def sums(seed: int) -> SurveySums:
    draw = np.random.default_rng(seed)
    return SurveySums(
        samples=5,
        distances=HeadMeans.nothing(DISTANCE_BINS, 2, 3).with_samples(
            draw.random((5, 2, 3, len(DISTANCE_BINS)))
        ),
        roles=HeadMeans.nothing(ROLES, 2, 3).with_samples(draw.random((5, 2, 3, len(ROLES)))),
    )


def test_sums_merge_in_any_order_and_survive_a_file() -> None:
    one, two, three = map(sums, range(3))
    left, right = one.merge(two).merge(three), three.merge(one.merge(two))
    for a, b in (
        (left, right),
        (left, SurveySums.from_arrays(left.to_arrays())),
        (left, left.merge(SurveySums())),
    ):
        found, wanted = a.record(), b.record()
        assert found is not None
        assert wanted is not None
        assert (found.samples, found.bins, found.role_names) == (15, DISTANCE_BINS, ROLES)
        for name in ("distances", "distances_error", "roles", "roles_error"):
            np.testing.assert_allclose(getattr(found, name), getattr(wanted, name), rtol=1e-6)


def test_a_survey_of_nothing_has_no_record() -> None:
    assert SurveySums().record() is None
    assert SurveySums.from_arrays({}).record() is None
