"""Values of tokens by other methods than Integrated Gradients, from one forward and backward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from monitor.analysis.layout import TokenLayout
from monitor.analysis.settings import ScheduledSettings
from monitor.analysis.tokens.flow import LayerMatrices, attention_flow
from monitor.records import Array

FLOW_TOKENS = 128
GRADIENT, ROLLOUT, INTEGRATED = "gradient_times_input", "rollout", "integrated_gradients"
RELEVANCE, GRADIENT_ATTENTION, FLOW = "relevance", "gradient_times_attention", "attention_flow"


class PassReading(Protocol):
    """What one forward and backward pass gave, (batch, token) each; None where the model has it not."""

    @property
    def gradient_times_input(self) -> Array | None: ...  # noqa: D102
    @property
    def relevance(self) -> Array | None: ...  # noqa: D102
    @property
    def gradient_times_attention(self) -> Array | None: ...  # noqa: D102


class TokenMethods:
    """What is asked for of one batch. ``reducers`` belong into the pass, ``values`` are taken after it.

    ``attention``: whether there is one stack of layers whose attention can be read; without it there
    is no flow.
    """

    def __init__(self, layout: TokenLayout, settings: ScheduledSettings, *, attention: bool) -> None:
        self._layout = layout
        self._settings = settings
        flow = settings.attention_flow and attention and layout.real.shape[1] <= FLOW_TOKENS
        self._flow = LayerMatrices(layout) if flow else None

    @property
    def reducers(self) -> list[Any]:
        """What the forward pass must feed."""
        return [] if self._flow is None else [self._flow]

    @property
    def needs_gradient(self) -> bool:
        """Whether a backward pass must follow the forward pass."""
        return self._settings.gradient_times_input or self._settings.relevance

    def values(self, reading: PassReading) -> dict[str, Callable[[int], Array]]:
        """Of each method that was asked for and that the model has: a row's real tokens (token,)."""
        given = {}
        if self._settings.gradient_times_input:
            given[GRADIENT] = reading.gradient_times_input
        if self._settings.relevance:
            given[RELEVANCE] = reading.relevance
            given[GRADIENT_ATTENTION] = reading.gradient_times_attention
        found = {name: self._row_of(values) for name, values in given.items() if values is not None}
        flow = self._flow
        if flow is not None:
            found[FLOW] = lambda row: attention_flow(flow.of_row(row), self._readout(row))
        return found

    def _row_of(self, values: Array) -> Callable[[int], Array]:
        real = self._layout.real.cpu().numpy()
        return lambda row: values[row][real[row]]

    def _readout(self, row: int) -> int:
        return int(self._layout.readout[row] - self._layout.first[row])
