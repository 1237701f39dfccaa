"""The third tier: ``output_attentions``, with hooks that reduce each layer's matrix and then drop it.

For models outside transformers' attention interface. The hook stands at the innermost module that
returns the matrix and puts None in its place, so the model collects nothing and one layer's matrix
exists at a time. Hooks stay on the model; without a sink in the context they do nothing, so
concurrent forwards do not see each other. The contexts of the heads are what goes into the output
projections, which some models call inside the attention module (before its matrix comes out) and
some after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from monitor.replay.matrices import matrices_of, reduce_matrix
from monitor.replay.projection import Projection
from monitor.replay.tap import LayerKey, Sink

Handle = Any


@dataclass(slots=True)
class HookSink:
    """Where the hooks send one forward pass: matrices, and contexts by the calls of the projections.

    ``waiting`` are contexts whose matrix has not come yet, ``reduced`` the layers whose has.
    """

    sink: Sink
    heads: int
    context_layers: Mapping[LayerKey, int]
    waiting: dict[int, Tensor] = field(default_factory=dict)
    reduced: set[int] = field(default_factory=set)

    def matrix(self, module: nn.Module, matrix: Tensor) -> None:
        """A layer's weights (batch, head, query, key)."""
        layer = self.sink.layer(module)
        if layer is not None:
            self.reduce(layer, matrix)

    def reduce(self, layer: int, matrix: Tensor) -> None:
        """Hand a layer's matrix on, and its context if that has come already."""
        reduce_matrix(self.sink.reducer, layer, matrix, None)
        self.reduced.add(layer)
        if layer in self.waiting:
            self.sink.reducer.context(self.waiting.pop(layer))

    def reduce_all(self, output: Any) -> None:
        """Hand on every matrix of a raw output: for the tier whose matrices come all at once."""
        for layer, matrix in enumerate(matrices_of(output)):
            self.reduce(layer, matrix)

    def context(self, module: nn.Module, given: Tensor) -> Tensor:
        """What goes into an output projection; the tensor that is handed on is the one that goes in."""
        name = f"{self.sink.names[id(module)]} input"
        ordinal = self.sink.calls.get(name, 0)
        self.sink.calls[name] = ordinal + 1
        layer = self.context_layers.get((name, ordinal))
        if layer is None:
            return given
        context = given.unflatten(-1, (self.heads, -1))
        if layer in self.reduced:
            self.sink.reducer.context(context)
        else:
            self.waiting[layer] = context
        return context.flatten(-2)


_HOOKED: ContextVar[HookSink | None] = ContextVar("headwatch_hook_sink", default=None)


@contextmanager
def hooked(sink: HookSink) -> Iterator[HookSink]:
    """Send what the hooks see in this context to ``sink``."""
    token = _HOOKED.set(sink)
    try:
        yield sink
    finally:
        _HOOKED.reset(token)


def context_layers(projections: Sequence[Projection]) -> dict[LayerKey, int]:
    """Which layer each call of an output projection belongs to; a shared one is called in order."""
    calls: dict[str, int] = {}
    layers: dict[LayerKey, int] = {}
    for projection in projections:
        name = f"{projection.name} input"
        layers[(name, calls.get(name, 0))] = projection.layer
        calls[name] = calls.get(name, 0) + 1
    return layers


def find_matrices(
    matrices: Sequence[Tensor], records: Sequence[tuple[str, int, int, Tensor]]
) -> tuple[dict[LayerKey, int], dict[str, int]] | None:
    """The innermost call that returned each matrix, and where in its output; None unless all are found.

    ``records`` (name, ordinal, index, tensor) of one forward pass, inner modules first.
    """
    layers: dict[LayerKey, int] = {}
    index: dict[str, int] = {}
    for layer, matrix in enumerate(matrices):
        found = next((record for record in records if record[3] is matrix), None)
        if found is None or (found[0], found[1]) in layers:
            return None
        layers[(found[0], found[1])] = layer
        index[found[0]] = found[2]
    return layers, index


@contextmanager
def recorded_matrices(model: nn.Module) -> Iterator[list[tuple[str, int, int, Tensor]]]:
    """Every 4-D tensor that a module returns within a tuple in this block, inner modules first."""
    records: list[tuple[str, int, int, Tensor]] = []
    calls: dict[str, int] = {}

    def recorder(name: str) -> Callable[..., None]:
        def record(_: nn.Module, __: object, output: object) -> None:
            if not isinstance(output, tuple):
                return
            ordinal = calls.get(name, 0)
            calls[name] = ordinal + 1
            for index, value in enumerate(output):
                if isinstance(value, Tensor) and value.ndim == 4:
                    records.append((name, ordinal, index, value))

        return record

    handles = [module.register_forward_hook(recorder(name)) for name, module in model.named_modules()]
    try:
        yield records
    finally:
        remove(handles)


def install_matrix_hooks(model: nn.Module, index: Mapping[str, int]) -> list[Handle]:
    """At each module of ``index``: hand the matrix to the sink of the context, and return None for it."""

    def hook(place: int) -> Callable[..., object]:
        def reduce_and_drop(module: nn.Module, _: object, output: object) -> object:
            sink = _HOOKED.get()
            if sink is None or not isinstance(output, tuple) or not isinstance(output[place], Tensor):
                return None
            sink.matrix(module, output[place])
            return (*output[:place], None, *output[place + 1 :])

        return reduce_and_drop

    modules = dict(model.named_modules())
    # first of all hooks: transformers' own recorders would keep the matrix before it is dropped
    return [modules[name].register_forward_hook(hook(place), prepend=True) for name, place in index.items()]


def install_context_hooks(projections: Sequence[Projection]) -> list[Handle]:
    """At each output projection: hand what goes in to the sink of the context."""

    def take(module: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...] | None:
        sink = _HOOKED.get()
        return None if sink is None else (sink.context(module, given[0]), *given[1:])

    modules = {id(projection.module): projection.module for projection in projections}
    return [module.register_forward_pre_hook(take) for module in modules.values()]


def remove(handles: Sequence[Handle]) -> None:
    """Take hooks off again."""
    for handle in handles:
        handle.remove()
