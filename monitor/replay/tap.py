"""The attention tap: transformers' own SDPA output, and each head's weights handed to a reducer.

A model whose attention implementation is ``headwatch`` calls ``tapped_attention`` in each layer. It
returns what transformers' SDPA function returns, unchanged. Where a sink listens it also recomputes
the attention weights from the same query, key and mask, in float32 and in blocks of queries, and
hands each block on; the layer x head x query x key tensor never exists. What must be right:

- the name stands in the mask interface too, else transformers drops the mask without a word;
- a mask of None means causal if the module or the call says so and there is more than one query,
  aligned at the upper left; sliding windows, padding and packed rows come as a boolean mask;
- grouped-query: key and value come with the key-value heads; the query is grouped, not they repeated;
- the sink is a ContextVar, so concurrent forwards in threads do not see each other's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

TAP = "headwatch"
MASKED = -1e30
BLOCK_ELEMENTS = 1 << 19
LayerKey = tuple[str, int]


class AttentionReducer(Protocol):
    """What the tap feeds, layer by layer; all tensors are detached but ``context``."""

    def begin(self, layer: int, visible: Tensor | None) -> None:
        """A layer starts. ``visible`` (batch or 1, 1, query, key): True where a key may be seen;
        None where the tier does not know it and the token layout decides.
        """

    def weights(self, attention: Tensor, log_attention: Tensor, start: int) -> None:
        """The weights of queries ``start`` and on: (batch, head, query, key), and their logs."""

    def context(self, context: Tensor) -> None:
        """The layer's output (batch, query, head, dimension), in the graph; the layer is done."""


@dataclass(slots=True)
class Sink:
    """Where the tap sends one forward pass.

    ``names`` gives each module's qualified name; ``layers`` the layer of each (name, call ordinal),
    or is None while they are being discovered.
    """

    reducer: AttentionReducer
    names: Mapping[int, str]
    layers: Mapping[LayerKey, int] | None = None
    calls: dict[str, int] = field(default_factory=dict)
    seen: list[LayerKey] = field(default_factory=list)

    def layer(self, module: nn.Module) -> int | None:
        """Which layer this call is; None for a call that is not watched."""
        name = self.names.get(id(module), type(module).__name__)
        ordinal = self.calls.get(name, 0)
        self.calls[name] = ordinal + 1
        key = (name, ordinal)
        if self.layers is not None:
            return self.layers.get(key)
        self.seen.append(key)
        return len(self.seen) - 1


_SINK: ContextVar[Sink | None] = ContextVar("headwatch_sink", default=None)


def register_tap() -> None:
    """Make ``attn_implementation="headwatch"`` known to transformers; may be called again."""
    AttentionInterface.register(TAP, tapped_attention)
    AttentionMaskInterface.register(TAP, sdpa_mask)


@contextmanager
def listening(sink: Sink) -> Iterator[Sink]:
    """Send the forward passes of this context to ``sink``."""
    token = _SINK.set(sink)
    try:
        yield sink
    finally:
        _SINK.reset(token)


def tapped_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Transformers' SDPA attention; the weights go to the sink of this context, if there is one.

    Shapes: query (batch, head, query, dim); key, value (batch, key-value head, key, dim); returns
    (batch, query, head, dim).
    """
    output: Tensor
    output, _ = sdpa_attention_forward(
        module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
    )
    sink = _SINK.get()
    layer = sink.layer(module) if sink is not None else None
    if sink is not None and layer is not None:
        with torch.no_grad():
            causal = kwargs.get("is_causal")
            causal = causal if causal is not None else getattr(module, "is_causal", True)
            visible = _visible(attention_mask, query, key, causal=bool(causal))
            sink.reducer.begin(layer, visible)
            bias = _bias(attention_mask, visible, kwargs.get("position_bias"))
            _stream(sink.reducer, query.detach(), key.detach(), bias, scaling)
        sink.reducer.context(output)
    return output, None


def _visible(mask: Tensor | None, query: Tensor, key: Tensor, *, causal: bool) -> Tensor | None:
    queries, keys = query.shape[2], key.shape[2]
    if mask is not None:
        visible = mask if mask.dtype == torch.bool else mask > torch.finfo(mask.dtype).min / 2
        return visible[..., :queries, :keys]
    ones = torch.ones(1, 1, queries, keys, dtype=torch.bool, device=query.device)
    return ones.tril() if causal and queries > 1 else ones


def _bias(mask: Tensor | None, visible: Tensor | None, position_bias: Tensor | None) -> Tensor | None:
    """What is added to the scores: MASKED where a key may not be seen, and the float mask's values."""
    if visible is None or (mask is None and position_bias is None and bool(visible.all())):
        return None
    bias = torch.zeros(visible.shape, device=visible.device)
    if mask is not None and mask.dtype != torch.bool:
        bias = mask[..., : visible.shape[-2], : visible.shape[-1]].float()
    bias = bias.masked_fill(~visible, MASKED)
    return bias if position_bias is None else bias + position_bias.detach().float()


def _stream(
    reducer: AttentionReducer, query: Tensor, key: Tensor, bias: Tensor | None, scaling: float | None
) -> None:
    batch, heads, queries, dim = query.shape
    kv_heads, keys = key.shape[1], key.shape[2]
    groups = heads // kv_heads
    transposed = key.float().transpose(-1, -2)
    scale = dim**-0.5 if scaling is None else scaling
    size = max(1, min(queries, BLOCK_ELEMENTS // max(1, batch * heads * keys)))
    for start in range(0, queries, size):
        block = query[:, :, start : start + size].float() * scale
        rows = block.shape[2]
        grouped = block.reshape(batch, kv_heads, groups * rows, dim)
        scores = torch.matmul(grouped, transposed).view(batch, heads, rows, keys)
        if bias is not None:
            scores += bias[:, :, start : start + size] if bias.shape[2] > 1 else bias
        log_attention = torch.log_softmax(scores, dim=-1)
        reducer.weights(log_attention.exp(), log_attention, start)
