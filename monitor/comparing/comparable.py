"""Whether two checkpoints can be held against each other head by head, and why not."""

from __future__ import annotations

from monitor.comparing.reading import ModelReading
from monitor.records import ModelIdentity


def mismatch(before: ModelIdentity, after: ModelIdentity) -> str:
    """Why two checkpoints cannot be compared head by head, or an empty text."""
    if (before.architecture, before.task) != (after.architecture, after.task):
        return (
            f"is {after.architecture} for {after.task}, the model {before.architecture} for {before.task}; "
            "compare checkpoints of one architecture"
        )
    if (before.layers, before.heads) != (after.layers, after.heads):
        return (
            f"has {after.layers} layers of {after.heads} heads, the model {before.layers} of {before.heads}; "
            "compare checkpoints of one shape"
        )
    return ""


def reading_mismatch(before: ModelReading, after: ModelReading) -> str:
    """Why two readings are not of the same inputs, or an empty text."""
    own = dict(zip(before.ids, before.rows, strict=True))
    other = dict(zip(after.ids, after.rows, strict=True))
    strange = [id_ for id_ in own if own[id_] != other.get(id_)]
    if strange:
        return (
            f"its tokenizer cuts {len(strange)} of {len(own)} samples otherwise, {strange[0]} first; compare "
            "checkpoints that share a tokenizer, and a limit (--max-tokens)"
        )
    return ""


def shared_statistics(before: ModelReading, after: ModelReading) -> tuple[str, ...]:
    """What both measure: a broken or rounded model may lack one."""
    return tuple(name for name in before.statistics if name in after.statistics)
