"""The ten statistics of cross attention: decoder tokens looking at the encoder's."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from monitor.analysis.heads.statistics import CONTENT_MASS_FLOOR, NORM_FLOOR, output_norms
from monitor.analysis.layout import Attention, HeadRows, TokenLayout


class CrossReducer:
    """As ``ProfileReducer``, for layers whose queries and keys are different texts.

    Definitions are those of ``HEAD_STATISTICS``, with i and j counted from each text's first real
    token: ``self`` is the weight on the same place, ``distance`` how far from it. Every real decoder
    token is a query that counts; ``first``, separators and content are the encoder's.
    """

    def __init__(
        self,
        encoder: TokenLayout,
        decoder: TokenLayout,
        *,
        statistics: Sequence[str],
        grams: Sequence[Tensor] | None,
        keep_contexts: bool,
    ) -> None:
        self._encoder, self._decoder = encoder, decoder
        self._statistics = tuple(statistics)
        self._grams = grams
        self._keep_contexts = keep_contexts
        weight = decoder.real.float()
        self._weight = (weight / weight.sum(dim=1, keepdim=True))[:, None]
        self._rows: list[dict[str, HeadRows]] = []
        self._profiles: list[Tensor] = []
        self._layer = -1
        self._norms: Tensor | None = None
        self.means: list[list[Tensor]] = []
        self.contexts: list[Tensor] = []

    def begin(self, layer: int, visible: Tensor | None) -> None:  # noqa: ARG002
        """A layer starts; every real encoder token is visible."""
        self._finish_layer()
        self._layer = layer
        self.means.append([])

    def weights(self, attention: Attention, log_attention: Attention, start: int) -> None:
        """A block of queries from ``start`` on: (batch, head, query, key)."""
        self._rows.append(self._sums(attention, log_attention, start))
        self.means[-1].append(attention.mean(dim=1))

    def context(self, context: Tensor) -> None:
        """What the layer's heads give, (batch, query, head, dim)."""
        if self._keep_contexts:
            self.contexts.append(context)
        if self._grams is not None:
            self._norms = output_norms(context.detach(), self._grams[self._layer])

    def profile(self) -> Tensor:
        """(batch, layer, head, statistic)."""
        self._finish_layer()
        return torch.stack(self._profiles, dim=1)

    def _sums(self, attention: Attention, log_attention: Attention, start: int) -> dict[str, HeadRows]:
        """Each statistic of single queries, (batch, head, query), before the mean over them."""
        encoder, rows = self._encoder, attention.shape[2]
        content = encoder.content[:, None, None].float()
        keys = encoder.real.sum(dim=1)[:, None, None].float()
        lead = _lead(self._decoder, encoder)[:, None, start : start + rows]
        gap = lead.abs().float()
        uniform = (gap * encoder.real[:, None, None]).sum(dim=-1) / keys
        mass = (attention * content).sum(dim=-1)
        inside = -(attention * log_attention * content).sum(dim=-1)
        safe = mass.clamp_min(CONTENT_MASS_FLOOR)
        count = content.sum(dim=-1)
        entropy = -(attention * log_attention).sum(dim=-1)
        first = (attention * encoder.is_first[:, None, None]).sum(dim=-1)
        separator = (attention * encoder.separators[:, None, None]).sum(dim=-1)
        return {
            "entropy": _over(entropy, keys.log()),
            "content_entropy": _over(inside / safe + safe.log(), count.clamp_min(1).log()),
            "counts": ((count >= 2) & (mass >= CONTENT_MASS_FLOOR)).float(),
            "self": (attention * (gap == 0)).sum(dim=-1),
            "previous": (attention * (lead == 1)).sum(dim=-1),
            "first": first,
            "separator": separator,
            "distance": _over((attention * gap).sum(dim=-1), uniform),
            "special": first + separator,
        }

    def _finish_layer(self) -> None:
        if not self._rows:
            return
        joined = {name: torch.cat([rows[name] for rows in self._rows], dim=-1) for name in self._rows[0]}
        values = {name: (rows * self._weight).sum(dim=-1) for name, rows in joined.items()}
        counted = self._weight * joined["counts"]
        values["content_entropy"] = (joined["content_entropy"] * counted).sum(dim=-1) / counted.sum(
            dim=-1
        ).clamp_min(torch.finfo(counted.dtype).tiny)
        index = self._decoder.readout[:, None, None].expand(*joined["entropy"].shape[:2], 1)
        values["readout_entropy"] = joined["entropy"].gather(-1, index).squeeze(-1)
        values["readout_special"] = joined["special"].gather(-1, index).squeeze(-1)
        if self._norms is not None:
            values["output_norm"] = (self._norms * self._weight).sum(dim=-1).clamp_min(NORM_FLOOR).log()
        self._profiles.append(torch.stack([values[name] for name in self._statistics], dim=-1))
        self._rows, self._norms = [], None


def _lead(decoder: TokenLayout, encoder: TokenLayout) -> Tensor:
    """(batch, query, key): i - j, each counted from its text's first real token."""
    own = torch.arange(decoder.real.shape[1], device=decoder.real.device) - decoder.first[:, None]
    other = torch.arange(encoder.real.shape[1], device=encoder.real.device) - encoder.first[:, None]
    return own[:, :, None] - other[:, None, :]


def _over(values: HeadRows, whole: Tensor) -> HeadRows:
    """values / whole, and 0 where the whole is 0."""
    return torch.where(whole > 0, values / whole.clamp_min(torch.finfo(values.dtype).tiny), 0.0)
