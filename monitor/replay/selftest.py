"""The start-up self-test: which tier serves this model, found by trying, never by its name.

A few rows with right and with left padding go through eager attention with ``output_attentions``
and through the tap. Only where outputs and weights agree does the tap serve; else eager does, if it
gives matrices; else the model has no attention that can be read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from monitor.replay.batches import Batch
from monitor.replay.projection import (
    Projection,
    contexts_of_matrices,
    find_projections,
    recorded_calls,
)
from monitor.replay.tap import TAP, LayerKey, Sink, listening

Tier = Literal["tap", "eager"]
Forward = Callable[..., Any]
_TOLERANCE = {torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 8e-2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What the self-test found. ``layers`` is empty for the eager tier; ``reason`` says why it serves."""

    tier: Tier
    layers: dict[LayerKey, int]
    layer_count: int
    head_count: int
    causal: bool
    projections: tuple[Projection, ...] | None
    reason: str = ""


@dataclass(slots=True)
class MatrixCollector:
    """A reducer that keeps the matrices: only for the few short rows of the self-test."""

    blocks: dict[int, list[Tensor]] = field(default_factory=dict)
    contexts: list[Tensor] = field(default_factory=list)
    layer: int = 0

    def begin(self, layer: int, visible: Tensor | None) -> None:  # noqa: ARG002
        """See AttentionReducer."""
        self.layer = layer
        self.blocks[layer] = []

    def weights(self, attention: Tensor, log_attention: Tensor, start: int) -> None:  # noqa: ARG002
        """See AttentionReducer."""
        self.blocks[self.layer].append(attention)

    def context(self, context: Tensor) -> None:
        """See AttentionReducer."""
        self.contexts.append(context.detach().flatten(2))

    def matrices(self) -> list[Tensor]:
        """One matrix (batch, head, query, key) a layer."""
        return [torch.cat(self.blocks[layer], dim=2) for layer in sorted(self.blocks)]


class NoAttentionError(Exception):
    """Neither tier gives attention; the text says what was tried."""


def run_self_test(model: nn.Module, forward: Forward, batches: Sequence[Batch]) -> Finding:
    """Try both tiers on ``batches``; leaves the model in the tier that serves.

    ``forward(batch, output_attentions=...)`` runs the model and returns its raw output.
    Raises ``NoAttentionError``.
    """
    with torch.no_grad():
        _set_attention(model, "eager")
        eager = [forward(batch, output_attentions=True) for batch in batches]
        matrices = [_matrices(output) for output in eager]
        reason = "the model does not use transformers' attention interface"
        if _set_attention(model, TAP):
            finding, reason = _try_tap(model, forward, batches, eager, matrices)
            if finding is not None:
                return finding
            _set_attention(model, "eager")
        if any(not given for given in matrices):
            raise NoAttentionError(f"eager attention gives no matrices, and with the tap {reason}")
        return _eager_finding(model, forward, batches, matrices, reason)


def _try_tap(
    model: nn.Module,
    forward: Forward,
    batches: Sequence[Batch],
    eager: Sequence[Any],
    matrices: Sequence[Sequence[Tensor]],
) -> tuple[Finding | None, str]:
    names = {id(module): name for name, module in model.named_modules()}
    layers: dict[LayerKey, int] = {}
    projections = None
    collector = MatrixCollector()
    for number, batch in enumerate(batches):
        collector = MatrixCollector()
        sink = Sink(reducer=collector, names=names)
        try:
            with recorded_calls(model) as calls, listening(sink):
                output = forward(batch, output_attentions=False)
        except Exception as error:
            return None, f"the forward pass fails ({type(error).__name__})"
        if not sink.seen:
            return None, "no layer calls it"
        layers = {key: index for index, key in enumerate(sink.seen)}
        if not matrices[number]:
            return None, "there is no eager reference to check it against"
        difference = _disagreement(batch, eager[number], output, matrices[number], collector.matrices())
        if difference:
            return None, difference
        projections = find_projections(collector.contexts, calls, collector.matrices()[0].shape[1])
    shape = collector.matrices()[0].shape
    return Finding(
        tier="tap",
        layers=layers,
        layer_count=len(layers),
        head_count=shape[1],
        causal=_is_causal(batches[-1], collector.matrices()),
        projections=projections,
    ), ""


def _eager_finding(
    model: nn.Module,
    forward: Forward,
    batches: Sequence[Batch],
    matrices: Sequence[Sequence[Tensor]],
    reason: str,
) -> Finding:
    with recorded_calls(model) as calls:
        forward(batches[-1], output_attentions=True)
    contexts = contexts_of_matrices(matrices[-1], calls)
    return Finding(
        tier="eager",
        layers={},
        layer_count=len(matrices[-1]),
        head_count=matrices[-1][0].shape[1],
        causal=_is_causal(batches[-1], matrices[-1]),
        projections=None if contexts is None else find_projections(contexts, calls, matrices[-1][0].shape[1]),
        reason=reason,
    )


def _disagreement(
    batch: Batch, eager: Any, tapped: Any, wanted: Sequence[Tensor], given: Sequence[Tensor]
) -> str:
    """Why the tap may not serve, or an empty text."""
    first = main_output(eager)
    tolerance = _TOLERANCE[first.dtype]
    if len(wanted) != len(given):
        return f"{len(given)} of {len(wanted)} layers call it"
    real = batch.real
    scale = max(1.0, float(_of_real(first, real).abs().max()))
    if float((_of_real(first, real) - _of_real(main_output(tapped), real)).abs().max()) > tolerance * scale:
        return "its outputs differ from eager attention"
    for one, other in zip(wanted, given, strict=True):
        if one.shape != other.shape:
            return "its weights have another shape than eager attention"
        gap = (one.float() - other).abs().amax(dim=(1, 3))[real]
        if not float(gap.max()) <= tolerance:
            return "its weights differ from eager attention"
    return ""


def main_output(output: Any) -> Tensor:
    """The logits of a model with a head, else the last hidden state."""
    logits = getattr(output, "logits", None)
    hidden: Tensor = logits if logits is not None else output.last_hidden_state
    return hidden


def _of_real(values: Tensor, real: Tensor) -> Tensor:
    """Only what real tokens gave; a classifier's output has no token axis."""
    return values[real].float() if values.shape[:2] == real.shape else values.float()


def _is_causal(batch: Batch, matrices: Sequence[Tensor]) -> bool:
    """True where no real query looks ahead, in any layer."""
    ahead = max(
        float((matrix.float().triu(1).sum(dim=-1).amax(dim=1) * batch.real).max()) for matrix in matrices
    )
    return ahead == 0.0


def _matrices(output: Any) -> list[Tensor]:
    given = getattr(output, "attentions", None) or ()
    return [matrix for matrix in given if isinstance(matrix, Tensor) and matrix.ndim == 4]


def _set_attention(model: Any, name: str) -> bool:
    if not model._can_set_attn_implementation():  # noqa: SLF001  # transformers only warns, and goes on
        return False
    try:
        model.set_attn_implementation(name)
    except Exception:
        return False
    return bool(model.config._attn_implementation == name)  # noqa: SLF001
