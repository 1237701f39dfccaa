"""Tokens that draw attention whatever the query: attention sinks.

Xiao et al. 2023 (arXiv 2309.17453). The measure is that of Gu et al. 2024, "When Attention Sink
Emerges in Language Models" (arXiv 2410.10781), section 3: the importance of a key is the mean weight
that the queries which see it give to it, and it is a sink where that is over epsilon = .3.
"""

from __future__ import annotations

import torch
from torch import Tensor

from monitor.analysis.marks import TokenMarks

SINK = 0.3
SINK_MEASURES = ("first", "separator", "punctuation", "other", "share")
TINY = 1e-30


class SinkReducer:
    """The largest importance of a key of each kind, for each head, one forward pass."""

    def __init__(self, marks: TokenMarks) -> None:
        self._marks = marks
        self._visible: Tensor | None = None
        self._received: Tensor | None = None
        self._seen_by: Tensor | None = None
        self._layers: list[Tensor] = []

    def begin(self, layer: int, visible: Tensor | None) -> None:  # noqa: ARG002
        """See Reducer."""
        self._finish_layer()
        self._visible = visible

    def weights(self, attention: Tensor, log_attention: Tensor, start: int) -> None:  # noqa: ARG002
        """See Reducer."""
        rows = attention.shape[2]
        real = self._marks.layout.real[:, start : start + rows].to(attention.dtype)
        received = torch.einsum("bhqk,bq->bhk", attention, real)
        seen = self._marks.seen(self._visible, start, rows).to(attention.dtype)
        seen_by = torch.einsum("bqk,bq->bk", seen, real)
        self._received = received if self._received is None else self._received + received
        self._seen_by = seen_by if self._seen_by is None else self._seen_by + seen_by

    def context(self, context: Tensor) -> None:
        """See Reducer."""

    def sinks(self) -> Tensor:
        """(batch, layer, head, SINK_MEASURES): importance by kind, NaN where a text has no such key;

        ``share``: 1 where any key is a sink, so that its mean over samples is how often there is one.
        """
        self._finish_layer()
        return torch.stack(self._layers, dim=1)

    def _finish_layer(self) -> None:
        if self._received is None or self._seen_by is None:
            return
        self._layers.append(largest_importance(self._received, self._seen_by, self._marks))
        self._received = self._seen_by = None


def largest_importance(received: Tensor, seen_by: Tensor, marks: TokenMarks) -> Tensor:
    """(batch, head, SINK_MEASURES) of the mass that keys received (batch, head, key).

    ``seen_by`` (batch, key) counts the queries that see a key. Keys that fewer than half of the
    queries see are left out: the last token of a decoder is seen by itself alone.
    """
    layout = marks.layout
    importance = received / seen_by[:, None].clamp_min(TINY)
    eligible = layout.real & (seen_by * 2 >= layout.real.sum(dim=1, keepdim=True))
    separator, first = layout.separators, layout.is_first & layout.real
    punctuation = marks.punctuation & ~separator & ~first
    kinds = [first, separator, punctuation, layout.real & ~first & ~separator & ~punctuation]
    largest = []
    for kind in kinds:
        chosen = (kind & eligible)[:, None]
        highest = torch.where(chosen, importance, -1.0).amax(dim=-1)
        largest.append(torch.where(chosen.any(dim=-1), highest, torch.nan))
    whole = torch.stack(largest, dim=-1)
    share = (whole.nan_to_num(-1.0).amax(dim=-1, keepdim=True) > SINK).to(whole.dtype)
    return torch.cat([whole, share], dim=-1)
