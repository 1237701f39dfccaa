"""Settings of what is computed for each sample."""

from __future__ import annotations

from pydantic import Field

from monitor.settings import Settings


class AttributionSettings(Settings):
    """Integrated Gradients: ``samples`` a window; ``tolerance`` is the largest relative delta."""

    samples: int = Field(default=8, ge=0)
    tolerance: float = Field(default=0.05, gt=0.0)
    maximum_steps: int = Field(default=256, ge=16)


class AnalysisSettings(Settings):
    """``gradient_attribution`` adds one backward pass: top words and head importance."""

    gradient_attribution: bool = True
    top_words: int = Field(default=5, ge=1)
    attribution: AttributionSettings = AttributionSettings()
