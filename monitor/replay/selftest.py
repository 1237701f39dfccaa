"""The start-up self-test: which tier serves this model, found by trying, never by its name.

A few rows with right and with left padding go through eager attention with ``output_attentions``,
then through each tier in turn. The first whose outputs and weights agree serves; why the ones before
it may not is kept. Where none does, prediction and attribution remain.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from monitor.replay.batches import Batch
from monitor.replay.finding import STACKS, Finding, Stack, Tier
from monitor.replay.layer_hooks import (
    HookSink,
    find_matrices,
    hooked,
    install_context_hooks,
    install_matrix_hooks,
    recorded_matrices,
    remove,
)
from monitor.replay.module_eager import MODULE_EAGER, register_module_eager
from monitor.replay.projection import (
    ModuleCall,
    Projection,
    contexts_of_matrices,
    find_projections,
    recorded_calls,
)
from monitor.replay.reference import MatrixCollector, Reference, disagreement, is_causal, main_output
from monitor.replay.stacks import is_encoder_decoder, layers_there, stack_of
from monitor.replay.tap import TAP, LayerKey, Sink, listening

Forward = Callable[..., Any]


class TierRefused(Exception):
    """A tier may not serve this model; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """The model under test. ``forward(batch, output_attentions=...)`` gives its raw output."""

    model: nn.Module
    forward: Forward
    references: tuple[Reference, ...]
    names: Mapping[int, str]


def run_self_test(model: nn.Module, forward: Forward, batches: Sequence[Batch]) -> Finding:
    """Try the tiers on ``batches``; leaves the model set up for the one that serves."""
    with torch.no_grad():
        _set_attention(model, "eager")
        trial = Trial(
            model=model,
            forward=forward,
            references=tuple(_reference(forward, batch) for batch in batches),
            names={id(module): name for name, module in model.named_modules()},
        )
        there = layers_there(model, len(STACKS) if is_encoder_decoder(model) else 0)
        refused: list[tuple[Tier, str]] = []
        for tier, attempt in TIERS.items():
            try:
                finding = attempt(trial)
            except TierRefused as error:
                refused.append((tier, str(error)))
            else:
                count = max(there, finding.layer_count)
                return replace(finding, layers_there=count, refused=tuple(refused))
        return Finding(
            tier="attribution only",
            layers={},
            layer_count=0,
            head_count=0,
            causal=False,
            projections=None,
            layers_there=there,
            refused=tuple(refused),
        )


def try_tap(trial: Trial) -> Finding:
    """Tier 1: the tap at transformers' attention interface, which computes SDPA."""
    return _try_interface(trial, TAP, "tap")


def try_module_eager(trial: Trial) -> Finding:
    """Tier 2: the model's own eager attention at the same place, one layer at a time."""
    register_module_eager()
    return _try_interface(trial, MODULE_EAGER, "module eager")


def try_layer_hooks(trial: Trial) -> Finding:
    """Tier 3: ``output_attentions``, each layer's matrix reduced and dropped where it comes out."""
    reference = _with_matrices(trial)
    with recorded_matrices(trial.model) as records:
        again = Reference.of(trial.forward(reference.batch, output_attentions=True), reference.batch)
    found = find_matrices(again.matrices, records)
    if found is None:
        raise TierRefused("not every matrix is returned by a module of its own")
    layers, index = found
    projections = _projections_of_matrices(trial, reference)
    handles = install_matrix_hooks(trial.model, index)
    try:
        _agree_with_hooks(trial, layers, len(layers))
    except Exception:
        remove(handles)
        raise
    install_context_hooks(projections or ())
    finding = _finding(trial, "layer hooks", reference.matrices, layers, projections)
    return replace(finding, matrix_index=index)


def try_all_matrices(trial: Trial) -> Finding:
    """Tier 4: every layer's matrix kept until the forward pass is done, so for short inputs only."""
    reference = _with_matrices(trial)
    projections = _projections_of_matrices(trial, reference)
    install_context_hooks(projections or ())
    return _finding(trial, "all matrices", reference.matrices, {}, projections)


TIERS: Mapping[Tier, Callable[[Trial], Finding]] = MappingProxyType(
    {
        "tap": try_tap,
        "module eager": try_module_eager,
        "layer hooks": try_layer_hooks,
        "all matrices": try_all_matrices,
    }
)


def _try_interface(trial: Trial, implementation: str, tier: Tier) -> Finding:
    """An attention implementation of ours, which every attention module is to call."""
    if not _set_attention(trial.model, implementation):
        raise TierRefused("the model does not use transformers' attention interface")
    try:
        return _agree_with_interface(trial, tier)
    except TierRefused:
        _set_attention(trial.model, "eager")
        raise


