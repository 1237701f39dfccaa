"""Head roles against plain loops over single rows, and what must hold for them whatever the weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monitor.analysis.heads.means import HeadMeans
from monitor.analysis.heads.role_changes import leading_role, role_changes
from monitor.analysis.heads.roles import DECODER_ONLY, ENCODER_ONLY, ROLES, RoleReducer
from monitor.records import HeadId
from tests.analysis.random_layers import RandomLayers, random_layers, stream


def plain_shares(layers: RandomLayers, number: int, layer: int, *, causal: bool) -> np.ndarray:
    """(head, role) of one row, written from the definitions alone."""
    attention, value = layers.row(number, layer)
    ids, punctuation, special = layers.words(number)
    heads, n, _ = attention.shape
    first_only = [i == 0 for i in range(n)] if causal else special
    queries = [i for i in range(n) if not first_only[i]] or list(range(n))
    if causal:
        queries = [i for i in queries if i + 1 >= 2]
    written = np.linalg.norm(
        np.einsum("hqk,hkd,hdo->hqo", attention, value, layers.projections[layer].double().numpy()), axis=-1
    )
    result = np.full((heads, len(ROLES)), np.nan)
    for h in range(heads):
        found: dict[str, list[float]] = {name: [] for name in ROLES}
        for i in queries:
            a = attention[h, i]
            seen = range(i + 1) if causal else range(n)
            found["self"].append(a[i])
            found["previous"].append(a[i - 1] if i > 0 else 0.0)
            found["next"].append(a[i + 1] if i + 1 < n else 0.0)
            found["first"].append(a[0])
            found["separator"].append(sum(a[j] for j in range(1, n) if special[j]))
            found["punctuation"].append(sum(a[j] for j in range(n) if punctuation[j]))
            near = [j for j in seen if abs(i - j) <= 3]
            even = len(near) / len(seen)
            if even < 1:
                found["local"].append(max(0.0, (sum(a[j] for j in near) - even) / (1 - even)))
            found["broad"].append(np.exp(-sum(a[j] * np.log(a[j]) for j in seen if a[j] > 0)) / len(seen))
            same = [j for j in seen if j < i and ids[j] == ids[i]]
            after = [j for j in seen if 0 < j <= i and j - 1 < i and ids[j - 1] == ids[i]]
            if same:
                found["duplicate"].append(sum(a[j] for j in same))
            if after:
                found["induction"].append(sum(a[j] for j in after))
        everyone = [i for i in range(n) if not first_only[i]] or list(range(n))
        found["dead"] = [float(written[h, i] <= 0.01 * written[:, i].mean()) for i in everyone]
        for place, name in enumerate(ROLES):
            absent = name in (ENCODER_ONLY if causal else DECODER_ONLY)
            if found[name] and not absent:
                result[h, place] = np.mean(found[name])
    return result


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("causal", [False, True], ids=["encoder", "decoder"])
def test_role_shares_equal_plain_loops_over_each_row(causal: bool, side: str) -> None:
    layers = random_layers(causal=causal, side=side)
    for block in (14, 5):
        reducer = RoleReducer(layers.marks, grams=layers.grams)
        layers.feed(reducer, block=block)
        shares = reducer.shares().double().numpy()
        for number in range(3):
            for layer in range(3):
                wanted = plain_shares(layers, number, layer, causal=causal)
                np.testing.assert_allclose(shares[number, layer], wanted, atol=1e-5)


def test_a_head_that_writes_a_thousandth_of_the_others_is_dead_and_they_are_not() -> None:
    layers = random_layers()
    reducer = RoleReducer(layers.marks, grams=layers.grams)
    layers.feed(reducer, block=14)
    dead = reducer.shares()[..., ROLES.index("dead")]
    assert (dead[:, 1, 2] == 1).all()
    dead[:, 1, 2] = 0
    assert (dead == 0).all()


def test_even_attention_is_broad_and_not_local() -> None:
    layers = random_layers(lengths=(12,), width=12)
    even = torch.full((1, 4, 12, 12), 1 / 12)
    reducer = RoleReducer(layers.marks, grams=None)
    reducer.begin(0, None)
    stream(reducer, even, 12)
    shares = dict(zip(ROLES, reducer.shares()[0, 0, 0].tolist(), strict=True))
    assert (shares["local"], shares["broad"]) == (pytest.approx(0, abs=1e-5), pytest.approx(1))


def test_without_an_output_projection_nothing_is_called_dead() -> None:
    layers = random_layers()
    reducer = RoleReducer(layers.marks, grams=None)
    layers.feed(reducer, block=14)
    assert reducer.shares()[..., ROLES.index("dead")].isnan().all()


def test_a_narrow_role_leads_over_a_wide_one_and_none_leads_below_a_half() -> None:
    roles = ("self", "previous", "local", "broad", "dead")
    assert leading_role(roles, np.array([0.1, 0.6, 0.9, 0.2, 0.0])) == "previous"
    assert leading_role(roles, np.array([0.1, 0.3, 0.9, 0.2, 0.0])) == "local"
    assert leading_role(roles, np.array([0.1, 0.3, 0.4, 0.2, np.nan])) == "mixed"
    assert leading_role(roles, np.array([0.1, 0.6, 0.9, 0.2, 1.0])) == "dead"


def means(values: np.ndarray, roles: tuple[str, ...] = ("self", "first")) -> HeadMeans:
    return HeadMeans.nothing(roles, *values.shape[1:3]).with_samples(values)


def test_a_head_that_turned_to_the_first_token_is_named_with_its_role_before_and_now() -> None:
    draw = np.random.default_rng(0)
    before = draw.uniform(0.55, 0.65, (40, 2, 3, 2)) * [1, 0.2]
    after = before.copy()
    after[:, 1, 2] = after[:, 1, 2, ::-1]
    (change,) = role_changes(means(before), means(after))
    assert change.head == HeadId(layer=1, head=2)
    assert (change.leading_before, change.leading_after) == ("self", "first")
    assert change.before == pytest.approx(before[:, 1, 2, ["self", "first"].index(change.role)].mean())


def test_equal_samples_change_no_role_and_chance_changes_none_either() -> None:
    draw = np.random.default_rng(1)
    one, other = (draw.beta(2, 3, (60, 6, 12, 2)) for _ in range(2))
    assert role_changes(means(one), means(one)) == []
    assert role_changes(means(one), means(other)) == []


def test_head_means_are_those_of_all_samples_however_they_are_split() -> None:
    draw = np.random.default_rng(2)
    values = draw.uniform(size=(9, 2, 3, 2))
    values[3:6, 0, 0, 1] = np.nan
    whole = means(values)
    merged = means(values[:4]).merge(means(values[4:]))
    np.testing.assert_allclose(merged.mean, whole.mean)
    np.testing.assert_allclose(merged.standard_error, whole.standard_error)
    np.testing.assert_allclose(whole.mean, np.nanmean(values, axis=0))
    spread = np.nanstd(values, axis=0, ddof=1) / np.sqrt((~np.isnan(values)).sum(axis=0))
    np.testing.assert_allclose(whole.standard_error, spread)
    nothing = HeadMeans.nothing(("self", "first"), 2, 3)
    np.testing.assert_array_equal(nothing.merge(whole).mean, whole.mean)
