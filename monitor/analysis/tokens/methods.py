"""Values of tokens by other methods than Integrated Gradients, from one forward and backward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from monitor.analysis.layout import TokenLayout
from monitor.analysis.settings import ScheduledSettings
from monitor.analysis.tokens.flow import LayerMatrices, attention_flow
from monitor.analysis.tokens.relevance import RelevanceReducer
from monitor.records import Array

FLOW_TOKENS = 128
GRADIENT, ROLLOUT, INTEGRATED = "gradient_times_input", "rollout", "integrated_gradients"
RELEVANCE, GRADIENT_ATTENTION, FLOW = "relevance", "gradient_times_attention", "attention_flow"


class TokenMethods:
    """What is asked for of one batch. ``reducers`` belong into the pass, ``values`` are taken after it.

    ``read`` (batch, token): the weights with which the prediction reads positions, None for the
    layout's read-out position alone. ``attention``: whether there is one stack of layers whose
    attention can be read; without it there is no relevance and no flow.
    """

    def __init__(
        self, layout: TokenLayout, settings: ScheduledSettings, *, read: Tensor | None, attention: bool
    ) -> None:
        self._layout = layout
        self._gradient = settings.gradient_times_input
        relevance = settings.relevance and attention
        self._relevance = RelevanceReducer(layout, read=read) if relevance else None
        flow = settings.attention_flow and attention and layout.real.shape[1] <= FLOW_TOKENS
        self._flow = LayerMatrices(layout) if flow else None

    @property
    def reducers(self) -> list[Any]:
        """What the forward pass must feed."""
        return [reducer for reducer in (self._relevance, self._flow) if reducer is not None]

    @property
    def needs_gradient(self) -> bool:
        """Whether a backward pass must follow the forward pass."""
        return self._gradient or self._relevance is not None

    def values(self, gradient_times_input: Array | None) -> dict[str, Callable[[int], Array]]:
        """Of each method that was asked for and that the model has: a row's real tokens (token,)."""
        given = {
            GRADIENT: gradient_times_input if self._gradient else None,
            RELEVANCE: _numpy(self._relevance.relevance()) if self._relevance else None,
            GRADIENT_ATTENTION: (
                _numpy(self._relevance.gradient_times_attention()) if self._relevance else None
            ),
        }
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


def _numpy(values: Tensor | None) -> Array | None:
    return None if values is None else values.detach().float().cpu().numpy()
