"""Every analysis: the function that holds it, what it needs, what it costs, and what turns it on.

Costs are CPU seconds of a sample over those of one plain forward pass of it, as measured by
``benchmarks.analyses.bench`` on short reviews; "+0.2" comes on top of a pass that is taken anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from monitor.analysis.heads.distance_profile import mass_by_distance
from monitor.analysis.heads.distances import clusters, mean_distances
from monitor.analysis.heads.norm_weighted import norm_weighted
from monitor.analysis.heads.pruning import pruning_candidates
from monitor.analysis.heads.role_changes import role_changes
from monitor.analysis.heads.roles import role_shares
from monitor.analysis.heads.sinks import largest_importance
from monitor.analysis.heads.statistics import reduce_block
from monitor.analysis.tokens.agreement import agreement
from monitor.analysis.tokens.attribution import integrate
from monitor.analysis.tokens.faithfulness import faithfulness
from monitor.analysis.tokens.flow import attention_flow
from monitor.analysis.tokens.gradient import gradient_reading
from monitor.analysis.tokens.relevance import weighted_heads
from monitor.analysis.tokens.rollout import summarise_rollout
from monitor.analysis.tokens.shares import word_shares

Need = Literal["attention", "values", "output projection", "gradient", "forwards", "other results"]
ALWAYS = "always"


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """``switch``: the key of the configuration that turns it on or off, or ``always``."""

    function: Callable[..., Any]
    needs: tuple[Need, ...]
    forwards: str
    switch: str


def _scheduled(name: str) -> str:
    return f"analysis.scheduled.{name}"


ANALYSES: Mapping[str, Analysis] = MappingProxyType(
    {
        "head statistics": Analysis(
            function=reduce_block, needs=("attention",), forwards="+0.2", switch=ALWAYS
        ),
        "attention rollout": Analysis(
            function=summarise_rollout, needs=("attention",), forwards="with the statistics", switch=ALWAYS
        ),
        "head importance": Analysis(
            function=gradient_reading,
            needs=("gradient",),
            forwards="+1",
            switch="analysis.gradient_attribution",
        ),
        "gradient x input": Analysis(
            function=gradient_reading,
            needs=("gradient",),
            forwards="+1",
            switch=_scheduled("gradient_times_input"),
        ),
        "Integrated Gradients": Analysis(
            function=integrate,
            needs=("gradient",),
            forwards="35 to 100",
            switch="analysis.attribution.samples",
        ),
        "agreement": Analysis(
            function=agreement,
            needs=("other results",),
            forwards="0",
            switch=_scheduled("gradient_times_input"),
        ),
        "faithfulness": Analysis(
            function=faithfulness, needs=("forwards",), forwards="20 to 30", switch=_scheduled("faithfulness")
        ),
        "attribution shares": Analysis(
            function=word_shares, needs=("other results",), forwards="0", switch=_scheduled("shares")
        ),
        "relevance": Analysis(
            function=weighted_heads,
            needs=("gradient", "attention", "values"),
            forwards="+0.2",
            switch=_scheduled("relevance"),
        ),
        "attention flow": Analysis(
            function=attention_flow,
            needs=("attention",),
            forwards="2 to 100",
            switch=_scheduled("attention_flow"),
        ),
        "head roles": Analysis(
            function=role_shares,
            needs=("attention", "output projection"),
            forwards="+0.2",
            switch=_scheduled("roles"),
        ),
        "role changes": Analysis(
            function=role_changes, needs=("other results",), forwards="0", switch=ALWAYS
        ),
        "attention sinks": Analysis(
            function=largest_importance, needs=("attention",), forwards="+0.2", switch=_scheduled("sinks")
        ),
        "attention by distance": Analysis(
            function=mass_by_distance,
            needs=("attention",),
            forwards="+0.1",
            switch=_scheduled("distance_profile"),
        ),
        "norm-weighted attention": Analysis(
            function=norm_weighted,
            needs=("attention", "values", "output projection"),
            forwards="+0.2",
            switch=_scheduled("norm_weighted"),
        ),
        "distances between heads": Analysis(
            function=mean_distances,
            needs=("attention",),
            forwards="+1 to 20",
            switch=_scheduled("redundancy"),
        ),
        "head clusters": Analysis(
            function=clusters, needs=("other results",), forwards="0", switch=_scheduled("redundancy")
        ),
        "pruning candidates": Analysis(
            function=pruning_candidates,
            needs=("other results", "gradient"),
            forwards="+1",
            switch=_scheduled("redundancy"),
        ),
    }
)
