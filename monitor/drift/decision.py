"""One budget over all channels, and alarms that latch.

Pooled R = sum of w_c R_c with weights that sum to 1: still an e-detector, so the alarm at
R >= ARL comes at most once in ARL windows on average while nothing changes. A channel alarms when
w_c R_c >= ARL alone (log R_c >= ln(ARL / w_c), its ``limit``), which implies the pooled alarm; if
only the pool reaches ARL, the channel with the largest share does. An alarm stays up until its own
evidence says that the shift has ended (``recovery.py``), or its evidence has gone (R_c < 1).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from monitor.drift.recovery import Witness
from monitor.drift.recovery import evidence as recovery_evidence
from monitor.records import ChannelName


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The ARL in windows and each stochastic channel's share (sums to 1)."""

    mean_windows: float
    weights: Mapping[ChannelName, float]

    @property
    def log_limit(self) -> float:
        """The pooled log R that is an alarm."""
        return math.log(self.mean_windows)

    def limit(self, channel: ChannelName) -> float:
        """The log R at which the channel alarms by itself."""
        return self.log_limit - math.log(self.weights[channel])

    def pooled(self, evidence: Mapping[ChannelName, float]) -> float:
        """The log of the weighted mean of R."""
        terms = [math.log(self.weights[name]) + value for name, value in evidence.items()]
        return float(np.logaddexp.reduce(terms)) if terms else -math.inf

    def over(self, evidence: Mapping[ChannelName, float]) -> set[ChannelName]:
        """The channels whose evidence is an alarm."""
        found = {name for name, value in evidence.items() if value >= self.limit(name)}
        if not found and evidence and self.pooled(evidence) >= self.log_limit:
            found = {max(evidence, key=lambda name: evidence[name] + math.log(self.weights[name]))}
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Latch:
    """A channel's standing alarm: since which window, raised in which, and who can clear it."""

    since: int
    raised: int
    witnesses: tuple[Witness, ...] = ()

    @property
    def recovery(self) -> float:
        """Log evidence that the shift has ended."""
        return recovery_evidence(self.witnesses)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Latch:
        """The inverse of ``to_json``."""
        witnesses = tuple(
            Witness(
                **{
                    **item,
                    "place": tuple(item["place"]),
                    "log_r": tuple(item["log_r"]),
                    "weights": tuple(item["weights"]),
                }
            )
            for item in values["witnesses"]
        )
        return cls(since=values["since"], raised=values["raised"], witnesses=witnesses)


def share_budget(mean_windows: float, weights: Mapping[ChannelName, float]) -> Budget:
    """Weights scaled to sum to 1 over the channels that this baseline can watch."""
    total = sum(weights.values())
    return Budget(
        mean_windows=mean_windows, weights={name: weight / total for name, weight in weights.items()}
    )
