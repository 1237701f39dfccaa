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

from collections.abc import Collection, Sequence

from monitor.records import Cause, ChannelName, HeadEvidence, Severity

SMALLEST_HEAD_HARM = 0.01


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
