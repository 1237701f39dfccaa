"""Encoder, decoder and cross attention of one forward pass, each reduced by its own rules."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from monitor.analysis.heads.cross import CrossReducer
from monitor.analysis.heads.profile import ProfileReducer
from monitor.analysis.layout import Attention, TokenLayout

NAMES = ("encoder", "decoder", "cross")


class LayerMeans:
    """Keeps the mean over heads of each layer of one stack, instead of a rollout of its own."""

    def __init__(self) -> None:
        self.layers: list[Tensor] = []
        self._blocks: list[Tensor] = []

    def add(self, attention: Attention, start: int) -> None:  # noqa: ARG002
        """A block of queries of the current layer."""
        self._blocks.append(attention.mean(dim=1))

    def next_layer(self) -> None:
        """The current layer is complete."""
        self.layers.append(torch.cat(self._blocks, dim=1))
        self._blocks = []

    def readout_row(self) -> Tensor:
        """A stack alone has none: the decoder's row goes on into the encoder."""
        raise TypeError("a stack of an encoder-decoder has no read-out row of its own")


class StackedReducer:
    """As ``ProfileReducer``, for an encoder-decoder; ``stacks`` names the stack of each layer.

    The layers of a stack follow each other. ``grams`` are by layer.
    """

    def __init__(
        self,
        encoder: TokenLayout,
        decoder: TokenLayout,
        *,
        stacks: Sequence[str],
        statistics: Sequence[str],
        grams: Sequence[Tensor] | None,
        keep_contexts: bool = False,
    ) -> None:
        self._encoder, self._decoder = encoder, decoder
        self._stacks = tuple(stacks)
        self._means = {"encoder": LayerMeans(), "decoder": LayerMeans()}
        own = {
            name: None if grams is None else [g for g, s in zip(grams, stacks, strict=True) if s == name]
            for name in NAMES
        }
        self._reducers: dict[str, ProfileReducer | CrossReducer] = {
            name: ProfileReducer(
                layout,
                statistics=statistics,
                grams=own[name],
                keep_contexts=keep_contexts,
                rollout=self._means[name],
            )
            for name, layout in (("encoder", encoder), ("decoder", decoder))
        }
        self._cross = CrossReducer(
            encoder, decoder, statistics=statistics, grams=own["cross"], keep_contexts=keep_contexts
        )
        self._reducers["cross"] = self._cross
        self._current: ProfileReducer | CrossReducer = self._cross

    def begin(self, layer: int, visible: Tensor | None) -> None:
        """A layer of any stack starts."""
        name = self._stacks[layer]
        self._current = self._reducers[name]
        self._current.begin(layer - self._stacks.index(name), visible)

    def weights(self, attention: Attention, log_attention: Attention, start: int) -> None:
        """A block of queries of that layer."""
        self._current.weights(attention, log_attention, start)

    def context(self, context: Tensor) -> None:
        """What that layer's heads give."""
        self._current.context(context)

    @property
    def contexts(self) -> list[Tensor]:
        """Every layer's context, in the order of the layers; empty where none was to be kept."""
        return [context for name in NAMES for context in self._reducers[name].contexts]

    def profile(self) -> Tensor:
        """(batch, layer, head, statistic): encoder, decoder, then cross attention."""
        present = [name for name in NAMES if name in self._stacks]
        return torch.cat([self._reducers[name].profile() for name in present], dim=1)

    def rollout(self) -> Tensor:
        """(batch, encoder token): what the decoder's last token has of each input token; sums to 1.

        Abnar & Zuidema 2020 with cross attention C as one more layer: half of a decoder token is what
        it was, half what C brings from the encoder. From the last layer down, with x over the
        decoder's tokens and y over the encoder's: y <- y + x C / 2, x <- x / 2; x <- (x A + x) / 2;
        then y through the encoder. What is left in x is the decoder's own input, and is left out.
        """
        self.profile()
        index = torch.arange(len(self._decoder.readout), device=self._decoder.readout.device)
        x = torch.zeros(self._decoder.real.shape, device=index.device)
        x[index, self._decoder.readout] = 1.0
        y = torch.zeros(self._encoder.real.shape, device=index.device)
        for own, blocks in zip(
            reversed(self._means["decoder"].layers), reversed(self._cross.means), strict=True
        ):
            y = y + _through(x, torch.cat(blocks, dim=1)) / 2
            x = x / 2
            x = (_through(x, own) + x) / 2
        for mean in reversed(self._means["encoder"].layers):
            y = (_through(y, mean) + y) / 2
        return y / y.sum(dim=1, keepdim=True).clamp_min(torch.finfo(y.dtype).tiny)


class NothingSeen:
    """Stands for a reducer where no tier reads the model's attention: no heads, no rollout."""

    def __init__(self, layout: TokenLayout) -> None:
        self._layout = layout
        self.contexts: list[Tensor] = []

    def begin(self, layer: int, visible: Tensor | None) -> None:
        """Never called: there is no layer."""

    def weights(self, attention: Attention, log_attention: Attention, start: int) -> None:
        """Never called."""

    def context(self, context: Tensor) -> None:
        """Never called."""

    def profile(self) -> Tensor:
        """(batch, 0, 0, 0)."""
        return torch.zeros(len(self._layout.real), 0, 0, 0)

    def rollout(self) -> Tensor:
        """(batch, token) of zeros: no mass was seen anywhere."""
        return torch.zeros(self._layout.real.shape)


def _through(row: Tensor, matrix: Tensor) -> Tensor:
    return torch.bmm(row[:, None], matrix.float())[:, 0]
