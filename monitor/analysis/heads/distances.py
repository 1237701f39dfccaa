"""How alike heads attend: Jensen-Shannon distances, clusters, and the nearest head of each.

Clark et al. 2019, "What Does BERT Look At?" (arXiv 1906.04341), section 6: the distance of two heads
is the sum over tokens of JS(H_a(token) || H_b(token)). Here it is the mean, in bits, so that it lies
within [0, 1] and does not depend on the length of the texts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from torch import Tensor

from monitor.analysis.marks import TokenMarks

QUERIES_KEPT = 8
CLUSTER_DISTANCE = 0.15


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadDistances:
    """Sum over samples of the distance of each two heads (layer x head, layer x head): a monoid."""

    total: NDArray[np.float64]
    samples: int

    @classmethod
    def nothing(cls, heads: int) -> HeadDistances:
        """Of no sample; ``heads`` counts those of all layers."""
        return cls(total=np.zeros((heads, heads)), samples=0)

    def with_samples(self, distances: NDArray[np.floating]) -> HeadDistances:
        """``distances`` (sample, head, head) added."""
        total = self.total + distances.sum(axis=0, dtype=np.float64)
        return HeadDistances(total=total, samples=self.samples + len(distances))

    def merge(self, other: HeadDistances) -> HeadDistances:
        """The samples of both."""
        return HeadDistances(total=self.total + other.total, samples=self.samples + other.samples)

    @property
    def mean(self) -> NDArray[np.float64]:
        """(head, head), 0 on the diagonal; layer 0's heads first."""
        return self.total / max(self.samples, 1)


class QueryRowKeeper:
    """Keeps a few queries' rows of every head of one batch: all that distances between layers need.

    The queries are spread evenly over those that count, so memory is (layer x head x 8 x key) a
    sample, whatever the length. ``queries=None`` keeps all.
    """

    def __init__(self, marks: TokenMarks, *, queries: int | None = QUERIES_KEPT) -> None:
        self._places = kept_queries(marks, queries)
        self._rows: list[Tensor] = []
        self._layers: list[Tensor] = []

    def begin(self, layer: int, visible: Tensor | None) -> None:  # noqa: ARG002
        """See Reducer."""
        self._finish_layer()

    def weights(self, attention: Tensor, log_attention: Tensor, start: int) -> None:  # noqa: ARG002
        """See Reducer."""
        inside = self._places - start
        here = (inside >= 0) & (inside < attention.shape[2])
        shape = (-1, attention.shape[1], -1, attention.shape[3])
        index = torch.where(here, inside, 0)[:, None, :, None].expand(*shape)
        self._rows.append(attention.gather(2, index) * here[:, None, :, None])

    def context(self, context: Tensor) -> None:
        """See Reducer."""

    def distances(self) -> Tensor:
        """(batch, head, head) over all layers."""
        self._finish_layer()
        rows = torch.cat(self._layers, dim=1)
        counted = self._places >= 0
        return torch.stack([mean_distances(row[:, keep]) for row, keep in zip(rows, counted, strict=True)])

    def _finish_layer(self) -> None:
        if self._rows:
            self._layers.append(torch.stack(self._rows).sum(dim=0))
        self._rows = []


def kept_queries(marks: TokenMarks, queries: int | None) -> Tensor:
    """Positions (batch, kept) of the queries to keep, -1 where a text has fewer."""
    chosen = [row.nonzero().squeeze(-1) for row in marks.queries]
    if queries is not None:
        chosen = [
            places[torch.linspace(0, len(places) - 1, min(queries, len(places))).round().long()]
            for places in chosen
        ]
    width = max(len(places) for places in chosen)
    padded = [torch.nn.functional.pad(places, (0, width - len(places)), value=-1) for places in chosen]
    return torch.stack(padded)


def mean_distances(rows: Tensor) -> Tensor:
    """Mean over queries of the Jensen-Shannon divergence of each two heads, in bits.

    rows (head, query, key); returns (head, head).
    JS(p, q) = H((p + q) / 2) - (H(p) + H(q)) / 2.
    """
    entropy = _entropy(rows)
    found = rows.new_zeros(len(rows), len(rows))
    for head in range(len(rows) - 1):
        others = slice(head + 1, None)
        middle = _entropy((rows[head] + rows[others]) / 2)
        distance = (middle - (entropy[head] + entropy[others]) / 2).mean(dim=-1).clamp_min(0)
        found[head, others] = distance
        found[others, head] = distance
    return found


def clusters(distances: NDArray[np.floating], *, within: float = CLUSTER_DISTANCE) -> NDArray[np.int64]:
    """A cluster number for each head, from 0 by first member: average linkage, cut at ``within`` bits.

    >>> clusters(np.array([[0, 0.9, 0.1], [0.9, 0, 0.8], [0.1, 0.8, 0]])).tolist()
    [0, 1, 0]
    """
    if len(distances) < 2:
        return np.zeros(len(distances), dtype=np.int64)
    tree = linkage(squareform(distances, checks=False), method="average")
    labels = fcluster(tree, t=within, criterion="distance")
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(first))
    return np.asarray(order[inverse], dtype=np.int64)


def _entropy(rows: Tensor) -> Tensor:
    return torch.special.entr(rows).sum(dim=-1) / np.log(2)
