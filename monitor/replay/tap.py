"""The attention tap: SDPA's output, and each head's weights handed to a reducer.

A model whose attention implementation is ``headwatch`` calls ``tapped_attention`` in each layer. With
nobody listening it returns what transformers' SDPA function returns, unchanged. Where a sink listens,
the attention weights are computed from the same query, key and mask, in float32 and in blocks of
queries, and each block is handed on; the layer x head x query x key tensor never exists. In float32
and without a gradient the output is taken from those same weights (SDPA's to rounding: the self-test
compares), since weights and SDPA both would be half as much work again; else it is SDPA's, unchanged.
What must be right:

- the name stands in the mask interface too, else transformers drops the mask without a word;
- a mask of None means causal if the module or the call says so and there is more than one query,
  aligned at the upper left; sliding windows, padding and packed rows come as a boolean mask;
- grouped-query: key and value come with the key-value heads; the query is grouped, not they repeated;
- the sink is a ContextVar, so concurrent forwards in threads do not see each other's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

TAP = "headwatch"
MASKED = -1e30
BLOCK_ELEMENTS = 1 << 20
"""What a reducer is handed at once: its passes over a block find it in the processor's cache."""
SLAB_ELEMENTS = 1 << 22
ENOUGH_ROWS = 64
"""Products of fewer rows are slow; then a slab is multiplied at once and handed over in parts."""
ALIGNED_ROWS = 16
"""Products of that many rows are what the processor's units take at once."""
LayerKey = tuple[str, int]


class AttentionReducer(Protocol):
    """What the tap feeds, layer by layer; all tensors are detached but ``context``."""

    def begin(self, layer: int, visible: Tensor | None) -> None:
        """A layer starts. ``visible`` (batch or 1, 1, query, key): True where a key may be seen;
        None where the tier does not know it and the token layout decides.
        """

    def weights(self, attention: Tensor, log_attention: Tensor, start: int) -> None:
        """The weights of queries ``start`` and on: (batch, head, query, key), and their logs.

        Both are overwritten when the call is over: what is kept must be a copy.
        """

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


def current_sink() -> Sink | None:
    """Where the forward passes of this context are sent; None where nobody listens."""
    return _SINK.get()


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
    """SDPA attention; the weights go to the sink of this context, if there is one.

    Shapes: query (batch, head, query, dim); key, value (batch, key-value head, key, dim); returns
    (batch, query, head, dim).
    """
    changes = [name for name in ("softcap", "s_aux") if kwargs.get(name) is not None]
    if changes:
        raise ValueError(f"SDPA has no {' and no '.join(changes)}")
    sink = _SINK.get()
    layer = sink.layer(module) if sink is not None else None
    fused = sink is not None and layer is not None and _attends_itself(query, value, dropout)
    output: Tensor | None = None
    if not fused:
        output, _ = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    if sink is not None and layer is not None:
        with torch.no_grad():
            causal = kwargs.get("is_causal")
            causal = causal if causal is not None else getattr(module, "is_causal", True)
            visible = _visible(attention_mask, query, key, causal=bool(causal))
            sink.reducer.begin(layer, visible)
            bias = _bias(attention_mask, visible, kwargs.get("position_bias"))
            again = partial(_again, query, key, attention_mask, kwargs.get("position_bias"), scaling)
            hand_inputs(sink.reducer, value, partial(again, causal=bool(causal)))
            mixed = _stream(
                sink.reducer, query.detach(), key.detach(), bias, scaling, value if fused else None
            )
        output = mixed if fused else output
        assert output is not None  # SDPA's, or that of the same weights
        sink.reducer.context(output)
    assert output is not None
    return output, None


def hand_inputs(reducer: AttentionReducer, value: Tensor, again: Callable[[Any], None] | None) -> None:
    """Give ``value`` (batch, key-value head, key, dim) to a reducer that has ``inputs`` for it.

    ``again(reader)`` hands the layer's weights to ``reader.weights`` once more, at any later time, as
    a backward pass needs them; None where the tier hands over the ``matrix`` in the graph instead.
    """
    take = getattr(reducer, "inputs", None)
    if take is not None:
        take(value.detach(), again)


def _again(
    query: Tensor,
    key: Tensor,
    mask: Tensor | None,
    position_bias: Tensor | None,
    scaling: float | None,
    reader: Any,
    *,
    causal: bool,
) -> None:
    """Stream the weights of a layer anew; the bias is made again, so none is kept for each layer."""
    with torch.no_grad():
        bias = _bias(mask, _visible(mask, query, key, causal=causal), position_bias)
        _stream(reader, query.detach(), key.detach(), bias, scaling)


