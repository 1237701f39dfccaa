"""The reducer that the attention tap feeds: head statistics and rollout in one streamed pass."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from monitor.analysis.heads.statistics import (
    HEAD_STATISTICS,
    KeySums,
    join_blocks,
    output_norms,
    reduce_block,
)
from monitor.analysis.layout import Sight, TokenLayout
from monitor.analysis.tokens.rollout import Rollout, rollout_of


class ProfileReducer:
    """Collects one forward pass. It is fed layer by layer: ``begin``, ``weights``..., ``context``.

    ``grams`` (head, dim, dim) per layer for ``output_norm``, or None. ``keep_contexts`` keeps each
    layer's output in the graph, for head importance. ``rollout`` stands in for the usual one.
    """

    def __init__(
        self,
        layout: TokenLayout,
        *,
        statistics: Sequence[str],
        grams: Sequence[Tensor] | None,
        keep_contexts: bool = False,
        rollout: Rollout | None = None,
    ) -> None:
        self._layout = layout
        self._statistics = tuple(HEAD_STATISTICS[name] for name in statistics)
        self._grams = grams
        self._keep_contexts = keep_contexts
        self._rollout = rollout_of(layout) if rollout is None else rollout
        self._layer = -1
        self._sight: Sight | None = None
        self._visible: Tensor | None = None
        self._blocks: list[KeySums] = []
        self._norm: Tensor | None = None
        self._profiles: list[Tensor] = []
        self.contexts: list[Tensor] = []

    def begin(self, layer: int, visible: Tensor | None) -> None:
        """A layer starts; ``visible`` (batch or 1, 1, query, key) or None for what the layout says."""
        self._finish_layer()
        self._layer = layer
        if self._sight is None or not _same(visible, self._visible):
            self._sight = Sight.of(self._layout, None if visible is None else visible[:, 0])
            self._visible = visible

    def weights(self, attention: Tensor, log_attention: Tensor, start: int) -> None:
        """A block of queries from ``start`` on: (batch, head, query, key)."""
        assert self._sight is not None  # begin comes first
        self._blocks.append(reduce_block(attention, log_attention, start, self._sight))
        self._rollout.add(attention, start)

    def context(self, context: Tensor) -> None:
        """What the layer's heads give, (batch, query, head, dim)."""
        if self._keep_contexts:
            self.contexts.append(context)
        if self._grams is not None:
            self._norm = output_norms(context.detach(), self._grams[self._layer])

    def profile(self) -> Tensor:
        """(batch, layer, head, statistic)."""
        self._finish_layer()
        return torch.stack(self._profiles, dim=1)

    def rollout(self) -> Tensor:
        """The row that the prediction reads, (batch, token)."""
        self._finish_layer()
        return self._rollout.readout_row()

    def _finish_layer(self) -> None:
        if not self._blocks or self._sight is None:
            return
        first = self._blocks[0].own
        norm = self._norm if self._norm is not None else first.new_zeros(0)
        sums = join_blocks(self._blocks, norm)
        self._profiles.append(torch.stack([f(sums, self._sight) for f in self._statistics], dim=-1))
        self._rollout.next_layer()
        self._blocks, self._norm = [], None


def _same(one: Tensor | None, other: Tensor | None) -> bool:
    if one is None or other is None:
        return one is other
    if one.shape != other.shape or one.stride() != other.stride():
        return False
    # a mask that all layers share, and a single value spread over the square, need no look at it all
    shared = one.data_ptr() == other.data_ptr()
    single = not any(one.stride()[-2:])
    return shared or torch.equal(one[..., :1, :1] if single else one, other[..., :1, :1] if single else other)
