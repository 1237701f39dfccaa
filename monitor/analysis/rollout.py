"""Attention rollout (Abnar & Zuidema 2020, arXiv 2005.00928), streamed layer by layer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from monitor.analysis.layout import Attention, TokenLayout
from monitor.analysis.words import Spans, largest_words
from monitor.records import Array, RolloutSummary


class RolloutStream:
    """R <- (A + I) R / 2 with A the mean over heads; one (token, token) matrix a sample is kept."""

    def __init__(self, layout: TokenLayout) -> None:
        batch, width = layout.real.shape
        self._layout = layout
        self._joint = torch.eye(width, device=layout.real.device).expand(batch, width, width)
        self._rows: list[Tensor] = []

    def add(self, attention: Attention, start: int) -> None:
        """A block of queries of the current layer."""
        rows = attention.shape[2]
        mixed = torch.bmm(attention.mean(dim=1), self._joint)
        self._rows.append((mixed + self._joint[:, start : start + rows]) / 2)

    def next_layer(self) -> None:
        """The current layer is complete."""
        self._joint = self._rows[0] if len(self._rows) == 1 else torch.cat(self._rows, dim=1)
        self._rows = []

    def readout_row(self) -> Tensor:
        """(batch, token): how much of each token the read-out position mixes; sums to 1."""
        index = torch.arange(len(self._joint), device=self._joint.device)
        return self._joint[index, self._layout.readout]


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
