"""Gradient-weighted relevance of the tokens for one prediction, in memory linear in the length.

Chefer, Gur & Wolf 2021, "Generic Attention-model Explainability" (arXiv 2103.15679):

    rule 5:  A_bar = mean over heads of (dy/dA * A)+          rule 6:  R <- R + A_bar R

from R = I, first layer first. One row r = e R of the end result is all that is wanted, and
e (I + A_bar_L) ... (I + A_bar_1) can be taken from the left: r <- r + r A_bar_l, last layer first.
That is the order in which gradients arrive in a backward pass, so a hook on each layer's output
recomputes its weights block by block, takes dy/dA = g V^T, and keeps one row.

The paper reads its result at [CLS], where its models do. Here e is where the last layer's gradient
says that the prediction reads: all of it at one position for a classifier, spread over the tokens
for an embedding or a label per token.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from monitor.analysis.layout import Attention
from monitor.analysis.together import Again, of_query_heads


class RelevanceReducer:
    """Relevance and gradient x attention of one forward pass and the backward pass that follows it.

    ``read`` (batch, token) are the weights with which the prediction reads the last layer's
    positions, None for each position's share of the gradient's norm there.
    """

    def __init__(self, *, read: Tensor | None = None) -> None:
        self._row = read
        self._last: Tensor | None = None
        self._pending: tuple[Tensor, Again] | None = None
        self._hooks: list[RemovableHandle] = []
        self._layers = self._reached = 0

    def begin(self, layer: int, visible: Tensor | None) -> None:  # noqa: ARG002
        """See Reducer."""
        self._pending = None
        self._layers += 1

    def inputs(self, value: Tensor, again: Again | None) -> None:
        """See ValueReducer."""
        self._pending = None if again is None else (value, again)

    def matrix(self, matrix: Tensor) -> None:
        """Wait for the gradient of the weights themselves, where they are in the graph."""
        if matrix.requires_grad:
            self._hooks.append(matrix.register_hook(partial(self._descend_matrix, kept=matrix.detach())))

    def weights(self, attention: Tensor, log_attention: Tensor, start: int) -> None:
        """See Reducer; the weights are asked for again when the gradient is there."""

    def context(self, context: Tensor) -> None:
        """Wait for this output's gradient, (batch, query, head, dim)."""
        if self._pending is not None and context.requires_grad:
            value, again = self._pending
            self._hooks.append(context.register_hook(partial(self._descend, value=value, again=again)))

    def release(self) -> None:
        """Let go of the pass: to be called when its gradient is there, or will not come.

        What ``again`` holds leads back to the outputs whose graph holds the hook: a circle that runs
        through autograd's own nodes, where Python's collector cannot see it.
        """
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        self._pending = None

    def relevance(self) -> Tensor | None:
        """(batch, token): the row of R; None where the gradient did not come by every layer."""
        return self._row if self._complete else None

    def gradient_times_attention(self) -> Tensor | None:
        """(batch, token): the same row of the last layer's A_bar alone; None as for ``relevance``."""
        return self._last if self._complete else None

    @property
    def _complete(self) -> bool:
        return 0 < self._layers == self._reached

    def _descend(self, gradient: Tensor, *, value: Tensor, again: Again) -> None:
        row = self._row_at(gradient)
        step = _RowThroughLayer(row, gradient.detach(), value)
        again(step)
        self._take(row, step.added)

    def _descend_matrix(self, slope: Tensor, *, kept: Attention) -> None:
        row = self._row_at(slope.transpose(1, 2))
        self._take(row, _through(row, kept, slope))

    def _row_at(self, gradient: Tensor) -> Tensor:
        """The row so far; at first where ``gradient`` (batch, query, ...) is not nothing."""
        if self._row is not None:
            return self._row
        norm = gradient.detach().float().flatten(2).norm(dim=-1)
        return norm / norm.sum(dim=1, keepdim=True).clamp_min(torch.finfo(norm.dtype).tiny)

    def _take(self, row: Tensor, added: Tensor) -> None:
        self._reached += 1
        self._last = added if self._last is None else self._last
        self._row = row + added


class _RowThroughLayer:
    """r A_bar of one layer, summed over blocks of queries."""

    def __init__(self, row: Tensor, gradient: Tensor, value: Tensor) -> None:
        self._row = row
        self._gradient = gradient.float().transpose(1, 2)
        self._value = of_query_heads(value, gradient.shape[2]).float()
        self.added = torch.zeros_like(row)

    def weights(self, attention: Attention, log_attention: Tensor, start: int) -> None:  # noqa: ARG002
        """See WeightReader."""
        rows = attention.shape[2]
        slope = attention_gradient(self._gradient[:, :, start : start + rows], self._value)
        self.added += _through(self._row[:, start : start + rows], attention, slope)


def attention_gradient(gradient: Tensor, value: Tensor) -> Attention:
    """dy/dA = g V^T: gradient (batch, head, query, dim) of the context A V, value (batch, head, key, dim)."""
    return torch.matmul(gradient, value.transpose(-1, -2))


def weighted_heads(attention: Attention, slope: Attention) -> Tensor:
    """Rule 5, (batch, query, key): mean over heads of (dy/dA * A)+."""
    return (attention * slope).clamp_min(0).mean(dim=1)


def _through(row: Tensor, attention: Attention, slope: Attention) -> Tensor:
    """r A_bar, (batch, key)."""
    return torch.einsum("bq,bqk->bk", row, weighted_heads(attention, slope.detach()).float())
