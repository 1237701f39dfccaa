"""Severity is about harm, not surprise.

page: an undeclared model or serving change, or drift (of data or environment) with the predictions
moved by at least ``minimum_effect`` sd; ticket: an environment change, or heads or words drift
while predictions hold; note: the rest, and drift of heads that hardly matter.
What is known to have been done on purpose is no incident: a declared rollout of the model and an
upgrade of a library, the precision or the device are notes. Data that drift besides are judged as
ever, but not by the predictions, which the announced change may have moved.
Heads count by their importance (Michel et al. 2019): sum of importance x |effect| over the heads
named must reach .01 sd.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from monitor.records import Cause, ChannelName, HeadEvidence, Severity

SMALLEST_HEAD_HARM = 0.01
BY_CHANCE = 0.005
"""The chance that any measure of the predictions moves as far as what counts as moved."""


def largest_by_chance(samples: float, skewness: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far (sd) chance may move the mean of each of many measures over so many samples.

    Over all of them with probability BY_CHANCE: the largest of a thousand classes moves further than
    that of two. Rare classes are skewed, so their means stray further than normal ones (Cornish and
    Fisher 1938, first order: z + (z^2 - 1) skewness / (6 sqrt n)).

    >>> largest_by_chance(200, np.zeros(4)).round(2).tolist()
    [0.21, 0.21, 0.21, 0.21]
    """
    z = -float(ndtri(BY_CHANCE / max(skewness.size, 1)))
    return (z + (z**2 - 1) * np.abs(skewness) / (6 * math.sqrt(samples))) / math.sqrt(samples)


def severity(
    *,
    causes: Sequence[Cause],
    alarms: Collection[ChannelName],
    heads: Sequence[HeadEvidence],
    prediction_effect: float,
    minimum_effect: float,
    declared: bool,
    upgraded: bool = False,
) -> Severity | None:
    """The severity of the standing ``alarms``; None without any.

    ``declared``: a rollout is under way; ``upgraded``: libraries, precision or device are other ones.
    """
    if not alarms:
        return None
    expected: set[Cause] = {"model", "serving", "environment"} if declared else set()
    if upgraded:
        expected.add("environment")
    found = [cause for cause in causes if cause not in expected]
    if not found:
        return "note"
    if "model" in found or "serving" in found:
        return "page"
    if prediction_effect >= minimum_effect and len(found) == len(causes):
        return "page"
    if "environment" in found or "tokens" in alarms:
        return "ticket"
    if "heads" in alarms and head_harm(heads) >= SMALLEST_HEAD_HARM:
        return "ticket"
    return "note"


def head_harm(heads: Sequence[HeadEvidence]) -> float:
    """Sum of importance x |effect| (at most 3 sd each) over the named heads, or the top one."""
    chosen = [item for item in heads if item.named] or list(heads[:1])
    return sum(item.importance * min(abs(item.effect), 3.0) for item in chosen)
