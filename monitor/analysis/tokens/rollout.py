"""Attention rollout (Abnar & Zuidema 2020, arXiv 2005.00928), streamed layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from monitor.analysis.layout import Attention, TokenLayout
from monitor.analysis.tokens.words import Spans, largest_words
from monitor.records import Array, RolloutSummary

MATRIX_TOKENS = 384
"""Up to this width the whole product is carried along: it costs tokens^3 a layer, and no memory per layer."""
EXACT_TOKENS = 1024
"""Beyond this width the layers' means are kept in half precision."""


class Rollout(Protocol):
    """Takes each layer's weights, and gives the read-out row of the product of (A + I)/2."""

    def add(self, attention: Attention, start: int) -> None:
        """A block of queries of the current layer."""

    def next_layer(self) -> None:
        """The current layer is complete."""

    def readout_row(self) -> Tensor:
        """(batch, token): how much of each token the read-out position mixes; sums to 1."""


def rollout_of(layout: TokenLayout) -> Rollout:
    """The matrix form for short inputs, the vector form for long ones; the numbers are the same."""
    return MatrixRollout(layout) if layout.real.shape[1] <= MATRIX_TOKENS else VectorRollout(layout)


class MatrixRollout:
    """R <- (A + I) R / 2 with A the mean over heads; one (token, token) matrix a sample is kept."""

    def __init__(self, layout: TokenLayout) -> None:
        batch, width = layout.real.shape
        self._layout = layout
        self._joint = torch.eye(width, device=layout.real.device).expand(batch, width, width)
        self._rows: list[Tensor] = []

    def add(self, attention: Attention, start: int) -> None:
        """See Rollout."""
        rows = attention.shape[2]
        mixed = torch.bmm(attention.mean(dim=1), self._joint)
        self._rows.append((mixed + self._joint[:, start : start + rows]) / 2)

    def next_layer(self) -> None:
        """See Rollout."""
        self._joint = self._rows[0] if len(self._rows) == 1 else torch.cat(self._rows, dim=1)
        self._rows = []

    def readout_row(self) -> Tensor:
        """See Rollout."""
        index = torch.arange(len(self._joint), device=self._joint.device)
        return self._joint[index, self._layout.readout]


class VectorRollout:
    """r <- (r A + r) / 2 from the last layer down: tokens^2 a layer, and A is kept until then.

    Past ``EXACT_TOKENS`` A is kept in half precision (relative error 2^-11 a weight, and r spreads
    over many rows), but for the read-out row: it has at least half of r's mass in the last step, and
    stays in float32.
    """

    def __init__(self, layout: TokenLayout) -> None:
        self._layout = layout
        self._dtype = torch.float16 if layout.real.shape[1] > EXACT_TOKENS else torch.float32
        self._mean: Tensor | None = None
        self._layers: list[tuple[Tensor, Tensor]] = []

    def add(self, attention: Attention, start: int) -> None:
        """See Rollout."""
        batch, _, rows, keys = attention.shape
        if self._mean is None:
            width = self._layout.real.shape[1]
            self._mean = attention.new_empty(batch, width, keys, dtype=self._dtype)
            self._layers.append((self._mean, attention.new_empty(batch, keys)))
        mean = attention.mean(dim=1)
        self._mean[:, start : start + rows] = mean
        place = self._layout.readout - start
        here = ((place >= 0) & (place < rows)).nonzero().squeeze(-1)
        self._layers[-1][1][here] = mean[here, place[here]]

    def next_layer(self) -> None:
        """See Rollout."""
        self._mean = None

    def readout_row(self) -> Tensor:
        """See Rollout."""
        batch, width = self._layout.real.shape
        index = torch.arange(batch, device=self._layout.real.device)
        row = torch.zeros(batch, width, device=index.device)
        row[index, self._layout.readout] = 1.0
        for mean, exact in reversed(self._layers):
            others = row.clone()
            others[index, self._layout.readout] = 0.0
            own = row[index, self._layout.readout]
            row = (row + own[:, None] * exact + _mixed(others, mean)) / 2
        return row


def _mixed(row: Tensor, matrix: Tensor) -> Tensor:
    """row (batch, query) times matrix (batch, query, key) in float32, a few queries at a time."""
    total = row.new_zeros(len(row), matrix.shape[-1])
    for rows, part in zip(row.split(256, dim=1), matrix.split(256, dim=1), strict=True):
        total += torch.bmm(rows[:, None], part.float())[:, 0]
    return total


def summarise_rollout(
    row: Array, *, readout: int, special: Sequence[int], words: Spans, top: int
) -> RolloutSummary:
    """Summarise one row (token,) over real tokens.

    ``special`` are positions (the first is added); ``words`` their text and token positions; the
    ``top`` words with most mass are named, each once.
    """
    length = len(row)
    mass = row.astype(np.float64)
    positive = mass[mass > 0]
    entropy = float(-(positive * np.log(positive)).sum() / np.log(length)) if length > 1 else 0.0
    reach = float((mass * np.abs(np.arange(length) - readout)).sum() / (length - 1)) if length > 1 else 0.0
    return RolloutSummary(
        row=row,
        entropy=entropy,
        special_mass=float(mass[sorted({0, *special})].sum()),
        reach=reach,
        top_words=largest_words(words, mass, top),
    )
