"""Rows of unlike length to batches: sorted by length, under a budget of tokens, padded on one side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from monitor.replay.tokens import Encoded


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Padded token ids; every tensor is (batch, token).

    ``real`` is True where there is a token, ``special`` where it is one of the tokenizer's special
    tokens. ``positions`` count the real tokens of a row from 0 (padding repeats the nearest).
    """

    ids: Tensor
    type_ids: Tensor | None
    real: Tensor
    special: Tensor
    positions: Tensor

    def __len__(self) -> int:
        return self.ids.shape[0]

    def take(self, rows: Tensor) -> Batch:
        """The rows with these numbers (repeats allowed), as wide as before."""
        return Batch(
            ids=self.ids[rows],
            type_ids=None if self.type_ids is None else self.type_ids[rows],
            real=self.real[rows],
            special=self.special[rows],
            positions=self.positions[rows],
        )


def plan_batches(lengths: Sequence[int], token_budget: int) -> list[list[int]]:
    """Row numbers of each batch, longest batch last; rows times longest row within the budget.

    >>> plan_batches([3, 9, 2, 4], token_budget=10)
    [[2, 0], [3], [1]]
    """
    batches: list[list[int]] = []
    for row in sorted(range(len(lengths)), key=lambda r: (lengths[r], r)):
        if batches and (len(batches[-1]) + 1) * lengths[row] <= token_budget:
            batches[-1].append(row)
        else:
            batches.append([row])
    return batches


def make_batch(
    rows: Sequence[Encoded],
    *,
    padding_id: int,
    device: str | torch.device = "cpu",
    side: Literal["right", "left"] = "right",
) -> Batch:
    """Pad rows to the longest; no number depends on ``side``, which tests use."""
    width = max(len(row.ids) for row in rows)
    shape = (len(rows), width)
    ids = torch.full(shape, padding_id, dtype=torch.long)
    types = torch.zeros(shape, dtype=torch.long)
    real = torch.zeros(shape, dtype=torch.bool)
    special = torch.zeros(shape, dtype=torch.bool)
    for number, row in enumerate(rows):
        start = 0 if side == "right" else width - len(row.ids)
        span = slice(start, start + len(row.ids))
        ids[number, span] = torch.tensor(row.ids)
        real[number, span] = True
        if row.type_ids is not None:
            types[number, span] = torch.tensor(row.type_ids)
        if row.special:
            special[number, torch.tensor(row.special) + start] = True
    positions = (real.long().cumsum(dim=1) - 1).clamp_min(0)
    return Batch(
        ids=ids.to(device),
        type_ids=None if rows[0].type_ids is None else types.to(device),
        real=real.to(device),
        special=special.to(device),
        positions=positions.to(device),
    )
