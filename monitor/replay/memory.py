"""Sharing a GPU politely: a share of its memory, smaller batches when it is full, then the CPU.

The server that is watched may fill the same GPU at any moment, so a batch that fitted a minute ago
may not now. Nothing is lost then: the same rows are worked on in halves, with half the token budget
from then on, and where a single row does not fit the model moves to the CPU and stays there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch

from monitor.errors import ModelError
from monitor.replay.replayed_model import ReplayModel

Result = TypeVar("Result")


def with_room(
    model: ReplayModel, members: Sequence[int], work: Callable[[Sequence[int]], Result]
) -> Iterator[tuple[Sequence[int], Result]]:
    """``work`` on these rows, at once or, where the memory is full, in parts: (rows, what it gave).

    Raises ``ModelError`` where not even one row fits into the memory of the CPU.
    """
    result = _tried(work, members)
    if result is not None:
        yield members, result[0]
        return
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    model.halve_budget()
    if len(members) > 1:
        half = len(members) // 2
        yield from with_room(model, members[:half], work)
        yield from with_room(model, members[half:], work)
        return
    if model.token_budget > 1:  # the points of one row's path are a batch too
        yield from with_room(model, members, work)
        return
    if model.device.type == "cpu":
        raise ModelError(
            "model.max_tokens: a single input does not fit into memory; lower it, or give the sidecar more"
        )
    model.move_to_cpu()
    yield from with_room(model, members, work)


def limit_memory(device: str, share: float | None) -> None:
    """Let this process take no more than this share of a GPU's memory; nothing to do on a CPU."""
    if share is not None and torch.device(device).type == "cuda":
        torch.cuda.set_per_process_memory_fraction(share, torch.device(device))


def _tried(work: Callable[[Sequence[int]], Result], members: Sequence[int]) -> tuple[Result] | None:
    """What the work gave, in a tuple, or None: by now the frames of the failed try are gone."""
    try:
        return (work(members),)
    except torch.OutOfMemoryError:
        return None
