"""Where to evaluate an integral over [0, 1] whose integrand moves on one short stretch.

Fejer's second rule (Fejer 1933; Waldvogel 2006, BIT 46, eq. 2.4) in a variable t, with
alpha(t) = c + w sinh(u(t)), u linear: the map for a peak of half-width w at c (Elliott & Johnston
2008, J. Comput. Appl. Math. 220), which spaces nodes evenly inside the peak and geometrically outside.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

NARROWEST = 0.05
WIDEST = 0.6


@dataclass(frozen=True, slots=True, kw_only=True)
class PathMap:
    """``centre`` and ``width`` of the stretch on which each row's output moves, (row,), in float64."""

    centre: Tensor
    width: Tensor

    def take(self, rows: Tensor) -> PathMap:
        """Those of these rows."""
        return PathMap(centre=self.centre[rows], width=self.width[rows])


def map_of(outputs: Tensor) -> PathMap:
    """Mean and standard deviation of the squared slope, from outputs at equal steps (row, step).

    An output that does not move at all has its stretch in the middle, as wide as allowed.
    """
    slopes = outputs.double().diff(dim=-1).square()
    pieces = slopes.shape[-1]
    # a steady slope stands in for none
    slopes = torch.where(slopes.sum(dim=-1, keepdim=True) > 0, slopes, torch.ones_like(slopes))
    share = slopes / slopes.sum(dim=-1, keepdim=True)
    middle = (torch.arange(pieces, device=outputs.device, dtype=torch.float64) + 0.5) / pieces
    centre = (share * middle).sum(dim=-1)
    # each piece is itself spread over its length
    variance = (share * (middle - centre[:, None]).square()).sum(dim=-1) + 1 / (12 * pieces**2)
    return PathMap(centre=centre, width=variance.sqrt().clamp(NARROWEST, WIDEST))


def nodes_and_weights(maps: PathMap, count: int) -> tuple[Tensor, Tensor]:
    """Nodes within (0, 1) and their weights, (row, node) in float64; ``count`` + 1 is even.

    Every second node of ``2 count + 1`` is a node of ``count``.

    >>> import torch
    >>> flat = PathMap(centre=torch.tensor([0.5]).double(), width=torch.tensor([0.3]).double())
    >>> round(float(nodes_and_weights(flat, 15)[1].sum()), 9)
    1.0
    """
    t, weight = (part.to(maps.centre.device) for part in fejer(count))
    low = torch.asinh(-maps.centre / maps.width)[:, None]
    high = torch.asinh((1 - maps.centre) / maps.width)[:, None]
    place = low + (high - low) * t
    width = maps.width[:, None]
    nodes = (maps.centre[:, None] + width * torch.sinh(place)).clamp(0, 1)
    return nodes, weight * (high - low) * width * torch.cosh(place)


def fejer(count: int) -> tuple[Tensor, Tensor]:
    """Fejer's second rule on [0, 1]: nodes (1 - cos theta_k) / 2, theta_k = k pi / (count + 1).

    w_k = 2 sin theta_k / (count + 1) sum_j sin((2j - 1) theta_k) / (2j - 1), j to (count + 1) / 2.
    """
    theta = torch.arange(1, count + 1, dtype=torch.float64) * torch.pi / (count + 1)
    odd = 2 * torch.arange(1, (count + 1) // 2 + 1, dtype=torch.float64) - 1
    series = (torch.sin(theta[:, None] * odd) / odd).sum(dim=-1)
    return (1 - torch.cos(theta)) / 2, 2 * torch.sin(theta) / (count + 1) * series
