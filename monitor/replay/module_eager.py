"""The second tier: the model's own eager attention, one layer at a time, its weights reduced at once.

Some models add to attention what SDPA cannot: a soft cap on the scores (Gemma-2), a sink that takes
part of each row (GPT-OSS). Their modelling module has the formula, in ``eager_attention_forward``.
An attention implementation of ours calls that, hands the weights on, and drops them, so that no more
than one layer's matrix exists. They are in the model's own precision; a row may sum to less than 1.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

from monitor.replay.matrices import reduce_matrix
from monitor.replay.tap import current_sink

MODULE_EAGER = "headwatch-eager"


def register_module_eager() -> None:
    """Make ``attn_implementation="headwatch-eager"`` known to transformers; may be called again."""
    AttentionInterface.register(MODULE_EAGER, eager_attention)
    AttentionMaskInterface.register(MODULE_EAGER, eager_mask)


def eager_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **options: Any,
) -> tuple[Tensor, None]:
    """The modelling module's own attention; the weights go to the sink of this context.

    Shapes as in ``tapped_attention``. Raises ``AttributeError`` where the module has no eager function.
    """
    output: Tensor
    output, weights = modelled(module)(module, query, key, value, attention_mask, **options)
    sink = current_sink()
    layer = sink.layer(module) if sink is not None else None
    if sink is not None and layer is not None:
        reduce_matrix(sink.reducer, layer, weights, visible_keys(attention_mask, weights), value)
        sink.reducer.context(output)
    return output, None


def modelled(module: nn.Module) -> Callable[..., tuple[Tensor, Tensor]]:
    """The eager attention of the Python module that defines this attention class."""
    formula: Callable[..., tuple[Tensor, Tensor]]
    formula = sys.modules[type(module).__module__].eager_attention_forward
    return formula


def visible_keys(mask: Tensor | None, weights: Tensor) -> Tensor:
    """True (batch or 1, 1, query, key) where the additive mask lets a query see; all where there is none."""
    queries, keys = weights.shape[-2:]
    if mask is None:
        return torch.ones(1, 1, queries, keys, dtype=torch.bool, device=weights.device)
    visible = mask if mask.dtype == torch.bool else mask > torch.finfo(mask.dtype).min / 2
    return visible[..., :queries, :keys]
