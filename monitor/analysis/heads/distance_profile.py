"""How far a head looks, and in which direction: its mean attention by relative distance.

Positional heads show as one bin (Voita et al. 2019, arXiv 1905.09418; Clark et al. 2019, arXiv
1906.04341, section 4.1, which counts the same for the neighbouring tokens).
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from monitor.analysis.heads.query_means import QueryMeans
from monitor.analysis.layout import Attention
from monitor.analysis.marks import TokenMarks

EDGES = (-64, -32, -16, -8, -4, -2, -1, 0, 1, 2, 3, 5, 9, 17, 33, 65)
"""The first distance (key less query) of each bin but the first, which takes all that is further back.

The nearest places have a bin each; further out each bin is twice as wide as the one before.
"""
SPECIAL = "special"


def _named(first: int, last: int) -> str:
    return f"{first:+d}" if first == last and first else f"{first:+d}..{last:+d}" if first else "0"


DISTANCE_BINS = (
    f"..{EDGES[0] - 1:+d}",
    *(_named(first, after - 1) for first, after in itertools.pairwise(EDGES)),
    f"{EDGES[-1]:+d}..",
    SPECIAL,
)


class DistanceReducer:
    """Mean attention of each head by distance, of one forward pass."""

    def __init__(self, marks: TokenMarks) -> None:
        self._marks = marks
        self._visible: Tensor | None = None
        self._means = QueryMeans()

    def begin(self, layer: int, visible: Tensor | None) -> None:  # noqa: ARG002
        """See Reducer."""
        self._means.next_layer()
        self._visible = visible

    def weights(self, attention: Tensor, log_attention: Tensor, start: int) -> None:  # noqa: ARG002
        """See Reducer."""
        rows = attention.shape[2]
        queries = self._marks.queries[:, start : start + rows]
        if self._marks.layout.causal:
            seen = self._marks.seen(self._visible, start, rows)
            queries = queries & (seen.sum(dim=-1) >= 2)
        self._means.add(
            mass_by_distance(attention, start, self._marks.layout.content), queries[:, None, :, None]
        )

    def context(self, context: Tensor) -> None:
        """See Reducer."""

    def profile(self) -> Tensor:
        """(batch, layer, head, DISTANCE_BINS); sums to 1 over the bins."""
        return self._means.means()


def mass_by_distance(attention: Attention, start: int, content: Tensor) -> Tensor:
    """(batch, head, query, DISTANCE_BINS): each query's attention by distance, of a block from ``start``.

    ``content`` (batch, key): the keys that have a distance worth the name. What lies on the others,
    special tokens and the first one, goes to the last bin wherever they stand: there it is a place to
    rest on, not a direction.
    """
    rows, keys = attention.shape[2:]
    place = torch.arange(start, start + rows, device=attention.device)
    # the mass on all keys before each edge, as one running sum that is read at the edges only
    running = torch.nn.functional.pad((attention * content[:, None, None]).cumsum(dim=-1), (1, 0))
    edges = torch.tensor(EDGES, device=attention.device)
    index = (place[:, None] + edges).clamp(0, keys)
    before = running.gather(-1, index.expand(*attention.shape[:3], len(EDGES)))
    whole = running[..., -1:]
    inside = torch.diff(before, dim=-1, prepend=torch.zeros_like(whole), append=whole)
    special = attention.sum(dim=-1, keepdim=True) - whole
    return torch.cat([inside, special], dim=-1).clamp_min(0)
