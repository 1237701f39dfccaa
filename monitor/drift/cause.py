"""Data, model, environment or serving: told apart by the probe, the hashes and the served answers.

| probe | model's files | served answers | cause |
|---|---|---|---|
| moved | other | | model (weights, tokenizer or configuration: the hashes per part say which) |
| moved | the same | | environment (library, hardware, precision, settings) |
| unchanged or absent | | part from the replay | serving |
| unchanged or absent | | agree or unknown | data |

Drift of the stream that began while the probe says that the model moved is explained by it, but for
what never passes through the model: the presence of words, and the inputs' own measures unless the
tokenizer or its settings changed too. So data that drift under a changed model are still told.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from monitor.drift.changes import Changes
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
    untouched: Collection[ChannelName] = (),
) -> tuple[Cause, ...]:
    """The causes of the standing ``alarms`` (channel -> onset window), most important first.

    ``untouched``: the channels whose drift cannot come from the model.
    """
    found: set[Cause] = set()
    if probe_moved:
        found.add("environment" if same_weights else "model")
    for channel, since in alarms.items():
        if channel == "model":
            continue
        by_model = explained(since, probe_moved=probe_moved, moved_since=moved_since)
        if channel in untouched or not by_model:
            found.add("serving" if channel == "fidelity" else "data")
    return tuple(cause for cause in ORDER if cause in found)


def explained(since: int, *, probe_moved: bool, moved_since: int) -> bool:
    """Whether a drift with this onset comes from the model having moved."""
    return probe_moved and since >= moved_since - ONSET_SLACK


def untouched(changes: Changes, *, present_words: float, words_limit: float) -> frozenset[ChannelName]:
    """The channels whose drift no change of the model can bring about.

    ``present_words``: the log evidence of the words' presence alone (which words are top-attributed is
    the model's doing), and its limit.
    """
    found: set[ChannelName] = set()
    if not changes.inputs:
        found.add("input")
    if present_words >= words_limit and not changes.words:
        found.add("tokens")
    return frozenset(found)
