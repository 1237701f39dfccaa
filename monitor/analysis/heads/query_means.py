"""Values of queries averaged to values of heads, block by block and layer by layer."""

from __future__ import annotations

import torch
from torch import Tensor


class QueryMeans:
    """Collects (batch, head, query, measure) blocks; gives (batch, layer, head, measure) means."""

    def __init__(self) -> None:
        self._sum: Tensor | None = None
        self._count: Tensor | None = None
        self._layers: list[Tensor] = []

    def add(self, values: Tensor, counts: Tensor) -> None:
        """A block; ``counts`` broadcasts over it and is True (or 1) where a query counts."""
        counted = counts.expand_as(values).to(values.dtype)
        total, count = (values * counted).sum(dim=2), counted.sum(dim=2)
        self._sum = total if self._sum is None else self._sum + total
        self._count = count if self._count is None else self._count + count

    def next_layer(self) -> None:
        """The current layer is complete; nothing happens where it had no block."""
        if self._sum is not None and self._count is not None:
            # 0 / 0 is NaN: a measure that no query of this input has.
            self._layers.append(self._sum / self._count)
        self._sum = self._count = None

    def means(self) -> Tensor:
        """(batch, layer, head, measure); NaN where no query counted."""
        self.next_layer()
        return torch.stack(self._layers, dim=1)
