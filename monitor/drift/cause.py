"""Data, model, environment or serving: told apart by the probe, the weights' hash and the served answers.

| probe | weights' hash | served answers | cause |
|---|---|---|---|
| moved | other | | model |
| moved | equal | | environment (library, hardware, precision) |
| unchanged or absent | | part from the replay | serving |
| unchanged or absent | | agree or unknown | data |

Drift of the stream that began while the probe says that the model moved is explained by it.
"""

from __future__ import annotations

from collections.abc import Mapping

from monitor.records import Cause, ChannelName

ORDER: tuple[Cause, ...] = ("model", "serving", "environment", "data")
ONSET_SLACK = 1
"""An onset may be dated this many windows before the probe noticed."""


def causes(
    *,
    alarms: Mapping[ChannelName, int],
    probe_moved: bool,
    moved_since: int,
    same_weights: bool,
) -> tuple[Cause, ...]:
    """The causes of the standing ``alarms`` (channel -> onset window), most important first."""
    found: set[Cause] = set()
    if probe_moved:
        found.add("environment" if same_weights else "model")
    for channel, since in alarms.items():
        if channel == "model" or explained(since, probe_moved=probe_moved, moved_since=moved_since):
            continue
        found.add("serving" if channel == "fidelity" else "data")
    return tuple(cause for cause in ORDER if cause in found)


def explained(since: int, *, probe_moved: bool, moved_since: int) -> bool:
    """Whether a drift with this onset comes from the model having moved."""
    return probe_moved and since >= moved_since - ONSET_SLACK
