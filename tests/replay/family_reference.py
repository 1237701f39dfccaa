"""What a family's model is compared with: transformers alone, eager attention, and plain numpy.

Nothing here comes from ``monitor``, but for the padded ids, masks and pixels that both are given.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.analysis import numpy_reference
from tests.families import Family

STACKS = ("encoder_attentions", "decoder_attentions", "cross_attentions")
MASKS = ("encoder", "decoder", "cross")


class PlainModel:
    """A family's model as transformers loads it, with eager attention."""

    def __init__(self, family: Family, folder: Path) -> None:
        self.family = family
        self.network = family.loader.from_pretrained(
            str(folder), attn_implementation="eager", dtype=torch.float32
        ).eval()

    def forward(self, call: Mapping[str, torch.Tensor]) -> Any:
        """The raw output, with attention matrices and the heads' contexts."""
        caught: dict[str, list[torch.Tensor]] = {}
        modules = dict(self.network.named_modules())

        def catch(name: str) -> Any:
            return lambda _m, given: caught.setdefault(name, []).append(given[0])

        names = dict.fromkeys(self.family.projections)
        handles = [modules[name].register_forward_pre_hook(catch(name)) for name in names]
        with torch.no_grad():
            output = self.network(**call, output_attentions=True)
        for handle in handles:
            handle.remove()
        taken = {name: iter(values) for name, values in caught.items()}
        self.contexts = [next(taken[name]) for name in self.family.projections]
        return output

    def weight(self, layer: int) -> np.ndarray:
        """W_O (head x dim, hidden) of a layer."""
        module = dict(self.network.named_modules())[self.family.projections[layer]]
        weight = module.weight.detach().double().numpy()
        return weight if type(module).__name__ == "Conv1D" else weight.T


def rows_of(
    plain: PlainModel, output: Any, real: np.ndarray, decoder_real: np.ndarray | None, special: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Profile (layer, head, 10) and rollout row of each row of a batch, its padding left out."""
    found = []
    for row in range(len(real)):
        keep = {"encoder": real[row], "decoder": real[row] if decoder_real is None else decoder_real[row]}
        if plain.family.kind == "encoder-decoder":
            found.append(_encoder_decoder_row(plain, output, row, keep, special[row]))
        else:
            found.append(_row(plain, output, row, keep["encoder"], special[row]))
    return found


def _row(
    plain: PlainModel, output: Any, row: int, real: np.ndarray, special: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    family = plain.family
    matrices = [m[row].double().numpy()[:, real][:, :, real] for m in output.attentions]
    profile = [
        numpy_reference.statistics(
            matrix,
            special=special[real],
            causal=family.causal,
            window=family.windows[layer],
            **_written(plain, layer, row, real),
        )
        for layer, matrix in enumerate(matrices)
    ]
    return np.stack(profile), numpy_reference.rollout_row(matrices, causal=family.causal)


def _encoder_decoder_row(
    plain: PlainModel, output: Any, row: int, keep: Mapping[str, np.ndarray], special: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    encoder, decoder, cross = ([m[row].double().numpy() for m in getattr(output, name)] for name in STACKS)
    e, d = keep["encoder"], keep["decoder"]
    encoder = [m[:, e][:, :, e] for m in encoder]
    decoder = [m[:, d][:, :, d] for m in decoder]
    cross = [m[:, d][:, :, e] for m in cross]
    first, second = len(encoder), len(encoder) + len(decoder)
    profile = [
        numpy_reference.statistics(m, special=special[e], causal=False, **_written(plain, i, row, e))
        for i, m in enumerate(encoder)
    ]
    for i, matrix in enumerate(decoder):
        values = numpy_reference.statistics(
            matrix, special=special[e], causal=True, **_written(plain, first + i, row, d)
        )
        values[:, 5] = 0.0  # a decoder has no separators
        profile.append(values)
    profile += [
        cross_statistics(m, special[e], **_written(plain, second + i, row, d)) for i, m in enumerate(cross)
    ]
    return np.stack(profile), _cross_rollout(encoder, decoder, cross)


def cross_statistics(
    matrix: np.ndarray,
    special: np.ndarray,
    context: np.ndarray | None = None,
    weight: np.ndarray | None = None,
) -> np.ndarray:
    """(head, 10) of cross attention (head, query, key), as ``monitor.analysis.heads.cross`` defines them."""
    heads, queries, n = matrix.shape
    result = np.full((heads, 10), np.nan)
    content = [j for j in range(n) if not special[j] and j != 0]
    for h in range(heads):
        rows = matrix[h]
        entropies = [_entropy(a) / np.log(n) for a in rows]
        inside = [
            _entropy(a[content] / a[content].sum()) / np.log(len(content))
            for a in rows
            if len(content) >= 2 and a[content].sum() >= 1e-4
        ]
        gaps = [np.array([abs(i - j) for j in range(n)]) for i in range(queries)]
        far = [float(a @ gap) / gap.mean() for a, gap in zip(rows, gaps, strict=True)]
        result[h] = [
            np.mean(entropies),
            np.mean(inside) if inside else 0.0,
            np.mean([a[i] if i < n else 0.0 for i, a in enumerate(rows)]),
            np.mean([a[i - 1] if 0 < i <= n else 0.0 for i, a in enumerate(rows)]),
            np.mean(rows[:, 0]),
            np.mean([sum(a[j] for j in range(n) if special[j] and j != 0) for a in rows]),
            np.mean(far),
            np.nan,
            entropies[-1],
            sum(rows[-1][j] for j in range(n) if special[j] or j == 0),
        ]
        if context is not None and weight is not None:
            size = context.shape[1] // heads
            span = slice(h * size, (h + 1) * size)
            result[h, 7] = np.log(np.mean([np.linalg.norm(c[span] @ weight[span]) for c in context]))
    return result


def _cross_rollout(
    encoder: list[np.ndarray], decoder: list[np.ndarray], cross: list[np.ndarray]
) -> np.ndarray:
    """Forward: every decoder token as a mixture of decoder inputs X and encoder inputs Y."""
    n, m = encoder[0].shape[-1], decoder[0].shape[-1]
    read = np.eye(n)
    for matrix in encoder:
        read = 0.5 * (matrix.mean(axis=0) + np.eye(n)) @ read
    own, other = np.eye(m), np.zeros((m, n))
    for matrix, across in zip(decoder, cross, strict=True):
        mixed = 0.5 * (matrix.mean(axis=0) + np.eye(m))
        own, other = mixed @ own, mixed @ other
        own, other = 0.5 * own, 0.5 * (other + across.mean(axis=0) @ read)
    return other[-1] / other[-1].sum()


def _written(plain: PlainModel, layer: int, row: int, real: np.ndarray) -> dict[str, np.ndarray]:
    if not plain.family.projections:
        return {}
    return {"context": plain.contexts[layer][row].double().numpy()[real], "weight": plain.weight(layer)}


def _entropy(p: np.ndarray) -> float:
    p = p[p > 0]
    return float(-(p * np.log(p)).sum())
