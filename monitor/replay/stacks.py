"""Encoder, decoder and cross attention, told apart by the name of the module that is called.

Not by shapes: a decoder that has read as many tokens as the encoder has square cross attention too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from monitor.replay.finding import Stack

_CROSS = re.compile(r"cross|enc(oder)?_?(dec|att)", re.IGNORECASE)


def is_encoder_decoder(network: Any) -> bool:
    """Whether one forward pass runs an encoder, and a decoder that looks at it."""
    return bool(getattr(network.config, "is_encoder_decoder", False)) and _encoder_name(network) != ""


def stack_of(name: str, network: Any) -> Stack:
    """The stack of an attention module, by its qualified name.

    The encoder's modules lie below it. Of a decoder layer's two, that which looks at the encoder says
    so: ``encoder_attn`` (BART), ``EncDecAttention`` (T5), ``crossattention`` (BERT as a decoder).
    """
    if name.startswith(f"{_encoder_name(network)}."):
        return "encoder"
    return "cross" if any(_CROSS.match(part) for part in name.split(".")[-2:]) else "decoder"


def run_order(stacks: Sequence[Stack]) -> tuple[int, ...]:
    """The layers of an encoder-decoder in the order in which they run: a decoder's two take turns.

    >>> run_order(["encoder", "encoder", "decoder", "decoder", "cross", "cross"])
    (0, 1, 2, 4, 3, 5)
    """
    blocks = {layer: layer - list(stacks).index(stack) for layer, stack in enumerate(stacks)}
    turns = {
        layer: (stack != "encoder", blocks[layer], stack == "cross") for layer, stack in enumerate(stacks)
    }
    return tuple(sorted(turns, key=turns.__getitem__))


def layers_there(network: Any, stacks: int) -> int:
    """How many attention layers the configuration names; ``stacks`` is 0, or 3 for an encoder-decoder."""
    config = network.config.get_text_config() if not stacks else network.config
    if not stacks:
        return _first(config, "num_hidden_layers", "n_layers", "n_layer")
    encoder = _first(config, "encoder_layers", "num_layers", "num_hidden_layers")
    decoder = _first(config, "decoder_layers", "num_decoder_layers", "num_layers")
    return encoder + 2 * decoder


def _first(config: Any, *names: str) -> int:
    found = (getattr(config, name, None) for name in names)
    return next((value for value in found if isinstance(value, int)), 0)


def _encoder_name(network: Any) -> str:
    encoder = network.get_encoder() if hasattr(network, "get_encoder") else None
    return next((name for name, module in network.named_modules() if module is encoder), "")
