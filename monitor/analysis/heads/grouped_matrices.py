"""Every head's attention over one input, kept whole: its tokens merged to groups, eight bits a weight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Bytes = NDArray[np.uint8]
LEVELS = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerGroups:
    """Which tokens each shown query and key stands for; tokens in no group are left out."""

    queries: tuple[tuple[int, ...], ...]
    keys: tuple[tuple[int, ...], ...]


class GroupedMatrices:
    """Keeps each layer's (head, query group, key group) of a batch of one sample without padding.

    As Clark et al. 2019 (arXiv 1906.04341, section 3) merge word pieces: attention to a group is the
    sum over its tokens, attention from it the mean over them. Never more than one block of queries
    is held unmerged.
    """

    def __init__(self, groups: Sequence[LayerGroups]) -> None:
        self._groups = groups
        self._sums: dict[int, Tensor] = {}
        self._layer = -1

    def begin(self, layer: int, visible: Tensor | None) -> None:  # noqa: ARG002
        """See Reducer."""
        self._layer = layer

    def weights(self, attention: Tensor, log_attention: Tensor, start: int) -> None:  # noqa: ARG002
        """See Reducer."""
        groups = self._groups[self._layer]
        _, heads, rows, keys = attention.shape
        sums = membership(groups.keys, keys).to(attention.device)
        stop = 1 + max((place for group in groups.queries for place in group), default=0)
        means = membership(groups.queries, max(stop, start + rows)).to(attention.device)
        means = (means / means.sum(dim=0).clamp_min(1))[start : start + rows]
        part = torch.einsum("qg,hqk,km->hgm", means, attention[0], sums)
        before = self._sums.get(self._layer)
        if before is None:
            before = part.new_zeros(heads, len(groups.queries), len(groups.keys))
        self._sums[self._layer] = before + part

    def context(self, context: Tensor) -> None:
        """See Reducer."""

    def matrices(self) -> list[Bytes]:
        """Each layer's (head, query group, key group), first layer first, as ``quantised``."""
        return [quantised(self._sums[layer].cpu().numpy()) for layer in sorted(self._sums)]


def membership(groups: Sequence[Sequence[int]], tokens: int) -> Tensor:
    """(token, group): 1 where the token is of the group."""
    found = torch.zeros(tokens, len(groups))
    for number, group in enumerate(groups):
        found[list(group), number] = 1.0
    return found


def quantised(weights: NDArray[np.floating]) -> Bytes:
    """Weights in [0, 1] as bytes: the root of the weight, so that small ones keep their differences.

    A weight w comes back as (byte / 255)^2: within sqrt(w) / 255 + 4e-6 of itself.

    >>> quantised(np.array([0.0, 0.0001, 0.25, 1.0])).tolist()
    [0, 3, 128, 255]
    """
    roots: Bytes = np.rint(LEVELS * np.sqrt(np.clip(weights, 0.0, 1.0))).astype(np.uint8)
    return roots
