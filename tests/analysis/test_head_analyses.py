"""Norm-weighted attention, sinks, distances between heads and pruning, against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon

from monitor.analysis.heads.distances import HeadDistances, QueryRowKeeper, clusters, mean_distances
from monitor.analysis.heads.norm_weighted import NORM_SHARES, NormWeightedReducer, value_norms
from monitor.analysis.heads.pruning import pruning_candidates
from monitor.analysis.heads.sinks import SINK_MEASURES, SinkReducer
from monitor.records import HeadId
from tests.analysis.random_layers import RandomLayers, random_layers


def plain_norm_shares(layers: RandomLayers, number: int, layer: int, *, causal: bool) -> np.ndarray:
    """(head, share) by the transformed vectors themselves: |alpha_ij v_j W_O|, Kobayashi et al. eq. 4."""
    attention, value = layers.row(number, layer)
    _, punctuation, special = layers.words(number)
    heads, n, _ = attention.shape
    weight = layers.projections[layer].double().numpy()
    first_only = [i == 0 for i in range(n)] if causal else special
    queries = [i for i in range(n) if not first_only[i]] or list(range(n))
    result = np.zeros((heads, len(NORM_SHARES)))
    for h in range(heads):
        rows = []
        for i in queries:
            moved = np.array(
                [np.linalg.norm(attention[h, i, j] * (value[h, j] @ weight[h])) for j in range(n)]
            )
            share = moved / moved.sum()
            rows.append(
                [
                    share[i],
                    share[i - 1] if i else 0.0,
                    share[0],
                    sum(share[j] for j in range(1, n) if special[j]),
                    sum(share[j] for j in range(n) if punctuation[j]),
                ]
            )
        result[h] = np.mean(rows, axis=0)
    return result


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("causal", [False, True], ids=["encoder", "decoder"])
def test_norm_weighted_shares_equal_those_of_the_explicit_vectors(causal: bool, side: str) -> None:
    layers = random_layers(causal=causal, side=side)
    for block in (14, 4):
        reducer = NormWeightedReducer(layers.marks, grams=layers.grams)
        layers.feed(reducer, block=block)
        shares = reducer.shares()
        assert shares is not None
        for number in range(3):
            for layer in range(3):
                wanted = plain_norm_shares(layers, number, layer, causal=causal)
                np.testing.assert_allclose(shares[number, layer].numpy(), wanted, atol=1e-5)


def test_the_norm_through_the_gram_matrix_is_that_of_the_projected_value() -> None:
    draw = torch.Generator().manual_seed(3)
    value = torch.randn(2, 3, 5, 4, generator=draw)
    weight = torch.randn(3, 4, 9, generator=draw)
    norms = value_norms(value, weight @ weight.transpose(-1, -2))
    torch.testing.assert_close(norms, torch.einsum("bhkd,hdo->bhko", value, weight).norm(dim=-1))


def test_a_tier_that_hands_no_values_over_gives_no_norm_weighted_shares() -> None:
    layers = random_layers()
    reducer = NormWeightedReducer(layers.marks, grams=layers.grams)
    layers.feed(reducer, block=14, values=False)
    assert reducer.shares() is None


def plain_sinks(layers: RandomLayers, number: int, layer: int, *, causal: bool) -> np.ndarray:
    """(head, measure): Gu et al. 2024, the mean weight over the queries that see a key."""
    attention, _ = layers.row(number, layer)
    _, punctuation, special = layers.words(number)
    heads, n, _ = attention.shape
    result = np.full((heads, len(SINK_MEASURES)), np.nan)
    for h in range(heads):
        largest: dict[str, float] = {}
        for k in range(n):
            queries = range(k, n) if causal else range(n)
            if len(queries) * 2 < n:
                continue
            importance = np.mean([attention[h, i, k] for i in queries])
            separator = special[k] and not causal
            kind = (
                "first"
                if k == 0
                else "separator"
                if separator
                else "punctuation"
                if punctuation[k]
                else "other"
            )
            largest[kind] = max(importance, largest.get(kind, 0.0))
        for kind, value in largest.items():
            result[h, SINK_MEASURES.index(kind)] = value
        result[h, -1] = float(max(largest.values()) > 0.3)
    return result


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("causal", [False, True], ids=["encoder", "decoder"])
def test_sinks_equal_plain_column_means(causal: bool, side: str) -> None:
    layers = random_layers(causal=causal, side=side)
    for block in (14, 5):
        reducer = SinkReducer(layers.marks)
        layers.feed(reducer, block=block)
        found = reducer.sinks().numpy()
        for number in range(3):
            for layer in range(3):
                np.testing.assert_allclose(
                    found[number, layer], plain_sinks(layers, number, layer, causal=causal), atol=1e-6
                )


@pytest.mark.parametrize("side", ["right", "left"])
def test_distances_between_heads_equal_scipys_jensen_shannon_distance_squared(side: str) -> None:
    layers = random_layers(side=side, layers=2, heads=3)
    for block in (14, 5):
        keeper = QueryRowKeeper(layers.marks, queries=None)
        layers.feed(keeper, block=block)
        found = keeper.distances().numpy()
        for number in range(3):
            heads = np.concatenate([layers.row(number, layer)[0] for layer in range(2)])
            special = layers.words(number)[2]
            queries = [i for i in range(heads.shape[1]) if not special[i]] or list(range(heads.shape[1]))
            for a in range(6):
                for b in range(6):
                    # scipy gives the square root of the divergence
                    wanted = np.mean([jensenshannon(heads[a, i], heads[b, i], base=2) ** 2 for i in queries])
                    assert found[number, a, b] == pytest.approx(0.0 if a == b else wanted, abs=1e-5)


def test_a_few_queries_are_kept_however_long_the_text_and_stand_for_all_of_it() -> None:
    layers = random_layers(lengths=(40, 3), width=40)
    keeper = QueryRowKeeper(layers.marks, queries=8)
    layers.feed(keeper, block=7)
    few = keeper.distances()
    assert keeper._rows == []
    assert {tuple(kept.shape) for kept in keeper._layers} == {(2, 4, 8, 40)}
    whole = QueryRowKeeper(layers.marks, queries=None)
    layers.feed(whole, block=40)
    torch.testing.assert_close(few[1], whole.distances()[1])
    torch.testing.assert_close(few[0], whole.distances()[0], atol=0.25, rtol=0)


def test_distances_are_symmetric_bounded_and_nothing_for_a_copy() -> None:
    rows = torch.rand(5, 6, 9, generator=torch.Generator().manual_seed(0)) ** 6
    rows = rows / rows.sum(-1, keepdim=True)
    rows[4] = rows[0]
    found = mean_distances(rows)
    torch.testing.assert_close(found, found.T)
    assert found.min() >= 0 and found.max() <= 1
    assert found[0, 4] == pytest.approx(0, abs=1e-6)


def test_distances_of_all_samples_are_the_same_however_they_are_split() -> None:
    draw = np.random.default_rng(0).uniform(size=(5, 4, 4))
    whole = HeadDistances.nothing(4).with_samples(draw)
    merged = (
        HeadDistances.nothing(4).with_samples(draw[:2]).merge(HeadDistances.nothing(4).with_samples(draw[2:]))
    )
    np.testing.assert_allclose(merged.mean, whole.mean)
    np.testing.assert_allclose(whole.mean, draw.mean(axis=0))


def test_heads_within_the_distance_share_a_cluster_and_a_lone_head_has_its_own() -> None:
    groups = np.array([0, 1, 0, 2, 1])
    distances = np.where(groups[:, None] == groups, 0.05, 0.6)
    np.fill_diagonal(distances, 0)
    assert clusters(distances).tolist() == groups.tolist()
    assert clusters(np.zeros((1, 1))).tolist() == [0]


def test_pruning_names_dead_unimportant_and_redundant_heads_with_their_evidence() -> None:
    importance = np.array([[1.0, 1.0, 0.05], [2.0, 1.0, 0.9]])
    dead = np.array([[0.0, 0.0, 0.8], [0.0, 0.0, 0.0]])
    distances = np.full((6, 6), 0.5)
    np.fill_diagonal(distances, 0)
    distances[4, 5] = distances[5, 4] = 0.02
    distances[0, 3] = distances[3, 0] = 0.01  # alike, but in different layers
    first, second = pruning_candidates(importance=importance, dead=dead, distances=distances, heads=3)
    assert first.head == HeadId(layer=0, head=2)
    assert first.reasons == ("dead", "unimportant")
    assert (first.importance, first.dead) == (pytest.approx(0.05), 0.8)
    assert second.head == HeadId(layer=1, head=2)
    assert (second.reasons, second.twin, second.distance) == (("redundant",), HeadId(layer=1, head=1), 0.02)


def test_pruning_works_with_what_was_measured_alone() -> None:
    dead = np.array([[0.0, 0.9]])
    (found,) = pruning_candidates(importance=None, dead=dead, distances=None, heads=2)
    assert (found.head, found.importance, found.twin) == (HeadId(layer=0, head=1), None, None)
    distances = np.array([[0.0, 0.01], [0.01, 0.0]])
    (found,) = pruning_candidates(importance=None, dead=None, distances=distances, heads=2)
    assert (found.head, found.twin) == (HeadId(layer=0, head=1), HeadId(layer=0, head=0))
