"""The ten statistics of a head, and the one mapping that lists them.

Each is a small function of the sums over keys that ``reduce_block`` takes in one pass over the
weights, so no statistic reads the attention matrix again. Vocabulary: K_i the keys that query i may
see, Q the queries that count (``Sight``), first the first real token.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from types import MappingProxyType

import torch
from torch import Tensor

from monitor.analysis.layout import Attention, HeadRows, HeadValues, Sight

CONTENT_MASS_FLOOR = 1e-4
NORM_FLOOR = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySums:
    """Sums over the keys of one layer, each (batch, head, query). A is the attention.

    ``information``: sum A ln A; ``content_information``, ``content_mass``: over content keys only;
    ``distance``: sum A |i - j|; ``norm``: of what the head writes, or empty where it is not known.
    """

    information: HeadRows
    content_information: HeadRows
    content_mass: HeadRows
    own: HeadRows
    previous: HeadRows
    first: HeadRows
    separator: HeadRows
    distance: HeadRows
    norm: HeadRows


HeadStatistic = Callable[[KeySums, Sight], HeadValues]


def entropy(sums: KeySums, sight: Sight) -> HeadValues:
    """Mean of H(A_i) / ln|K_i|, within [0, 1]; 0 for a query that sees one key."""
    return _mean(_share(-sums.information, _log_count(sight.keys)), sight)


def content_entropy(sums: KeySums, sight: Sight) -> HeadValues:
    """Entropy over the keys that are neither special nor first, renormalised, within [0, 1].

    Queries with fewer than two such keys, or with less than 1e-4 of their mass on them, are left
    out of the mean; 0 if none is left.
    """
    counts = (sight.content_keys >= 2)[:, None] & (sums.content_mass >= CONTENT_MASS_FLOOR)
    mass = sums.content_mass.clamp_min(CONTENT_MASS_FLOOR)
    values = _share(mass.log() - sums.content_information / mass, _log_count(sight.content_keys))
    weight = sight.weight[:, None] * counts
    return (values * weight).sum(dim=-1) / weight.sum(dim=-1).clamp_min(torch.finfo(weight.dtype).tiny)


def own_mass(sums: KeySums, sight: Sight) -> HeadValues:
    """Mean weight A_ii that a token gives to itself, within [0, 1]."""
    return _mean(sums.own, sight)


def previous_mass(sums: KeySums, sight: Sight) -> HeadValues:
    """Mean weight A_i,i-1 on the token before, within [0, 1]; 0 where there is none."""
    return _mean(sums.previous, sight)


def first_mass(sums: KeySums, sight: Sight) -> HeadValues:
    """Mean weight on the first real token (attention sink, [CLS]), within [0, 1]."""
    return _mean(sums.first, sight)


def separator_mass(sums: KeySums, sight: Sight) -> HeadValues:
    """Mean weight on special tokens other than the first, within [0, 1]; encoders only."""
    return _mean(sums.separator, sight)


def distance(sums: KeySums, sight: Sight) -> HeadValues:
    """Mean of sum_j A_ij |i - j| over its value under uniform attention to K_i; at least 0."""
    return _mean(_share(sums.distance, sight.uniform_distance), sight)


def output_norm(sums: KeySums, sight: Sight) -> HeadValues:
    """ln of the mean over Q of |context_i W_O|: what the head writes (Kobayashi et al. 2020).

    A head that writes nothing gets ln(1e-12), so that the value stays finite; 0 if Q is empty.
    """
    written = _mean(sums.norm, sight).clamp_min(NORM_FLOOR).log()
    return written * (sight.weight.sum(dim=1) > 0)[:, None]


def readout_entropy(sums: KeySums, sight: Sight) -> HeadValues:
    """Normalised entropy of the row that the prediction reads, within [0, 1]."""
    return _at_readout(_share(-sums.information, _log_count(sight.keys)), sight)


def readout_special(sums: KeySums, sight: Sight) -> HeadValues:
    """That row's mass on special tokens and the first, within [0, 1]."""
    return _at_readout(sums.first + sums.separator, sight)


