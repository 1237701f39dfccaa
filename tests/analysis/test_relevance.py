"""Streamed relevance against the whole matrices: autograd through eager attention, R in full."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from monitor.analysis.tokens.relevance import RelevanceReducer
from monitor.reading.analyser import Analyser
from monitor.records import Sample
from tests.analysis.random_layers import stream

LAYERS, HEADS, DIM, WIDTH = 3, 4, 5, 9


class Toy:
    """Attention layers with a residual stream; the weights are random, the loss is a random direction."""

    def __init__(self, *, groups: int, causal: bool) -> None:
        draw = torch.Generator().manual_seed(7)
        size = HEADS * DIM
        kept = size // groups
        self.causal = causal
        self.weights = [
            [torch.randn(size, out, generator=draw) / 2 for out in (size, kept, kept, size)]
            for _ in range(LAYERS)
        ]
        self.direction = torch.randn(2, WIDTH, size, generator=draw)
        self.given = torch.randn(2, WIDTH, size, generator=draw)
        self.context = self.given

    def run(self, reducer: Any, *, block: int, tier: str) -> tuple[Tensor, list[Tensor]]:
        """The score of each row, and the attention matrices, in the graph."""
        hidden = self.given.clone().requires_grad_()
        matrices = []
        for layer, (w_q, w_k, w_v, w_o) in enumerate(self.weights):
            query, key, value = (
                (hidden @ w).unflatten(-1, (-1, DIM)).transpose(1, 2) for w in (w_q, w_k, w_v)
            )
            groups = HEADS // key.shape[1]
            scores = query @ key.repeat_interleave(groups, dim=1).transpose(-1, -2) / DIM**0.5
            if self.causal:
                scores = scores.masked_fill(~torch.ones(WIDTH, WIDTH, dtype=torch.bool).tril(), -1e30)
            attention = scores.softmax(-1)
            attention.retain_grad()
            matrices.append(attention)
            reducer.begin(layer, None)
            if tier == "tap":
                kept = attention.detach()
                reducer.inputs(value.detach(), lambda reader, a=kept: stream(reader, a, block))
            elif tier == "matrix":
                reducer.matrix(attention)
            context = (attention @ value.repeat_interleave(groups, dim=1)).transpose(1, 2)
            context.retain_grad()
            self.context = context
            reducer.context(context)
            hidden = hidden + torch.tanh(context.flatten(2) @ w_o)
        return (hidden * self.direction).sum(dim=(1, 2)), matrices


def relevance_matrices(matrices: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Chefer et al. 2021, rules 5 and 6 with the whole R, and the last layer's A_bar."""
    whole = torch.eye(WIDTH).expand(2, WIDTH, WIDTH)
    weighted = torch.zeros(0)
    for attention in matrices:
        assert attention.grad is not None
        weighted = (attention.grad * attention.detach()).clamp_min(0).mean(dim=1)
        whole = whole + weighted @ whole
    return whole, weighted


def one_hot(*, causal: bool) -> Tensor:
    return torch.eye(WIDTH)[[WIDTH - 1 if causal else 0] * 2]


@pytest.mark.parametrize("tier", ["tap", "matrix"])
@pytest.mark.parametrize("causal", [False, True], ids=["encoder", "decoder"])
@pytest.mark.parametrize("groups", [1, 2])
def test_the_streamed_row_equals_that_of_the_whole_relevance_matrix(
    tier: str, causal: bool, groups: int
) -> None:
    reducer = RelevanceReducer(read=one_hot(causal=causal))
    assert reducer.relevance() is None
    score, matrices = Toy(groups=groups, causal=causal).run(reducer, block=4, tier=tier)
    score.sum().backward()
    whole, last = relevance_matrices(matrices)
    readout = WIDTH - 1 if causal else 0
    relevance, gradient = reducer.relevance(), reducer.gradient_times_attention()
    assert relevance is not None and gradient is not None
    torch.testing.assert_close(relevance, whole[:, readout], atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(gradient, last[:, readout], atol=2e-5, rtol=1e-4)


def test_a_prediction_that_reads_all_positions_gets_the_mean_row() -> None:
    read = torch.full((2, WIDTH), 1 / WIDTH)
    reducer = RelevanceReducer(read=read)
    score, matrices = Toy(groups=1, causal=False).run(reducer, block=9, tier="tap")
    score.sum().backward()
    whole, _ = relevance_matrices(matrices)
    torch.testing.assert_close(reducer.relevance(), whole.mean(dim=1), atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("tier", ["tap", "matrix"])
def test_a_prediction_that_reads_one_position_is_read_there_without_being_told(tier: str) -> None:
    toy = Toy(groups=1, causal=False)
    toy.direction[:, torch.arange(WIDTH) != 3] = 0
    reducer = RelevanceReducer()
    score, matrices = toy.run(reducer, block=4, tier=tier)
    score.sum().backward()
    whole, _ = relevance_matrices(matrices)
    torch.testing.assert_close(reducer.relevance(), whole[:, 3], atol=2e-5, rtol=1e-4)


def test_a_prediction_that_reads_many_positions_is_read_by_the_gradients_norm() -> None:
    toy, reducer = Toy(groups=1, causal=False), RelevanceReducer()
    score, matrices = toy.run(reducer, block=9, tier="tap")
    score.sum().backward()
    whole, _ = relevance_matrices(matrices)
    assert toy.context.grad is not None
    read = toy.context.grad.flatten(2).norm(dim=-1)
    expected = torch.einsum("bq,bqk->bk", read / read.sum(dim=1, keepdim=True), whole)
    torch.testing.assert_close(reducer.relevance(), expected, atol=2e-5, rtol=1e-4)


def test_relevance_is_refused_where_the_weights_cannot_be_had_again() -> None:
    reducer = RelevanceReducer()
    score, _ = Toy(groups=1, causal=False).run(reducer, block=9, tier="weights only")
    score.sum().backward()
    assert reducer.relevance() is None
    assert reducer.gradient_times_attention() is None


def test_a_pass_is_let_go_of_once_its_gradient_is_there(tiny_analyser: Callable[..., Analyser]) -> None:
    """The hooks hold what leads back to them by autograd's own nodes, which no collector sees."""
    analyser = tiny_analyser("bert")
    made: list[weakref.ref[Any]] = []
    whole = analyser.reader._reducer

    def remembered(batch: Any, *, keep_contexts: bool) -> Any:
        reducer = whole(batch, keep_contexts=keep_contexts)
        made.append(weakref.ref(reducer))
        return reducer

    analyser.reader._reducer = remembered  # type: ignore[method-assign]
    analyser.profile([Sample(id="s", time=0.0, text="the cat sat on the mat.")], gradient=True)
    gc.collect()
    assert len(made) == 1
    assert made[0]() is None
