"""Attention weighted by the size of what it moves.

Kobayashi et al. 2020, "Attention is Not Only a Weight" (arXiv 2004.10102), equation 4: the token j
adds alpha_ij f(x_j) to the output of query i, with f(x) = (x W_V + b_V) W_O, so what counts is
|alpha_ij f(x_j)| = alpha_ij |v_j W_O|. Through the head's Gram matrix G = W_O W_O^T the norm is
sqrt(v_j G v_j^T), which needs no vector of the hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from monitor.analysis.heads.query_means import QueryMeans
from monitor.analysis.layout import Attention
from monitor.analysis.marks import TokenMarks
from monitor.analysis.together import Again, of_query_heads

NORM_SHARES = ("self", "previous", "first", "separator", "punctuation")
TINY = 1e-30


def value_norms(value: Tensor, grams: Tensor) -> Tensor:
    """|v_j W_O| per head: (batch, head, key). value (batch, head, key, dim); grams (head, dim, dim)."""
    given = value.float()
    return (torch.matmul(given, grams) * given).sum(dim=-1).clamp_min(0).sqrt()


def norm_weighted(attention: Attention, norms: Tensor) -> Attention:
    """|alpha_ij f(x_j)| as a share of the row's sum; rows that move nothing are 0."""
    moved = attention * norms[:, :, None]
    return moved / moved.sum(dim=-1, keepdim=True).clamp_min(TINY)


class NormWeightedReducer:
    """Where what each head writes comes from, one forward pass. ``grams`` (head, dim, dim) per layer."""

    def __init__(self, marks: TokenMarks, *, grams: Sequence[Tensor]) -> None:
        self._marks = marks
        self._grams = grams
        self._means = QueryMeans()
        self._norms: Tensor | None = None
        self._layer = -1

    def begin(self, layer: int, visible: Tensor | None) -> None:  # noqa: ARG002
        """See Reducer."""
        self._means.next_layer()
        self._layer, self._norms = layer, None

    def inputs(self, value: Tensor, again: Again | None) -> None:  # noqa: ARG002
        """See ValueReducer."""
        grams = self._grams[self._layer]
        self._norms = value_norms(of_query_heads(value, len(grams)), grams)

    def matrix(self, matrix: Tensor) -> None:
        """See ValueReducer."""

    def weights(self, attention: Tensor, log_attention: Tensor, start: int) -> None:  # noqa: ARG002
        """See Reducer."""
        if self._norms is None:
            return
        shares = norm_weighted(attention, self._norms)
        rows, keys = attention.shape[2:]
        place = torch.arange(keys, device=attention.device)
        gap = place - place[start : start + rows, None]
        layout = self._marks.layout
        groups = torch.stack(
            [layout.is_first & layout.real, layout.separators, self._marks.punctuation], dim=-1
        )
        values = [
            *((shares * (gap == step)).sum(dim=-1) for step in (0, -1)),
            *torch.matmul(shares, groups[:, None].to(shares.dtype)).unbind(dim=-1),
        ]
        queries = self._marks.queries[:, start : start + rows]
        self._means.add(torch.stack(values, dim=-1), queries[:, None, :, None])

    def context(self, context: Tensor) -> None:
        """See Reducer."""

    def shares(self) -> Tensor | None:
        """(batch, layer, head, NORM_SHARES); None where the tier hands no values over."""
        return None if self._norms is None else self._means.means()