def _attends_itself(query: Tensor, value: Tensor, dropout: float) -> bool:
    """Whether the output may come from the streamed weights: float32, no gradient, no dropout."""
    return query.dtype == value.dtype == torch.float32 and not torch.is_grad_enabled() and dropout == 0.0


def _visible(mask: Tensor | None, query: Tensor, key: Tensor, *, causal: bool) -> Tensor | None:
    queries, keys = query.shape[2], key.shape[2]
    if mask is not None:
        visible = mask if mask.dtype == torch.bool else mask > torch.finfo(mask.dtype).min / 2
        return visible[..., :queries, :keys]
    if causal and queries > 1:
        return torch.ones(1, 1, queries, keys, dtype=torch.bool, device=query.device).tril()
    return torch.ones(1, 1, 1, 1, dtype=torch.bool, device=query.device).expand(1, 1, queries, keys)


def _bias(mask: Tensor | None, visible: Tensor | None, position_bias: Tensor | None) -> Tensor | None:
    """What is added to the scores: MASKED where a key may not be seen, and the float mask's values."""
    everything = visible is not None and visible.stride()[-2:] == (0, 0)
    if visible is None or (mask is None and position_bias is None and everything):
        return None
    bias = torch.zeros(visible.shape, device=visible.device)
    if mask is not None and mask.dtype != torch.bool:
        bias = mask[..., : visible.shape[-2], : visible.shape[-1]].float()
    bias = bias.masked_fill(~visible, MASKED)
    return bias if position_bias is None else bias + position_bias.detach().float()


def _stream(
    reducer: AttentionReducer,
    query: Tensor,
    key: Tensor,
    bias: Tensor | None,
    scaling: float | None,
    value: Tensor | None = None,
) -> Tensor | None:
    """Hand the weights to the reducer in blocks of queries; with ``value``, attend with the same weights.

    Returns (batch, query, head, dim) in the value's dtype, or None where no value is given.
    """
    batch, heads, queries, dim = query.shape
    kv_heads, keys = key.shape[1], key.shape[2]
    transposed = key.float().transpose(-1, -2).contiguous()
    scale = dim**-0.5 if scaling is None else scaling
    value = None if value is None else value.float().contiguous()
    output = None if value is None else query.new_empty(batch, queries, heads, value.shape[-1])
    size = part = _rows(BLOCK_ELEMENTS, batch * heads * keys, queries)
    if size < ENOUGH_ROWS:  # long keys: multiply more rows at once, and hand over fewer
        size = _rows(SLAB_ELEMENTS, batch * heads * keys, queries)
        part = _rows(BLOCK_ELEMENTS // 2, batch * heads * keys, queries)
    room = query.new_empty(2, batch * heads * size * keys, dtype=torch.float32)
    for start in range(0, queries, size):
        block = query[:, :, start : start + size].float() * scale
        rows = block.shape[2]
        grouped = (batch, kv_heads, heads // kv_heads * rows)
        scores, attention = (one[: block[..., 0].numel() * keys] for one in room)
        torch.matmul(block.reshape(*grouped, dim), transposed, out=scores.view(*grouped, keys))
        scores, attention = (one.view(batch, heads, rows, keys) for one in (scores, attention))
        if bias is not None:
            scores += bias[:, :, start : start + size] if bias.shape[2] > 1 else bias
        torch.softmax(scores, dim=-1, out=attention)
        if value is not None and output is not None:
            mixed = torch.matmul(attention.view(*grouped, keys), value)
            output[:, start : start + rows] = mixed.view(batch, heads, rows, -1).transpose(1, 2)
        logs = _logs(scores, attention)
        for at in range(0, rows, part):
            reducer.weights(attention[:, :, at : at + part], logs[:, :, at : at + part], start + at)
    return output


def _rows(elements: int, row: int, queries: int) -> int:
    """How many queries of ``row`` elements each are worked on at once."""
    size = max(1, min(queries, elements // max(1, row)))
    return size if size < ALIGNED_ROWS else size - size % ALIGNED_ROWS


def _logs(scores: Tensor, attention: Tensor) -> Tensor:
    """ln of the weights, written over the scores: s - lse, with lse read off where the weight is largest.

    A second exponential or a logarithm of every weight costs more than both maxima; and no weight that
    has underflowed to 0 needs one.
    """
    total = scores.amax(dim=-1, keepdim=True) - attention.amax(dim=-1, keepdim=True).log()
    return scores.sub_(total)
