"""Rows of unlike length to batches: sorted by length, under a budget of tokens, padded on one side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import torch
from torch import Tensor

from monitor.replay.tokens import Encoded

PADDING_SHARE = 0.1
SMALL_TOKENS = 128
_TOKEN_SIDE = ("ids", "type_ids", "real", "special", "positions")


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Padded token ids; every tensor is (batch, token).

    ``real`` is True where there is a token, ``special`` where it is one of the tokenizer's special
    tokens. ``positions`` count the real tokens of a row from 0 (padding repeats the nearest).
    ``decoder_ids``, ``decoder_real``: what an encoder-decoder's decoder is given, where it does not
    shift the ids itself. ``scored``: the tokens that the answer is about (on the decoder's side,
    where there is one), or None. ``pixels`` (batch, channel, height, width) of images.
    """

    ids: Tensor
    type_ids: Tensor | None
    real: Tensor
    special: Tensor
    positions: Tensor
    decoder_ids: Tensor | None = None
    decoder_real: Tensor | None = None
    scored: Tensor | None = None
    pixels: Tensor | None = None

    def __len__(self) -> int:
        return self.ids.shape[0]

    @property
    def read(self) -> Tensor:
        """The real tokens (batch, token) on the side that the answer is read from."""
        return self.real if self.decoder_real is None else self.decoder_real

    def take(self, rows: Tensor) -> Batch:
        """The rows with these numbers (repeats allowed), as wide as before."""
        return self._each(lambda tensor: tensor[rows])

    def to(self, device: str | torch.device) -> Batch:
        """The batch with its tensors on a device."""
        return self._each(lambda tensor: tensor.to(device))

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        given: dict[str, Any] = {item.name: getattr(self, item.name) for item in fields(self)}
        changed: dict[str, Any] = {k: None if one is None else change(one) for k, one in given.items()}
        return Batch(**changed)

    def trimmed(self) -> Batch:
        """Without the columns that are padding in every row; on both sides, where there is a decoder's."""
        if self.pixels is not None:
            return self
        sides = {name: self.real.any(dim=0) for name in _TOKEN_SIDE}
        if self.decoder_real is not None:
            sides |= {name: self.decoder_real.any(dim=0) for name in ("decoder_ids", "decoder_real")}
        sides["scored"] = self.read.any(dim=0)
        chosen = {item.name: getattr(self, item.name) for item in fields(self)}
        return Batch(
            **{
                name: one if one is None or name not in sides else one[:, sides[name]]
                for name, one in chosen.items()
            }
        )

    def of_one_length(self) -> list[tuple[Tensor, Batch]]:
        """The rows of each length, as (their numbers, a batch of them without any padding)."""
        lengths = torch.stack([self.real.sum(dim=1), self.read.sum(dim=1)], dim=1)
        _, group = lengths.unique(dim=0, return_inverse=True)
        numbers = [(group == number).nonzero().squeeze(-1) for number in group.unique()]
        return [(rows, self.take(rows).trimmed()) for rows in numbers]


def plan_batches(lengths: Sequence[int], token_budget: int) -> list[list[int]]:
    """Row numbers of each batch, longest batch last; rows times longest row within the budget.

    A batch is also closed where more than ``PADDING_SHARE`` of it would be padding, unless it is so
    small that a pass of its own costs more.

    >>> plan_batches([3, 9, 2, 4], token_budget=10)
    [[2, 0], [3], [1]]
    """
    batches: list[list[int]] = []
    real = 0
    for row in sorted(range(len(lengths)), key=lambda r: (lengths[r], r)):
        length = lengths[row]
        computed = (len(batches[-1]) + 1) * length if batches else 0
        dense = (real + length) >= (1 - PADDING_SHARE) * computed or computed <= SMALL_TOKENS
        if batches and computed <= token_budget and dense:
            batches[-1].append(row)
            real += length
        else:
            batches.append([row])
            real = length
    return batches


def make_batch(
    rows: Sequence[Encoded],
    *,
    padding_id: int,
    device: str | torch.device = "cpu",
    side: Literal["right", "left"] = "right",
) -> Batch:
    """Pad rows to the longest; no number depends on ``side``, which tests use.

    The rows are of one kind: all with decoder tokens or none, all with scored tokens or none.
    """
    ids, real = _padded([row.ids for row in rows], side, filler=padding_id)
    special = _marked([row.special for row in rows], real)
    types = None if rows[0].type_ids is None else _padded([row.type_ids or () for row in rows], side)[0]
    decoder = _padded([row.decoder_ids for row in rows], side, filler=padding_id)
    with_decoder = bool(rows[0].decoder_ids)
    scored = _marked([row.scored for row in rows], decoder[1] if with_decoder else real)
    pixels = None if rows[0].pixels is None else torch.stack([row.pixels for row in rows])
    batch = Batch(
        ids=ids,
        type_ids=types,
        real=real,
        special=special,
        positions=(real.long().cumsum(dim=1) - 1).clamp_min(0),
        decoder_ids=decoder[0] if with_decoder else None,
        decoder_real=decoder[1] if with_decoder else None,
        scored=scored if any(row.scored for row in rows) else None,
        pixels=pixels,
    )
    return batch.to(device)


def _padded(rows: Sequence[Sequence[int]], side: str, *, filler: int = 0) -> tuple[Tensor, Tensor]:
    """Ids (row, token) and where they are real."""
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), filler, dtype=torch.long)
    real = torch.zeros(ids.shape, dtype=torch.bool)
    for number, row in enumerate(rows):
        start = 0 if side == "right" else width - len(row)
        ids[number, start : start + len(row)] = torch.tensor(row, dtype=torch.long)
        real[number, start : start + len(row)] = True
    return ids, real


def _marked(rows: Sequence[Sequence[int]], real: Tensor) -> Tensor:
    """True at these positions of each row, counted from its first real token."""
    marked = torch.zeros_like(real)
    for number, row in enumerate(rows):
        if row:
            start = int(real[number].int().argmax())
            marked[number, torch.tensor(row) + start] = True
    return marked
