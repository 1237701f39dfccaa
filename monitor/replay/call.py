"""The keyword arguments of a model's forward pass, whatever its signature."""

from __future__ import annotations

import inspect
from typing import Any

from torch import Tensor, nn

from monitor.replay.batches import Batch


def arguments(network: Any, batch: Batch, embeddings: Tensor | None, *, positions: bool) -> dict[str, Any]:
    """The keyword arguments of a forward pass; ids or embeddings, never both."""
    call: dict[str, Any] = {"return_dict": True}
    if batch.pixels is not None:
        call["pixel_values"] = batch.pixels.to(network.dtype)
        if not bool(batch.real.all()) and takes(network, "attention_mask"):
            call["attention_mask"] = batch.real.long()
        return call
    call["attention_mask"] = batch.real.long()
    if embeddings is None:
        call["input_ids"] = batch.ids
    else:
        call["inputs_embeds"] = embeddings
    if batch.type_ids is not None and takes(network, "token_type_ids"):
        call["token_type_ids"] = batch.type_ids
    if takes(network, "use_cache"):
        call["use_cache"] = False
    if batch.decoder_ids is not None:
        call["decoder_input_ids"] = batch.decoder_ids
    if takes(network, "decoder_attention_mask"):
        call["decoder_attention_mask"] = batch.read.long()
    if positions and embeddings is not None:
        call["position_ids"] = explicit_positions(network, batch)
    return call


def explicit_positions(network: Any, batch: Batch) -> Tensor:
    """Positions as models derive them from ids: counted from after the padding index, padding on it."""
    padding = position_padding(network) or 0
    counted: Tensor = (batch.positions + 1) * batch.real + padding
    return counted


def position_padding(network: nn.Module) -> int | None:
    """The padding index of the position embedding, which only RoBERTa's kind has."""
    for name, module in network.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            return module.padding_idx
    return None


def takes(network: Any, argument: str) -> bool:
    """Whether the forward pass has an argument of this name."""
    return argument in inspect.signature(network.forward).parameters
