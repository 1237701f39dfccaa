"""Embeddings in the place of ids: how a gradient reaches the input, whatever a model's signature.

Most models take ``inputs_embeds``; RoBERTa's kind then needs explicit positions. Where a model takes
none (BART's classifier) or has none to take (images), a hook at its embedding module returns the
given embeddings instead of the module's own. The hook stays on the model, and is without effect in
contexts that substitute nothing, so concurrent forwards do not see each other's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

Route = Literal["argument", "argument and positions", "module", "none"]


@dataclass(slots=True)
class _Substitute:
    """Embeddings for the first call of the embedding module: a tied decoder's call comes later."""

    embeddings: Tensor
    used: bool = False


_SUBSTITUTE: ContextVar[_Substitute | None] = ContextVar("headwatch_embeddings", default=None)


def input_embedding(network: Any) -> nn.Module:
    """The module that embeds the input: an encoder-decoder's is its encoder's."""
    is_pair = bool(getattr(network.config, "is_encoder_decoder", False)) and hasattr(network, "get_encoder")
    found: nn.Module = (network.get_encoder() if is_pair else network).get_input_embeddings()
    return found


def install_substitution(module: nn.Module) -> Any:
    """Let ``substituted`` replace what this module returns; gives the hook's handle."""

    def replace(_: nn.Module, __: object, output: object) -> Tensor | None:
        substitute = _SUBSTITUTE.get()
        if substitute is None or substitute.used or not isinstance(output, Tensor):
            return None
        substitute.used = True
        given = substitute.embeddings.to(output.dtype)
        beyond = given.shape[1] - output.shape[1]
        if beyond < 0:  # the model pads its ids itself (Longformer)
            return torch.cat([given, output[:, beyond:]], dim=1)
        return given[:, beyond:]

    return module.register_forward_hook(replace)


def let_gradients_start(network: Any) -> None:
    """Make the decoder's embeddings leaves of the graph in an encoder-decoder.

    Its first self-attention does not hang on the encoder's input; a head's importance there still
    needs the gradient of what the head gives.
    """

    def start(_: nn.Module, __: object, output: object) -> Tensor | None:
        if not torch.is_grad_enabled() or not isinstance(output, Tensor) or output.requires_grad:
            return None
        return output.detach().requires_grad_()

    network.get_decoder().get_input_embeddings().register_forward_hook(start)


@contextmanager
def substituted(embeddings: Tensor) -> Iterator[None]:
    """The first call of the embedding module in this block gives these (batch, token, hidden).

    Where there are more tokens than the module gives, the first (an image's [CLS]) are left out;
    where there are fewer, the rest is the module's own.
    """
    token = _SUBSTITUTE.set(_Substitute(embeddings))
    try:
        yield
    finally:
        _SUBSTITUTE.reset(token)
