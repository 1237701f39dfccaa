"""The fallback tier: eager attention with ``output_attentions``, reduced after the forward pass.

It keeps every layer's matrix until the reducer has had it, so it is for models outside
transformers' attention interface. Contexts come from pre-hooks on the output projections.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from monitor.replay.tap import BLOCK_ELEMENTS, AttentionReducer

_TINY = 1e-38


@contextmanager
def caught_inputs(modules: Sequence[nn.Module], heads: int) -> Iterator[list[Tensor]]:
    """The inputs (batch, query, head, dim) of these modules, in the order of the calls.

    The tensor that is kept is the one that goes on, so gradients reach it.
    """
    caught: list[Tensor] = []

    def keep(_module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        caught.append(inputs[0].unflatten(-1, (heads, -1)))
        return (caught[-1].flatten(-2), *inputs[1:])

    handles = [module.register_forward_pre_hook(keep) for module in modules]
    try:
        yield caught
    finally:
        for handle in handles:
            handle.remove()


def reduce_matrices(
    reducer: AttentionReducer, matrices: Sequence[Tensor], contexts: Sequence[Tensor]
) -> None:
    """Hand over full matrices (batch, head, query, key); ``contexts`` is empty where none is known."""
    for layer, matrix in enumerate(matrices):
        batch, heads, queries, keys = matrix.shape
        size = max(1, BLOCK_ELEMENTS // max(1, batch * heads * keys))
        with torch.no_grad():
            reducer.begin(layer, None)
            for start in range(0, queries, size):
                block = matrix[:, :, start : start + size].detach().float()
                reducer.weights(block, block.clamp_min(_TINY).log(), start)
        if contexts:
            reducer.context(contexts[layer])
