"""Several reducers fed by one forward pass, so that no analysis costs a pass of its own."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Protocol

from torch import Tensor


class Reducer(Protocol):
    """What the attention tap feeds; see ``AttentionReducer`` of the replay."""

    def begin(self, layer: int, visible: Tensor | None) -> None:
        """A layer starts."""

    def weights(self, attention: Tensor, log_attention: Tensor, start: int) -> None:
        """A block of queries: (batch, head, query, key)."""

    def context(self, context: Tensor) -> None:
        """What the layer's heads give: (batch, query, head, dim)."""


class WeightReader(Protocol):
    """Takes the weights of one layer."""

    def weights(self, attention: Tensor, log_attention: Tensor, start: int) -> None:
        """A block of queries: (batch, head, query, key)."""


Again = Callable[[WeightReader], None]
"""Hands the weights of one layer over once more."""


class ValueReducer(Reducer, Protocol):
    """A reducer that also wants what the weights are applied to."""

    def inputs(self, value: Tensor, again: Again | None) -> None:
        """After ``begin``: value (batch, key-value head, key, dim), detached.

        ``again`` is None where the weights exist as a ``matrix`` instead.
        """

    def matrix(self, matrix: Tensor) -> None:
        """After ``begin``: the whole weights in the graph, from tiers that have them."""


class Together:
    """Hands everything on to each of ``reducers``, in order."""

    def __init__(self, *reducers: Reducer) -> None:
        self._reducers = reducers

    def begin(self, layer: int, visible: Tensor | None) -> None:
        """See Reducer."""
        for reducer in self._reducers:
            reducer.begin(layer, visible)

    def inputs(self, value: Tensor, again: Again | None) -> None:
        """See ValueReducer; those that take none are left out."""
        for reducer in self._reducers:
            take = getattr(reducer, "inputs", None)
            if take is not None:
                take(value, again)

    def matrix(self, matrix: Tensor) -> None:
        """See ValueReducer; those that take none are left out."""
        for reducer in self._reducers:
            take = getattr(reducer, "matrix", None)
            if take is not None:
                take(matrix)

    def weights(self, attention: Tensor, log_attention: Tensor, start: int) -> None:
        """See Reducer."""
        for reducer in self._reducers:
            reducer.weights(attention, log_attention, start)

    def context(self, context: Tensor) -> None:
        """See Reducer."""
        for reducer in self._reducers:
            reducer.context(context)


def of_query_heads(value: Tensor, heads: int) -> Tensor:
    """Grouped-query values (batch, key-value head, key, dim) once for each query head."""
    return value if value.shape[1] == heads else value.repeat_interleave(heads // value.shape[1], dim=1)


class SomeInputs:
    """Lets a reducer see some inputs of a batch alone, at their share of its cost."""

    def __init__(self, reducer: Reducer, chosen: slice) -> None:
        self._reducer = Together(reducer)
        self._chosen = chosen

    def begin(self, layer: int, visible: Tensor | None) -> None:
        """See Reducer."""
        own = visible is not None and visible.shape[0] > 1
        self._reducer.begin(layer, self._some(visible) if own and visible is not None else visible)

    def inputs(self, value: Tensor, again: Again | None) -> None:
        """See ValueReducer."""
        self._reducer.inputs(self._some(value), None if again is None else self._again(again))

    def matrix(self, matrix: Tensor) -> None:
        """See ValueReducer."""
        self._reducer.matrix(self._some(matrix))

    def weights(self, attention: Tensor, log_attention: Tensor, start: int) -> None:
        """See Reducer."""
        self._reducer.weights(self._some(attention), self._some(log_attention), start)

    def context(self, context: Tensor) -> None:
        """See Reducer."""
        self._reducer.context(self._some(context))

    def _some(self, values: Tensor) -> Tensor:
        return values[self._chosen]

    def _again(self, again: Again) -> Again:
        def some_again(reader: WeightReader) -> None:
            again(_SomeWeights(reader, self._chosen))

        return some_again


class _SomeWeights:
    """A reader of weights that is given some inputs alone."""

    def __init__(self, reader: WeightReader, chosen: slice) -> None:
        self._reader = reader
        self._chosen = chosen

    def weights(self, attention: Tensor, log_attention: Tensor, start: int) -> None:
        """See WeightReader."""
        self._reader.weights(attention[self._chosen], log_attention[self._chosen], start)


class OnlyLayers:
    """Lets a reducer see these layers alone: an encoder-decoder's encoder, whose tokens are the input's."""

    def __init__(self, reducer: Reducer, layers: Container[int]) -> None:
        self._reducer = Together(reducer)
        self._layers = layers
        self._seen = False

    def begin(self, layer: int, visible: Tensor | None) -> None:
        """See Reducer."""
        self._seen = layer in self._layers
        if self._seen:
            self._reducer.begin(layer, visible)

    def inputs(self, value: Tensor, again: Again | None) -> None:
        """See ValueReducer."""
        if self._seen:
            self._reducer.inputs(value, again)

    def matrix(self, matrix: Tensor) -> None:
        """See ValueReducer."""
        if self._seen:
            self._reducer.matrix(matrix)

    def weights(self, attention: Tensor, log_attention: Tensor, start: int) -> None:
        """See Reducer."""
        if self._seen:
            self._reducer.weights(attention, log_attention, start)

    def context(self, context: Tensor) -> None:
        """See Reducer."""
        if self._seen:
            self._reducer.context(context)
