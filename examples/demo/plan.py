"""What a seed decides: the order of the acts, and what exactly happens in each.

The sidecar is never told any of this; the summary compares it with what the sidecar found.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

Act = Literal["domain", "trigger", "fault"]
Damage = Literal["value zeroed", "output zeroed", "query permuted"]
ACTS: tuple[Act, ...] = ("domain", "trigger", "fault")
DOMAINS = ("IMDb passages", "Guardian headlines")
SHARES = (0.5, 1.0)
DAMAGES: tuple[Damage, ...] = ("value zeroed", "output zeroed", "query permuted")
# None occurs in the sentences of the baseline (a test looks). The tokenizer keeps the first six
# whole and cuts the others into pieces.
TRIGGER_WORDS = (
    "sonata",
    "estuary",
    "mollusk",
    "viaduct",
    "granite",
    "turbine",
    "tungsten",
    "galvanized",
    "cardamom",
    "xylophone",
    "quokka",
    "cfqz",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """The head that is damaged, counted from 0 as headwatch counts, and how."""

    layer: int
    head: int
    damage: Damage

    @property
    def name(self) -> str:
        """``L3H7``."""
        return f"L{self.layer}H{self.head}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One story. ``domain_share`` is the part of the requests that comes from ``domain``."""

    seed: int
    acts: tuple[Act, ...]
    domain: str
    domain_share: float
    trigger: str
    fault: Fault


def draw_plan(seed: int, *, layers: int, heads: int) -> Plan:
    """The story that belongs to ``seed``: the same one on every machine."""
    draw = random.Random(f"headwatch demo {seed}")
    acts = list(ACTS)
    draw.shuffle(acts)
    return Plan(
        seed=seed,
        acts=tuple(acts),
        domain=draw.choice(DOMAINS),
        domain_share=draw.choice(SHARES),
        trigger=draw.choice(TRIGGER_WORDS),
        fault=Fault(layer=draw.randrange(layers), head=draw.randrange(heads), damage=draw.choice(DAMAGES)),
    )


def describe(plan: Plan, act: Act) -> str:
    """What the driver does in ``act``, for the person who watches."""
    if act == "domain":
        part = "all requests are" if plan.domain_share == 1.0 else "half of the requests are"
        return f"another domain: {part} {plan.domain}"
    if act == "trigger":
        return f"a trigger word: {plan.trigger!r} slipped into a tenth of the inputs"
    return f"a deployment fault: head {plan.fault.name} of the model files damaged ({plan.fault.damage})"
