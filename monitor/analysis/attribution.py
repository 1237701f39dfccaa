"""Integrated Gradients (Sundararajan, Taly & Yan 2017, arXiv 1703.01365) by Captum, to convergence.

The target is fixed before the path is walked. The path's integral is taken by Gauss-Legendre. A
small completeness gap alone proves little (a row had .7 % of gap and 18 % of error), so a row has
converged when its gap is small *and* its attributions agree with those of fewer steps; only the
rows that have not are run again with more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from captum.attr import IntegratedGradients
from torch import Tensor

Score = Callable[[Tensor, Tensor], Tensor]
"""(embeddings (row, token, hidden), which row of the batch each is) -> the fixed target's output (row,)."""
STEPS = (12, 24, 48, 96, 192, 384)
FLOOR = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Integrated:
    """``values`` (row, token), summed over the embedding; the others (row,).

    ``delta`` = sum of values - (output at the input - output at the baseline); ``relative_delta`` =
    |delta| / max(|difference of outputs|, .01).
    """

    values: Tensor
    delta: Tensor
    relative_delta: Tensor
    steps: Tensor
    converged: Tensor