def _agree_with_interface(trial: Trial, tier: Tier) -> Finding:
    layers: dict[LayerKey, int] = {}
    projections = None
    matrices: list[Tensor] = []
    for reference in trial.references:
        collector = MatrixCollector()
        sink = Sink(reducer=collector, names=trial.names)
        try:
            with recorded_calls(trial.model) as calls, listening(sink):
                answer = main_output(trial.forward(reference.batch, output_attentions=False))
        except Exception as error:
            raise TierRefused(f"the forward pass fails ({_words(error)})") from None
        if not sink.seen:
            raise TierRefused("no layer calls it")
        if not reference.matrices:
            raise TierRefused("there is no eager reference to check it against")
        order = _order(sink.seen, reference.stacks, trial.model)
        layers = {sink.seen[call]: layer for layer, call in enumerate(order)}
        matrices = collector.matrices(order)
        difference = disagreement(reference, answer, matrices)
        if difference:
            raise TierRefused(difference)
        heads = _head_count(matrices)
        projections = find_projections(collector.contexts(order), calls, heads)
    return _finding(trial, tier, matrices, layers, projections)


def _agree_with_hooks(trial: Trial, layers: Mapping[LayerKey, int], count: int) -> None:
    for reference in trial.references:
        collector = MatrixCollector()
        sink = HookSink(
            sink=Sink(reducer=collector, names=trial.names, layers=layers), heads=1, context_layers={}
        )
        try:
            with hooked(sink):
                output = trial.forward(reference.batch, output_attentions=True)
        except Exception as error:
            raise TierRefused(f"the forward pass fails without its matrices ({_words(error)})") from None
        if len(collector.blocks) != count:
            raise TierRefused(f"{len(collector.blocks)} of {count} layers come out of their modules")
        if Reference.of(output, reference.batch).matrices:
            raise TierRefused("the model keeps matrices that were taken from it")
        difference = disagreement(reference, main_output(output), collector.matrices())
        if difference:
            raise TierRefused(difference)


def _reference(forward: Forward, batch: Batch) -> Reference:
    try:
        output = forward(batch, output_attentions=True)
    except Exception:  # a model that does not know the argument; if it fails without too, that is told
        output = forward(batch, output_attentions=False)
    return Reference.of(output, batch)


def _with_matrices(trial: Trial) -> Reference:
    """The last reference (right padding), where every one has matrices."""
    if any(not reference.matrices for reference in trial.references):
        raise TierRefused("eager attention gives no weights of queries over keys")
    _head_count(trial.references[-1].matrices)
    return trial.references[-1]


def _finding(
    trial: Trial,
    tier: Tier,
    matrices: Sequence[Tensor],
    layers: Mapping[LayerKey, int],
    projections: tuple[Projection, ...] | None,
) -> Finding:
    reference = trial.references[-1]
    return Finding(
        tier=tier,
        layers=layers,
        layer_count=len(matrices),
        head_count=_head_count(matrices),
        causal=is_causal(reference, matrices),
        projections=projections,
        stacks=reference.stacks,
    )


def _order(seen: Sequence[LayerKey], stacks: Sequence[Stack], model: nn.Module) -> list[int]:
    """The calls in the order of the layers: as they came, but stack by stack in an encoder-decoder."""
    calls = list(range(len(seen)))
    if not stacks:
        return calls
    return sorted(calls, key=lambda call: (STACKS.index(stack_of(seen[call][0], model)), call))


def _head_count(matrices: Sequence[Tensor]) -> int:
    counts = sorted({matrix.shape[1] for matrix in matrices})
    if len(counts) > 1:
        raise TierRefused(f"its layers differ in their heads ({', '.join(map(str, counts))})")
    return counts[0]


def _projections_of_matrices(trial: Trial, reference: Reference) -> tuple[Projection, ...] | None:
    calls: list[ModuleCall]
    with recorded_calls(trial.model) as calls:
        trial.forward(reference.batch, output_attentions=True)
    contexts = contexts_of_matrices(reference.matrices, calls)
    if contexts is None:
        return None
    return find_projections(contexts, calls, reference.matrices[0].shape[1])


def _words(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:80]}" if lines else type(error).__name__


def _set_attention(model: Any, name: str) -> bool:
    if not model._can_set_attn_implementation():  # noqa: SLF001  # transformers only warns, and goes on
        return False
    try:
        model.set_attn_implementation(name)
    except Exception:
        return False
    return bool(model.config._attn_implementation == name)  # noqa: SLF001
