"""Random attention over ragged rows, as a tap would hand it over, and the same rows without padding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from monitor.analysis.layout import TokenLayout
from monitor.analysis.marks import TokenMarks


@dataclass(frozen=True, kw_only=True)
class RandomLayers:
    """``attention`` (layer, batch, head, query, key), ``value`` (layer, batch, head, key, dim)."""

    marks: TokenMarks
    attention: torch.Tensor
    value: torch.Tensor
    grams: list[torch.Tensor]
    projections: torch.Tensor
    spans: list[slice]

    def feed(self, reducer: Any, *, block: int, values: bool = True) -> None:
        for layer, (attention, value) in enumerate(zip(self.attention, self.value, strict=True)):
            reducer.begin(layer, None)
            again = lambda reader, a=attention: stream(reader, a, block)
            if values and hasattr(reducer, "inputs"):
                reducer.inputs(value, again)
            stream(reducer, attention, block)
            reducer.context(torch.matmul(attention, value).transpose(1, 2))

    def row(self, number: int, layer: int) -> tuple[np.ndarray, np.ndarray]:
        """Attention (head, query, key) and values (head, key, dim) of one row, without its padding."""
        span = self.spans[number]
        return (
            self.attention[layer, number][:, span, span].double().numpy(),
            self.value[layer, number][:, span].double().numpy(),
        )

    def words(self, number: int) -> tuple[list[int], list[bool], list[bool]]:
        """Ids, punctuation and special tokens of one row."""
        span = self.spans[number]
        marks = self.marks
        return (
            marks.ids[number, span].tolist(),
            marks.punctuation[number, span].tolist(),
            marks.layout.special[number, span].tolist(),
        )


def stream(reader: Any, attention: torch.Tensor, block: int) -> None:
    for start in range(0, attention.shape[2], block):
        part = attention[:, :, start : start + block]
        reader.weights(part, part.clamp_min(1e-38).log(), start)


def random_layers(
    seed: int = 0,
    lengths: tuple[int, ...] = (2, 7, 12),
    *,
    causal: bool = False,
    side: str = "right",
    layers: int = 3,
    heads: int = 4,
    width: int = 14,
) -> RandomLayers:
    """What is real depends on the row alone, not on where the padding is."""
    dim, hidden = 5, 8
    real = torch.zeros(len(lengths), width, dtype=torch.bool)
    special, punctuation = torch.zeros_like(real), torch.zeros_like(real)
    ids = torch.zeros(len(lengths), width, dtype=torch.long)
    scores = torch.full((layers, len(lengths), heads, width, width), -1e30)
    value = torch.zeros(layers, len(lengths), heads, width, dim)
    spans = []
    for row, length in enumerate(lengths):
        draw = torch.Generator().manual_seed(seed + row)
        start = width - length if side == "left" else 0
        span = slice(start, start + length)
        spans.append(span)
        real[row, span] = True
        if not causal:
            special[row, start] = special[row, start + length - 1] = True
        ids[row, span] = torch.randint(1, 5, (length,), generator=draw)
        punctuation[row, span] = (torch.rand(length, generator=draw) < 0.3) & ~special[row, span]
        scores[:, row, :, span, span] = 3 * torch.randn(layers, heads, length, length, generator=draw)
        value[:, row, :, span] = torch.randn(layers, heads, length, dim, generator=draw)
    if causal:
        scores = scores.masked_fill(~torch.ones(width, width, dtype=torch.bool).tril(), -1e30)
    layout = TokenLayout.of(real, special, causal=causal)
    projections = torch.randn(layers, heads, dim, hidden, generator=torch.Generator().manual_seed(seed))
    projections[1, 2] *= 1e-3
    return RandomLayers(
        marks=TokenMarks(layout=layout, ids=ids, punctuation=punctuation),
        attention=scores.softmax(-1),
        value=value,
        grams=list(projections @ projections.transpose(-1, -2)),
        projections=projections,
        spans=spans,
    )
