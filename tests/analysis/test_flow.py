"""Attention flow against networkx's maximum flow over a network that is built edge by edge."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

from monitor.analysis.tokens.flow import LayerMatrices, attention_flow
from tests.analysis.random_layers import random_layers


def flow_by_networkx(matrices: list[np.ndarray], readout: int) -> np.ndarray:
    """Abnar & Zuidema 2020: capacities (A + I) / 2, from the top's read-out to each input token."""
    n = len(matrices[0])
    graph = nx.DiGraph()
    for layer, matrix in enumerate(matrices):
        for i in range(n):
            for j in range(n):
                capacity = (matrix[i, j] + (i == j)) / 2
                graph.add_edge((layer + 1, i), (layer, j), capacity=capacity)
    top = (len(matrices), readout)
    return np.array([nx.maximum_flow_value(graph, top, (0, token)) for token in range(n)])


@pytest.mark.parametrize("causal", [False, True], ids=["encoder", "decoder"])
def test_flow_equals_networkx(causal: bool) -> None:
    layers = random_layers(causal=causal)
    kept = LayerMatrices(layers.marks.layout)
    layers.feed(kept, block=5)
    for number, length in enumerate((2, 7, 12)):
        matrices = [layers.row(number, layer)[0].mean(axis=0) for layer in range(3)]
        np.testing.assert_allclose(kept.of_row(number), matrices, atol=1e-6)
        readout = length - 1 if causal else 0
        wanted = flow_by_networkx(matrices, readout)
        np.testing.assert_allclose(attention_flow(kept.of_row(number), readout), wanted, atol=1e-5)


def test_what_flows_from_a_token_is_at_most_what_leaves_it_and_all_where_there_is_one_way() -> None:
    uniform = np.full((4, 4), 0.25)
    assert (attention_flow([uniform, uniform], 2) <= 1 + 1e-6).all()
    np.testing.assert_allclose(attention_flow([np.eye(4)] * 3, 2), [0, 0, 1, 0], atol=1e-6)
    # one layer: the flow is the capacity of the one edge
    np.testing.assert_allclose(attention_flow([uniform], 1), [0.125, 0.625, 0.125, 0.125], atol=1e-6)
