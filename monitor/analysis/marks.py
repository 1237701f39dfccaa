"""What a batch's tokens are, beside where they stand: the ids and which of them are punctuation."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from monitor.analysis.layout import TokenLayout, TokenMask


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenMarks:
    """``ids`` (batch, token) tell equal tokens; ``punctuation`` (batch, token)."""

    layout: TokenLayout
    ids: Tensor
    punctuation: TokenMask

    def rows(self, chosen: slice) -> TokenMarks:
        """The same of some inputs of the batch."""
        layout = replace(
            self.layout,
            real=self.layout.real[chosen],
            special=self.layout.special[chosen],
            first=self.layout.first[chosen],
            readout=self.layout.readout[chosen],
        )
        return TokenMarks(layout=layout, ids=self.ids[chosen], punctuation=self.punctuation[chosen])

    @property
    def queries(self) -> TokenMask:
        """Real tokens that are not special, or all real ones where there are none."""
        content = self.layout.real & ~self.layout.special
        return torch.where(content.any(dim=1, keepdim=True), content, self.layout.real)

    def seen(self, visible: Tensor | None, start: int, rows: int) -> Tensor:
        """(batch, query, key): which real keys the queries from ``start`` on may see.

        ``visible`` (batch or 1, 1, query, key), or None for all keys (causal: up to the query).
        """
        real = self.layout.real
        width = real.shape[1]
        if visible is not None:
            block = visible[:, 0] if visible.shape[2] == 1 else visible[:, 0, start : start + rows]
            return block & real[:, None, :]
        everything = torch.ones(1, rows, width, dtype=torch.bool, device=real.device)
        return (everything.tril(diagonal=start) if self.layout.causal else everything) & real[:, None, :]
