"""The nodes of Integrated Gradients: a rule that integrates, nests, and crowds where the output moves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from monitor.analysis.tokens.path_nodes import PathMap, fejer, map_of, nodes_and_weights


def one_map(centre: float, width: float) -> PathMap:
    return PathMap(centre=torch.tensor([centre]).double(), width=torch.tensor([width]).double())


@pytest.mark.parametrize("count", [7, 15, 31])
def test_fejers_rule_is_exact_for_polynomials_below_its_count(count: int) -> None:
    nodes, weights = fejer(count)
    for power in range(count):
        assert float((weights * nodes**power).sum()) == pytest.approx(1 / (power + 1), abs=1e-12)


@pytest.mark.parametrize("count", [7, 15, 31, 63])
def test_every_second_node_is_one_of_the_rule_before(count: int) -> None:
    maps = one_map(0.4, 0.1)
    coarse, fine = nodes_and_weights(maps, count)[0], nodes_and_weights(maps, 2 * count + 1)[0]
    torch.testing.assert_close(fine[:, 1::2], coarse, atol=1e-12, rtol=0)
    assert float(fine.min()) > 0
    assert float(fine.max()) < 1


@pytest.mark.parametrize("centre", [0.2, 0.42, 0.9])
def test_a_sharp_peak_is_integrated_within_a_percent_where_equal_nodes_miss_it(centre: float) -> None:
    def peak(alpha: np.ndarray) -> np.ndarray:
        return 1 / ((alpha - centre) ** 2 + 0.02**2)

    wanted, _ = quad(peak, 0, 1, points=[centre])
    nodes, weights = nodes_and_weights(one_map(centre, 0.05), 15)
    assert float((peak(nodes.numpy()) * weights.numpy()).sum()) == pytest.approx(wanted, rel=0.01)
    plain, plain_weights = fejer(15)
    assert float((peak(plain.numpy()) * plain_weights.numpy()).sum()) != pytest.approx(wanted, rel=0.05)


def test_the_map_stands_where_the_output_moves() -> None:
    steps = torch.linspace(0, 1, 7)
    maps = map_of(torch.stack([torch.tanh(20 * (steps - 0.75)), 3 * steps, torch.ones(7)]))
    assert maps.centre.tolist() == pytest.approx([0.75, 0.5, 0.5], abs=0.01)
    assert float(maps.width[0]) < 0.12
    # a steady slope, and none: spread as a uniform density is
    assert maps.width[1:].tolist() == pytest.approx([12**-0.5] * 2, abs=1e-6)
