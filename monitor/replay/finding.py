"""What the start-up self-test finds: which tier serves a model's attention, and why no earlier one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from monitor.replay.projection import Projection
from monitor.replay.tap import LayerKey

Tier = Literal["tap", "module eager", "layer hooks", "all matrices", "attribution only"]
Stack = Literal["encoder", "decoder", "cross"]
STACKS: tuple[Stack, ...] = ("encoder", "decoder", "cross")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What the self-test found.

    ``layers`` maps each attention call to its layer (empty where the matrices come after the
    forward pass); ``matrix_index`` where in its output a hooked module gives its matrix;
    ``stacks`` each layer's stack in an encoder-decoder (encoder layers first, then decoder, then
    cross attention), empty in all other models; ``layers_there`` how many there are in the model,
    as far as its configuration tells; ``refused`` the earlier tiers, each with why it may not serve.
    """

    tier: Tier
    layers: Mapping[LayerKey, int]
    layer_count: int
    head_count: int
    causal: bool
    projections: tuple[Projection, ...] | None
    matrix_index: Mapping[str, int] = field(default_factory=dict)
    stacks: tuple[Stack, ...] = ()
    layers_there: int = 0
    refused: tuple[tuple[Tier, str], ...] = ()

    @property
    def reason(self) -> str:
        """Why the tier before this one may not serve; empty for the first."""
        return self.refused[-1][1] if self.refused else ""

    @property
    def reads_attention(self) -> bool:
        """Whether there are head statistics and rollout."""
        return self.tier != "attribution only"
