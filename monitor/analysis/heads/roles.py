"""What kind of head is it? A share for each role instead of one hard label.

Positional, rare-token and special-token heads: Voita et al. 2019 (arXiv 1905.09418) and Clark et al.
2019 (arXiv 1906.04341). Induction: the prefix-matching score of Olsson et al. 2022 (arXiv
2209.11895); duplicate-token heads: Wang et al. 2022 (arXiv 2211.00593).

Each share lies within [0, 1] and is a mean over the queries Q that count; roles overlap (a previous
head is a local head too), so they do not sum to 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from monitor.analysis.heads.query_means import QueryMeans
from monitor.analysis.heads.statistics import output_norms
from monitor.analysis.layout import Attention
from monitor.analysis.marks import TokenMarks

ROLES = (
    "self",
    "previous",
    "next",
    "first",
    "separator",
    "punctuation",
    "local",
    "broad",
    "duplicate",
    "induction",
    "dead",
)
DECODER_ONLY = ("duplicate", "induction")
ENCODER_ONLY = ("next", "separator")
NEAR = 3
DEAD_NORM = 0.01


def role_shares(
    attention: Attention, log_attention: Attention, start: int, seen: Tensor, marks: TokenMarks
) -> tuple[Tensor, Tensor]:
    """The shares of all roles but ``dead`` for a block of queries, and where they are defined.

    Returns (batch, head, query, role) and (batch, 1, query, role). With A the attention, i the
    query, t the tokens:

    - self A_ii, previous A_i,i-1, next A_i,i+1, first A_i,first: mass on one place;
    - separator, punctuation: mass on special tokens but the first, on punctuation;
    - local: mass on |i - j| <= 3 beyond the share u of seen keys that are so near, (m - u)+ / (1 - u),
      so that even attention is 0; over queries that see farther;
    - broad: exp(entropy of A_i) / |K_i|, the share of keys in use;
    - duplicate: mass on j < i with t_j = t_i; induction: on j with t_j-1 = t_i, j - 1 < i; both over
      those queries that have such a j.
    ``seen`` (batch, query, key) says which keys a query may see.
    """
    layout = marks.layout
    rows, keys = attention.shape[2:]
    place = torch.arange(keys, device=attention.device)
    gap = place - place[start : start + rows, None]
    groups = torch.stack([layout.is_first & layout.real, layout.separators, marks.punctuation], dim=-1)
    grouped = torch.matmul(attention, groups[:, None].to(attention.dtype))
    entropy = -(attention * log_attention).sum(dim=-1)
    count = seen.sum(dim=-1).clamp_min(1)
    near = gap.abs() <= NEAR
    even = (seen & near).sum(dim=-1) / count
    repeated = [_same_token(marks.ids, start, rows, shift) & seen for shift in (0, 1)]
    repeated = [repeated[0] & (gap < 0), repeated[1] & (gap <= 0)]
    shares = [
        *((attention * (gap == step)).sum(dim=-1) for step in (0, -1, 1)),
        *grouped.unbind(dim=-1),
        _beyond_even((attention * near).sum(dim=-1), even[:, None]),
        entropy.exp() / count[:, None],
        *((attention * targets[:, None]).sum(dim=-1) for targets in repeated),
    ]
    everywhere = torch.ones_like(count, dtype=torch.bool)
    defined = [everywhere] * 6 + [even < 1, everywhere] + [targets.any(dim=-1) for targets in repeated]
    return torch.stack(shares, dim=-1), torch.stack(defined, dim=-1)[:, None]


class RoleReducer:
    """Role shares of one forward pass; ``grams`` (head, dim, dim) per layer tell dead heads."""

    def __init__(self, marks: TokenMarks, *, grams: Sequence[Tensor] | None) -> None:
        self._marks = marks
        self._grams = grams
        self._shares, self._dead = QueryMeans(), QueryMeans()
        self._layer = -1
        self._visible: Tensor | None = None

    def begin(self, layer: int, visible: Tensor | None) -> None:
        """See Reducer."""
        self._shares.next_layer()
        self._layer, self._visible = layer, visible

    def weights(self, attention: Tensor, log_attention: Tensor, start: int) -> None:
        """See Reducer."""
        rows = attention.shape[2]
        seen = self._marks.seen(self._visible, start, rows)
        shares, defined = role_shares(attention, log_attention, start, seen, self._marks)
        queries = self._marks.queries[:, start : start + rows]
        if self._marks.layout.causal:
            queries = queries & (seen.sum(dim=-1) >= 2)
        self._shares.add(shares, defined & queries[:, None, :, None])

    def context(self, context: Tensor) -> None:
        """See Reducer."""
        if self._grams is not None:
            dead = dead_queries(output_norms(context.detach(), self._grams[self._layer]))
            self._dead.add(dead.float()[..., None], self._marks.queries[:, None, :, None])
            self._dead.next_layer()

    def shares(self) -> Tensor:
        """(batch, layer, head, role) in the order of ``ROLES``; NaN where a role is not defined."""
        shares = self._shares.means()
        dead = self._dead.means() if self._grams is not None else torch.full_like(shares[..., :1], torch.nan)
        shares = torch.cat([shares, dead], dim=-1)
        for name in ENCODER_ONLY if self._marks.layout.causal else DECODER_ONLY:
            shares[..., ROLES.index(name)] = torch.nan
        return shares


def dead_queries(norms: Tensor) -> Tensor:
    """Where a head writes less than a hundredth of what the layer's heads write on average.

    norms (batch, head, query): |context_i W_O|. A layer that writes nothing at all is all dead.
    """
    return norms <= DEAD_NORM * norms.mean(dim=1, keepdim=True)


def _beyond_even(mass: Tensor, even: Tensor) -> Tensor:
    """What a mass has beyond what even attention would give it, of what it could have: within [0, 1]."""
    return ((mass - even) / (1 - even).clamp_min(1e-6)).clamp_min(0)


def _same_token(ids: Tensor, start: int, rows: int, shift: int) -> Tensor:
    """(batch, query, key): whether the token ``shift`` before the key is the query's."""
    before = torch.nn.functional.pad(ids, (shift, 0), value=-1)[:, : ids.shape[1]]
    return before[:, None, :] == ids[:, start : start + rows, None]
