"""Finding each layer's output projection in the module tree, and proving that it is one.

No table of architectures: the projection is the module whose input is the flattened attention output
and which is affine and not the identity (a Dropout in front of it matches too, and is refused).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """Layer ``layer``'s output projection W_O, and its Gram matrix W_h W_h^T per head.

    ``grams`` (head, dim, dim): the norm of what head h writes is sqrt(c_h G_h c_h^T). The weight
    itself is not kept: over all layers it would be a second copy of a tenth of the model.
    """

    layer: int
    name: str
    module: nn.Module
    grams: Tensor


@dataclass(frozen=True, slots=True)
class ModuleCall:
    """One call of a module with a single tensor: its name, its input and its output."""

    name: str
    module: nn.Module
    given: Tensor
    returned: Tensor


@contextmanager
def recorded_calls(model: nn.Module) -> Iterator[list[ModuleCall]]:
    """Every call in this block of a module that takes one tensor and returns one."""
    calls: list[ModuleCall] = []

    def recorder(name: str) -> object:
        def record(module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
            if len(inputs) == 1 and isinstance(inputs[0], Tensor) and isinstance(output, Tensor):
                calls.append(ModuleCall(name, module, inputs[0].detach(), output.detach()))

        return record

    handles = [module.register_forward_hook(recorder(name)) for name, module in model.named_modules()]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def find_projections(
    contexts: Sequence[Tensor], calls: Sequence[ModuleCall], heads: int
) -> tuple[Projection, ...] | None:
    """The projection of each layer, or None unless every layer has one.

    ``contexts`` per layer (batch, query, head x dim): the attention output as it was computed.
    """
    found: list[Projection] = []
    left = list(calls)
    for layer, context in enumerate(contexts):
        place, projection = _of_layer(layer, context, left, heads)
        if projection is None:
            return None
        found.append(projection)
        del left[place]  # layers whose values are all 0 have equal contexts; each has its own call
    return tuple(found)


def contexts_of_matrices(
    matrices: Sequence[Tensor], calls: Sequence[ModuleCall]
) -> tuple[Tensor, ...] | None:
    """Each layer's context where only the matrices are known: the affine input that equals A V.

    ``V`` is the output of some module of the same shape; None unless every layer has such a pair.
    """
    contexts: list[Tensor] = []
    for matrix in matrices:
        context = _context_of(matrix.float(), calls)
        if context is None:
            return None
        contexts.append(context)
    return tuple(contexts)


def _of_layer(
    layer: int, context: Tensor, calls: Sequence[ModuleCall], heads: int
) -> tuple[int, Projection | None]:
    """Which of the calls is the layer's projection, and what it is."""
    for place, call in enumerate(calls):
        same = call.given.shape == context.shape and torch.equal(call.given, context)
        weight = affine_weight(call) if same else None
        if weight is not None:
            grams = _head_grams(weight, heads)
            return place, Projection(layer=layer, name=call.name, module=call.module, grams=grams)
    return -1, None


def _head_grams(weight: Tensor, heads: int) -> Tensor:
    per_head = weight.double().unflatten(0, (heads, -1))
    return (per_head @ per_head.transpose(-1, -2)).float()


def affine_weight(call: ModuleCall) -> Tensor | None:
    """W of xW + b = f(x), read as f(I) - f(0); None where f is not affine, or is the identity."""
    size = call.given.shape[-1]
    identity = torch.eye(size, dtype=call.given.dtype, device=call.given.device)
    try:
        with torch.no_grad():
            bias = call.module(torch.zeros_like(identity[:1]))
            weight = call.module(identity) - bias
    except Exception:  # a module that cannot take a matrix of another length is no projection
        return None
    if weight.ndim != 2 or weight.shape[0] != size:
        return None
    if weight.shape == identity.shape and torch.equal(weight, identity):
        return None
    expected = call.given.float() @ weight.float() + bias.float()
    scale = call.returned.float().abs().max().clamp_min(1e-6)
    error = (expected - call.returned.float()).abs().max() / scale
    tolerance = 1e-3 if call.given.dtype == torch.float32 else 5e-2
    return weight.detach() if float(error) < tolerance else None


def _context_of(matrix: Tensor, calls: Sequence[ModuleCall]) -> Tensor | None:
    """The input of some module that equals A V, V being (a part of) the output of another."""
    heads = matrix.shape[1]
    shaped = [
        c for c in calls if c.given.ndim == 3 and c.given.shape[:2] == (matrix.shape[0], matrix.shape[2])
    ]
    inputs = [c.given for c in shaped if c.given.shape[-1] % heads == 0]
    for source in shaped:
        if source.returned.shape[:2] != (matrix.shape[0], matrix.shape[3]):
            continue
        for given in inputs:
            for value in _value_parts(source.returned.float(), heads, given.shape[-1] // heads):
                flat = torch.matmul(matrix, value.transpose(1, 2)).transpose(1, 2).flatten(2)
                if torch.allclose(given.float(), flat, atol=1e-4, rtol=1e-3):
                    return given
    return None


def _value_parts(returned: Tensor, heads: int, dim: int) -> Iterator[Tensor]:
    """(batch, key, head, dim): the readings of a module's output as values, alone or fused with others.

    Query, key and value may lie head by head (BLOOM) or one after the other; in front of a few
    shared values there may be all queries (Falcon).
    """
    width, whole = heads * dim, returned.shape[-1]
    if whole % width == 0:
        parts = whole // width
        for part in range(parts):
            yield returned.unflatten(-1, (heads, parts, dim))[..., part, :]
            if parts > 1:
                yield returned.unflatten(-1, (parts, heads, dim))[..., part, :, :]
    shared = (whole - width) // (2 * dim)
    if 0 < shared < heads and whole == width + 2 * shared * dim and heads % shared == 0:
        tail = returned[..., -shared * dim :].unflatten(-1, (shared, dim))
        yield tail.repeat_interleave(heads // shared, dim=-2)
