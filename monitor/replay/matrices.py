"""Whole attention matrices handed to a reducer in blocks of queries, as the tap hands its own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from monitor.replay.finding import Stack
from monitor.replay.tap import BLOCK_ELEMENTS, AttentionReducer, hand_inputs

_TINY = 1e-38
_ATTENTIONS: dict[Stack | None, str] = {
    "encoder": "encoder_attentions",
    "decoder": "decoder_attentions",
    "cross": "cross_attentions",
}


def matrices_of(output: Any) -> list[Tensor]:
    """Every layer's matrix (batch, head, query, key) that a raw output holds, stack by stack."""
    return [matrix for _, matrix in matrices_by_stack(output)]


def matrices_by_stack(output: Any) -> list[tuple[Stack | None, Tensor]]:
    """The same with the stack of each; None in a model that has but one."""
    names: list[tuple[Stack | None, str]] = [(None, "attentions")]
    if hasattr(output, "encoder_attentions"):
        names = list(_ATTENTIONS.items())
    return [
        (stack, matrix)
        for stack, name in names
        for matrix in getattr(output, name, None) or ()
        if isinstance(matrix, Tensor) and matrix.ndim == 4
    ]


def reduce_matrix(
    reducer: AttentionReducer,
    layer: int,
    matrix: Tensor,
    visible: Tensor | None,
    value: Tensor | None = None,
) -> None:
    """Begin a layer and hand over its matrix (batch, head, query, key); the context is still to come.

    Reducers that ask for it get the ``value`` of the layer where it is known, and the matrix itself,
    in the graph.
    """
    batch, heads, queries, keys = matrix.shape
    size = max(1, BLOCK_ELEMENTS // max(1, batch * heads * keys))
    reducer.begin(layer, visible)
    if value is not None:
        hand_inputs(reducer, value, None)
    take = getattr(reducer, "matrix", None)
    if take is not None:
        take(matrix)
    with torch.no_grad():
        for start in range(0, queries, size):
            block = matrix[:, :, start : start + size].detach().float()
            reducer.weights(block, block.clamp_min(_TINY).log(), start)
