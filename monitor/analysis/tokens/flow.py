"""Attention flow: how much could pass from a token to the position that the prediction reads.

Abnar & Zuidema 2020, "Quantifying Attention Flow in Transformers" (arXiv 2005.00928), section 3: the
layers are a network whose edge from position i of layer l to position j of the layer below has the
capacity (A_l + I)_ij / 2, A_l the mean over heads; a token's flow is the maximum flow from the
read-out position at the top to that token at the bottom.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_flow
from torch import Tensor

from monitor.analysis.layout import TokenLayout

WHOLE = 1 << 24
"""Capacities are whole numbers for scipy: this many make 1, so a flow is exact to a part in 10^5."""


class LayerMatrices:
    """Keeps each layer's mean over heads of one batch, (batch, query, key): for short texts alone."""

    def __init__(self, layout: TokenLayout) -> None:
        self._real = layout.real
        self._blocks: list[Tensor] = []
        self._layers: list[Tensor] = []

    def begin(self, layer: int, visible: Tensor | None) -> None:  # noqa: ARG002
        """See Reducer."""
        self._finish_layer()

    def weights(self, attention: Tensor, log_attention: Tensor, start: int) -> None:  # noqa: ARG002
        """See Reducer."""
        self._blocks.append(attention.mean(dim=1))

    def context(self, context: Tensor) -> None:
        """See Reducer."""

    def of_row(self, row: int) -> list[NDArray[np.float64]]:
        """One sample's matrices without its padding, first layer first."""
        self._finish_layer()
        real = self._real[row]
        return [layer[row][real][:, real].double().cpu().numpy() for layer in self._layers]

    def _finish_layer(self) -> None:
        if self._blocks:
            self._layers.append(torch.cat(self._blocks, dim=1))
        self._blocks = []


def attention_flow(matrices: Sequence[NDArray[np.floating]], readout: int) -> NDArray[np.float32]:
    """(token,): the maximum flow from ``readout`` at the top to each token at the bottom.

    matrices (query, key) per layer, first layer first, each the mean over heads. Cost: a maximum
    flow for each token over layers x tokens^2 edges.
    """
    layers, width = len(matrices), len(matrices[0])
    network = _network(matrices)
    source = layers * width + readout
    flows = [maximum_flow(network, source, token).flow_value / WHOLE for token in range(width)]
    return np.array(flows, dtype=np.float32)


def _network(matrices: Sequence[NDArray[np.floating]]) -> csr_array:
    """Node (layer, position) is number layer x width + position; layer 0 is the input."""
    width = len(matrices[0])
    nodes = (len(matrices) + 1) * width
    rows, columns, capacities = [], [], []
    for layer, matrix in enumerate(matrices):
        mixed = np.rint((matrix + np.eye(width)) / 2 * WHOLE).astype(np.int32)
        upper, lower = mixed.nonzero()
        rows.append((layer + 1) * width + upper)
        columns.append(layer * width + lower)
        capacities.append(mixed[upper, lower])
    edges = (np.concatenate(rows), np.concatenate(columns))
    return csr_array((np.concatenate(capacities), edges), shape=(nodes, nodes))
