"""Settings of what is computed for each sample."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pydantic import Field, field_validator

from monitor.settings import Settings

_LIST_NAME = re.compile(r"[a-z][a-z0-9_]*")


class AttributionSettings(Settings):
    """Integrated Gradients: ``samples`` a window; ``tolerance`` is the largest relative delta."""

    samples: int = Field(default=8, ge=0)
    tolerance: float = Field(default=0.05, gt=0.0)
    maximum_steps: int = Field(default=256, ge=16)


class ScheduledSettings(Settings):
    """What is computed for the attributed subsample beside Integrated Gradients, each on or off.

    The names are those of ``monitor.analysis.catalogue``; costs are per attributed sample, where
    Integrated Gradients themselves cost 35 to 100 forward passes.
    """

    gradient_times_input: bool = Field(
        default=True,
        description="Gradient x input, and how far it agrees with Integrated Gradients; 1 forward more",
    )
    faithfulness: bool = Field(
        default=True,
        description="Comprehensiveness, sufficiency and the loss of the top tokens; 20 to 30 forwards",
    )
    shares: bool = Field(
        default=True,
        description="Attribution on punctuation, special tokens and watched words; no forward",
    )
    relevance: bool = Field(
        default=True,
        description="Relevance of Chefer et al. 2021, which every sample's top words are by, and gradient x"
        " attention: how far they agree with Integrated Gradients; no forward more",
    )
    attention_flow: bool = Field(
        default=False,
        description="Maximum flow of Abnar & Zuidema 2020, up to 128 tokens; 2 to 100 forwards",
    )
    roles: bool = Field(
        default=True,
        description="Share of each role in each head, dead heads among them; 0.2 forwards more",
    )
    sinks: bool = Field(default=True, description="Attention sinks of each head; 0.2 forwards more")
    distance_profile: bool = Field(
        default=True,
        description="Attention of each head by relative distance, for the drift report; 0.1 forwards more",
    )
    norm_weighted: bool = Field(
        default=False,
        description="Attention weighted by what it moves, Kobayashi et al. 2020; 0.2 forwards more",
    )
    redundancy: bool = Field(
        default=False,
        description="Distances between heads, clusters and pruning candidates; 2 to 20 forwards",
    )


class AnalysisSettings(Settings):
    """``gradient_attribution`` adds one backward pass: top words by relevance, and head importance."""

    gradient_attribution: bool = True
    top_words: int = Field(default=5, ge=1)
    attribution: AttributionSettings = AttributionSettings()
    scheduled: ScheduledSettings = ScheduledSettings()
    watch_lists: Mapping[str, tuple[str, ...]] = {}

    @field_validator("watch_lists")
    @classmethod
    def _lists_have_names_and_words(
        cls, value: Mapping[str, tuple[str, ...]]
    ) -> Mapping[str, tuple[str, ...]]:
        for name, words in value.items():
            if not _LIST_NAME.fullmatch(name):
                raise ValueError(
                    f"the name {name!r} must be lower-case letters, digits and underscores;"
                    " it becomes part of a metric's name"
                )
            if not words or not all(word.strip() for word in words):
                raise ValueError(f"the list {name!r} must have words and no empty one; leave it out else")
        return value