HEAD_STATISTICS: Mapping[str, HeadStatistic] = MappingProxyType(
    {
        "entropy": entropy,
        "content_entropy": content_entropy,
        "self": own_mass,
        "previous": previous_mass,
        "first": first_mass,
        "separator": separator_mass,
        "distance": distance,
        "output_norm": output_norm,
        "readout_entropy": readout_entropy,
        "readout_special": readout_special,
    }
)


def reduce_block(attention: Attention, log_attention: Attention, start: int, sight: Sight) -> KeySums:
    """All sums over keys of one block of queries, which begins at query ``start``.

    ``norm`` is left empty: it comes from the context, not from the weights.
    """
    layout = sight.layout
    _, _, rows, keys = attention.shape
    position = torch.arange(keys, device=attention.device)
    gap = (position[start : start + rows, None] - position).abs().float()
    content = layout.content[:, None, None, :].float()
    product = attention * log_attention  # the one temporary of this size: each sum reuses it
    information = product.sum(dim=-1)
    index = layout.first[:, None, None, None].expand(*attention.shape[:3], 1)
    return KeySums(
        information=information,
        content_information=product.mul_(content).sum(dim=-1),
        content_mass=torch.mul(attention, content, out=product).sum(dim=-1),
        own=attention.diagonal(offset=start, dim1=-2, dim2=-1).clone(),
        previous=_previous(attention, start),
        first=attention.gather(-1, index).squeeze(-1),
        separator=_on_separators(attention, sight),
        distance=torch.mul(attention, gap, out=product).sum(dim=-1),
        norm=attention.new_empty(0),
    )


def join_blocks(blocks: Sequence[KeySums], norm: HeadRows) -> KeySums:
    """The blocks of one layer in order, and the norm of what each head writes."""
    if len(blocks) == 1:
        joined = {item.name: getattr(blocks[0], item.name) for item in fields(KeySums)}
    else:
        joined = {
            item.name: torch.cat([getattr(block, item.name) for block in blocks], dim=-1)
            for item in fields(KeySums)
        }
    return KeySums(**{**joined, "norm": norm})


def output_norms(context: Tensor, grams: Tensor) -> HeadRows:
    """|c W_h| = sqrt(c G_h c^T). context (batch, query, head, dim); grams (head, dim, dim)."""
    heads = context.float().transpose(1, 2)
    squares = (torch.matmul(heads, grams) * heads).sum(dim=-1)
    return squares.clamp_min(0).sqrt()


def _previous(attention: Attention, start: int) -> HeadRows:
    diagonal = attention.diagonal(offset=start - 1, dim1=-2, dim2=-1)
    missing = attention.shape[2] - diagonal.shape[-1]
    return torch.nn.functional.pad(diagonal, (missing, 0)) if missing else diagonal.clone()


def _on_separators(attention: Attention, sight: Sight) -> HeadRows:
    """Only the few columns that are separators somewhere in the batch are read."""
    separators = sight.layout.separators
    columns = separators.any(dim=0).nonzero().squeeze(-1)
    if not len(columns):
        return attention.new_zeros(attention.shape[:3])
    return (attention[..., columns] * separators[:, None, None, columns]).sum(dim=-1)


def _mean(values: HeadRows, sight: Sight) -> HeadValues:
    return (values * sight.weight[:, None]).sum(dim=-1)


def _at_readout(values: HeadRows, sight: Sight) -> HeadValues:
    index = sight.layout.readout[:, None, None].expand(*values.shape[:2], 1)
    return values.gather(-1, index).squeeze(-1)


def _log_count(count: Tensor) -> Tensor:
    return count.clamp_min(1).log()


def _share(values: HeadRows, whole: Tensor) -> HeadRows:
    """values / whole, and 0 where the whole is 0. whole (batch, query)."""
    divisor = whole[:, None]
    return torch.where(divisor > 0, values / divisor.clamp_min(torch.finfo(values.dtype).tiny), 0.0)
