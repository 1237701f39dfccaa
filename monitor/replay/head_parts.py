"""Which parameters make up which head, in any architecture.

A head's query, key and value projections are the modules to whose outputs the head's context has a
gradient, and their slices for that head are the features where it is not 0. That holds for fused and
interleaved projections, for Conv1D, rotary positions, and for grouped queries (the heads of a group
share its key and value). The output projection is known already (``projection.py``).

The gradient is not taken at the model's own numbers: where a head's values are 0 it has none to its
queries and keys, and a damaged head would lose them. Every projection puts out drawn numbers instead,
the same for every checkpoint, and the norms between them and the attention have ones as scales.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn
from torch.func import functional_call

from monitor.replay.layer_hooks import context_layers
from monitor.replay.projection import Projection
from monitor.replay.tap import LayerKey

_SEED = 20
Leaf = tuple[str, nn.Module, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """The output (axis 0) or input (axis 1) features ``chosen`` of a module's weight."""

    name: str
    module: nn.Module
    chosen: Tensor
    side: int

    def joined(self, other: Share | None) -> Share:
        """The features of both: of other heads, or of another call of the same module."""
        if other is None or other.chosen.shape != self.chosen.shape:
            return self
        return replace(self, chosen=self.chosen | other.chosen)


@dataclass(slots=True)
class _Traces:
    """One forward pass: the leaves made since the last context, and each context with them, by its call."""

    draw: torch.Generator = field(default_factory=lambda: torch.Generator().manual_seed(_SEED))
    leaves: list[Leaf] = field(default_factory=list)
    contexts: dict[LayerKey, tuple[Tensor, list[Leaf]]] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)

    def leaf(self, name: str, module: nn.Module, like: Tensor) -> Tensor:
        """Drawn numbers in the place of a module's output."""
        drawn = torch.randn(like.shape, generator=self.draw).to(like).requires_grad_()
        self.leaves.append((name, module, drawn))
        return drawn

    def context(self, name: str, context: Tensor) -> None:
        """What an output projection is given."""
        ordinal = self.calls.get(name, 0)
        self.calls[name] = ordinal + 1
        self.contexts[(f"{name} input", ordinal)] = (context, self.leaves[:])
        self.leaves.clear()


def head_shares(
    network: nn.Module, projections: Sequence[Projection], heads: int, forward: Callable[[], object]
) -> list[list[list[Share]]] | None:
    """Each layer's heads as their shares of modules; None where the model gives no gradient."""
    # not in the order of the calls: a decoder's two stacks take turns, layers count stack by stack
    places = {layer: key for key, layer in context_layers(projections).items()}
    try:
        # around the backward passes too, which read the scales once more
        with _plain_scales(network), torch.enable_grad():
            with _traced(network, projections) as traces:
                forward()
            if traces.contexts.keys() != set(places.values()):
                return None
            found = [(projection, *traces.contexts[places[projection.layer]]) for projection in projections]
            return [
                [
                    [*_feeders(context, leaves, head, heads), _output(projection, head, heads)]
                    for head in range(heads)
                ]
                for projection, context, leaves in found
            ]
    except RuntimeError:  # an operation that has no derivative
        return None


@contextmanager
def _plain_scales(network: nn.Module) -> Iterator[None]:
    """Ones for every vector of a module without a matrix: a norm's scale of 0 would end the gradient."""
    vectors = [
        parameter
        for module in network.modules()
        if not any(parameter.ndim > 1 for parameter in module.parameters(recurse=False))
        for parameter in module.parameters(recurse=False)
        if parameter.is_floating_point()
    ]
    own = [parameter.data for parameter in vectors]
    try:
        for parameter in vectors:
            parameter.data = torch.ones_like(parameter)
        yield
    finally:
        for parameter, data in zip(vectors, own, strict=True):
            parameter.data = data


@contextmanager
def _traced(network: nn.Module, projections: Sequence[Projection]) -> Iterator[_Traces]:
    """Make the output of every module with a weight matrix a leaf, and note what each W_O is given."""
    traces = _Traces()
    outputs = {id(projection.module) for projection in projections}

    def cut(name: str) -> Callable[..., Tensor | None]:
        def hook(module: nn.Module, _: object, output: object) -> Tensor | None:
            if not isinstance(output, Tensor) or not output.is_floating_point():
                return None
            return traces.leaf(name, module, output)

        return hook

    def caught(name: str) -> Callable[..., None]:
        return lambda _, given: traces.context(name, given[0])

    handles = []
    for name, module in network.named_modules():
        if id(module) in outputs:
            handles.append(module.register_forward_pre_hook(caught(name)))
        elif _has_matrix(module):
            handles.append(module.register_forward_hook(cut(name)))
    try:
        yield traces
    finally:
        for handle in handles:
            handle.remove()


def _has_matrix(module: nn.Module) -> bool:
    own = module.parameters(recurse=False)
    return not isinstance(module, nn.Embedding) and any(parameter.ndim > 1 for parameter in own)


def _feeders(context: Tensor, leaves: Sequence[Leaf], head: int, heads: int) -> list[Share]:
    """The modules and features that one head's context comes from."""
    own = context.unflatten(-1, (heads, -1))[..., head, :]
    noise = torch.randn(own.shape, generator=torch.Generator().manual_seed(_SEED)).to(own)
    gradients = torch.autograd.grad(
        (own * noise).sum(), [leaf for _, _, leaf in leaves], retain_graph=True, allow_unused=True
    )
    found: dict[str, Share] = {}
    for (name, module, _), gradient in zip(leaves, gradients, strict=True):
        if gradient is None:
            continue
        chosen = (gradient.flatten(0, -2) != 0).any(dim=0).cpu()
        found[name] = Share(name=name, module=module, chosen=chosen, side=0).joined(found.get(name))
    return [found[name] for name in sorted(found)]


def _output(projection: Projection, head: int, heads: int) -> Share:
    width = heads * projection.grams.shape[-1]
    chosen = torch.zeros(width, dtype=torch.bool)
    chosen[head * width // heads : (head + 1) * width // heads] = True
    return Share(name=projection.name, module=projection.module, chosen=chosen, side=1)


def share_axis(share: Share, parameter: Tensor) -> int | None:
    """The axis of a parameter along which the share's features lie; None: along none of them."""
    size = len(share.chosen)
    if parameter.ndim == 1:
        return 0 if share.side == 0 and len(parameter) == size else None
    axes = [axis for axis in (0, 1) if parameter.ndim == 2 and parameter.shape[axis] == size]
    if len(axes) < 2:
        return axes[0] if axes else None
    return share.side if _is_output_first(share.module, parameter) else 1 - share.side


def _is_output_first(module: nn.Module, weight: Tensor) -> bool:
    """Whether a square weight is (output, input), as Linear's is and Conv1D's is not: by trying.

    Tried with a weight of one entry: the module's own may be symmetric, constant or 0.
    """
    if isinstance(module, nn.Linear):
        return True
    names = [name for name, own in module.named_parameters(recurse=False) if own.shape == weight.shape]
    tried = torch.zeros_like(weight)
    tried[0, 1] = 1.0
    unit = torch.zeros(2, weight.shape[0], dtype=weight.dtype, device=weight.device)
    unit[1, 0] = 1.0
    with torch.no_grad():
        nothing, column = functional_call(module, dict.fromkeys(names, tried), (unit,))
    return not bool((column - nothing).any())
