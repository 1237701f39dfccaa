"""Eager attention with ``output_attentions``: what every tier is compared with before it may serve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from monitor.replay.batches import Batch
from monitor.replay.finding import Stack
from monitor.replay.matrices import matrices_by_stack

TOLERANCE = {torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 8e-2}
_ROUNDING = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """One batch through eager attention: the main output, and each layer's matrix, if it gave any.

    ``matrices`` (batch, head, query, key) with their ``stacks`` (empty but in an encoder-decoder).
    """

    batch: Batch
    answer: Tensor
    matrices: list[Tensor]
    stacks: tuple[Stack, ...]

    @classmethod
    def of(cls, output: Any, batch: Batch) -> Reference:
        """Read a raw output; matrices that are not (query x key) of this batch are none."""
        width = batch.real.shape[1]
        found = [
            (stack, matrix)
            for stack, matrix in matrices_by_stack(output)
            if stack is not None or tuple(matrix.shape[2:]) == (width, width)
        ]
        reference = cls(
            batch=batch,
            answer=main_output(output),
            matrices=[matrix for _, matrix in found],
            stacks=tuple(stack for stack, _ in found if stack is not None),
        )
        return reference if reference.has_weights() else replace(reference, matrices=[])

    def has_weights(self) -> bool:
        """Whether the matrices are weights: some models give the scores before the softmax instead."""
        return all(_are_weights(m.float(), self.queries(layer)) for layer, m in enumerate(self.matrices))

    def queries(self, layer: int) -> Tensor:
        """Which queries of a layer are real: the decoder's tokens for its own and for cross attention."""
        decoder = self.stacks and self.stacks[layer] != "encoder" and self.batch.decoder_real is not None
        if not decoder:
            return self.batch.real
        real: Tensor | None = self.batch.decoder_real
        assert real is not None
        return real


@dataclass(slots=True)
class MatrixCollector:
    """A reducer that keeps the matrices: only for the few short rows of the self-test."""

    blocks: dict[int, list[Tensor]] = field(default_factory=dict)
    found: dict[int, Tensor] = field(default_factory=dict)
    layer: int = 0

    def begin(self, layer: int, visible: Tensor | None) -> None:  # noqa: ARG002
        """See AttentionReducer."""
        self.layer = layer
        self.blocks[layer] = []

    def weights(self, attention: Tensor, log_attention: Tensor, start: int) -> None:  # noqa: ARG002
        """See AttentionReducer."""
        self.blocks[self.layer].append(attention.clone())

    def context(self, context: Tensor) -> None:
        """See AttentionReducer."""
        self.found[self.layer] = context.detach().flatten(2)

    def matrices(self, order: Sequence[int] | None = None) -> list[Tensor]:
        """One matrix (batch, head, query, key) a layer, in this order of the calls."""
        chosen = sorted(self.blocks) if order is None else order
        return [torch.cat(self.blocks[layer], dim=2) for layer in chosen]

    def contexts(self, order: Sequence[int] | None = None) -> list[Tensor]:
        """One context (batch, query, head x dim) a layer, in this order of the calls."""
        return [self.found[layer] for layer in (sorted(self.found) if order is None else order)]


def disagreement(reference: Reference, answer: Tensor, given: Sequence[Tensor]) -> str:
    """Why a tier that gave this answer and these matrices may not serve, or an empty text."""
    wanted, real = reference.matrices, reference.batch.read
    tolerance = TOLERANCE[reference.answer.dtype]
    if len(wanted) != len(given):
        return f"{len(given)} of {len(wanted)} layers call it"
    expected = of_real(reference.answer, real)
    scale = max(1.0, float(expected.abs().max()))
    if not float((expected - of_real(answer, real)).abs().max()) <= tolerance * scale:
        return "its outputs differ from eager attention"
    for layer, (one, other) in enumerate(zip(wanted, given, strict=True)):
        if one.shape != other.shape:
            return "its weights have another shape than eager attention"
        gap = (one.float() - other.float()).abs().amax(dim=(1, 3))[reference.queries(layer)]
        if not float(gap.max()) <= tolerance:
            return "its weights differ from eager attention"
    return ""


def _are_weights(matrix: Tensor, real: Tensor) -> bool:
    """Nothing below 0, and no real query's row above 1 in sum (a sink may take a part of it)."""
    total = matrix.sum(dim=-1).transpose(1, 2)[real]
    return bool(total.max() <= 1 + _ROUNDING) and bool(matrix.amin(dim=(1, 3))[real].min() >= 0)


def main_output(output: Any) -> Tensor:
    """The logits of a model with a head (a span's start logits), else the last hidden state."""
    for name in ("logits", "start_logits", "last_hidden_state"):
        found = getattr(output, name, None)
        if isinstance(found, Tensor):
            return found
    raise AttributeError("the model gives neither logits nor hidden states")


def of_real(values: Tensor, real: Tensor) -> Tensor:
    """Only what real tokens gave; a classifier's output has no token axis."""
    return values[real].float() if values.shape[:2] == real.shape else values.float()


def is_causal(reference: Reference, matrices: Sequence[Tensor]) -> bool:
    """True where no real query looks ahead, in any layer; an encoder-decoder is judged by its encoder."""
    own = [
        matrix
        for layer, matrix in enumerate(matrices)
        if not reference.stacks or reference.stacks[layer] == "encoder"
    ]
    real = reference.batch.real
    return all(float((m.float().triu(1).sum(dim=-1).amax(dim=1) * real).max()) == 0.0 for m in own)
