"""Which tokens of a batch are real, special, first and read: what the statistics are taken over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

Attention = Annotated[Tensor, "batch head query key"]
HeadRows = Annotated[Tensor, "batch head query"]
HeadValues = Annotated[Tensor, "batch head"]
TokenMask = Annotated[Tensor, "batch token"]
SIGHT_ROWS = 256
"""Queries at a time, so that what each may see is never a square of floats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLayout:
    """The tokens of a padded batch, whichever side the padding is on.

    ``special``: the tokenizer's special tokens; for decoders only the first token. ``first``,
    ``readout`` (batch,): the first real position, and the one that the prediction reads (encoders:
    the first, decoders: the last real token).
    """

    real: TokenMask
    special: TokenMask
    first: Tensor
    readout: Tensor
    causal: bool

    @classmethod
    def of(cls, real: TokenMask, special: TokenMask, *, causal: bool) -> TokenLayout:
        """Read the layout off the padding mask (batch, token) and the special tokens' mask."""
        width = real.shape[1]
        count = torch.arange(width, device=real.device)
        first = torch.where(real, count, width).argmin(dim=1)
        last = torch.where(real, count, -1).argmax(dim=1)
        is_first = count == first[:, None]
        return cls(
            real=real,
            special=(is_first if causal else special) & real,
            first=first,
            readout=last if causal else first,
            causal=causal,
        )

    @property
    def is_first(self) -> TokenMask:
        """True at each row's first real token."""
        return torch.arange(self.real.shape[1], device=self.real.device) == self.first[:, None]

    @property
    def content(self) -> TokenMask:
        """The real tokens that are neither special nor first."""
        return self.real & ~self.special & ~self.is_first

    @property
    def separators(self) -> TokenMask:
        """The special tokens other than the first."""
        return self.special & ~self.is_first


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What each query may see in one layer. ``keys`` = |K_i|, ``content_keys`` the content part of
    it, ``uniform_distance`` the mean |i - j| over K_i: all (batch, query). ``weight`` (batch, query)
    averages over the queries Q that count: 1/|Q| there, 0 elsewhere.
    """

    keys: Tensor
    content_keys: Tensor
    uniform_distance: Tensor
    weight: Tensor
    layout: TokenLayout

    @classmethod
    def of(cls, layout: TokenLayout, visible: Tensor | None) -> Sight:
        """``visible`` (batch or 1, query, key), or None for all real keys (causal: up to the query)."""
        width = layout.real.shape[1]
        position = torch.arange(width, device=layout.real.device)
        wanted = torch.stack([layout.real, layout.content], dim=-1).float()
        sums: list[Tensor] = []
        for start in range(0, width, SIGHT_ROWS):
            sees = _seen(layout, visible, start)
            gap = (position[start : start + SIGHT_ROWS, None] - position).abs()
            sums.append(torch.cat([torch.bmm(sees, wanted), (sees * gap).sum(-1, keepdim=True)], dim=-1))
        keys, content_keys, distance = torch.cat(sums, dim=1).unbind(dim=-1)
        return cls(
            keys=keys,
            content_keys=content_keys,
            uniform_distance=distance / keys.clamp_min(1),
            weight=_query_weight(layout, keys),
            layout=layout,
        )


def _seen(layout: TokenLayout, visible: Tensor | None, start: int) -> Tensor:
    """1 where a query from ``start`` on sees a real key, (batch, query, key): a block, not the square."""
    batch, width = layout.real.shape
    stop = min(width, start + SIGHT_ROWS)
    if visible is not None:
        seen = visible.expand(-1, width, -1)[:, start:stop]
    else:
        seen = torch.ones(1, stop - start, width, dtype=torch.bool, device=layout.real.device)
        seen = seen.tril(start) if layout.causal else seen
    return (seen & layout.real[:, None, :]).float().expand(batch, -1, -1)


def _query_weight(layout: TokenLayout, keys: Tensor) -> Tensor:
    """Q: real queries that are not special, or all real ones; causal: only those that see two keys."""
    content = layout.real & ~layout.special
    chosen = torch.where(content.any(dim=1, keepdim=True), content, layout.real)
    if layout.causal:
        chosen = chosen & (keys >= 2)
    weight = chosen.float()
    return weight / weight.sum(dim=1, keepdim=True).clamp_min(1)
