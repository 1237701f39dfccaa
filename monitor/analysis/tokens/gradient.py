"""What one backward pass gives: gradient x input per token, and each head's importance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from torch import Tensor

TokenValues = Annotated[Tensor, "batch token"]


def gradient_reading(
    score: Tensor, embeddings: Tensor, contexts: Sequence[Tensor]
) -> tuple[TokenValues, Tensor | None]:
    """Gradient x input (batch, token) and head importance (batch, layer, head), or None.

    ``score`` (batch,): each row's own output, so that the gradient of their sum is each row's
    gradient and a batch equals single rows. ``embeddings`` (batch, token, hidden) and ``contexts``
    (batch, query, head, dim) per layer are in its graph.
    Importance: |sum of context * dL/dcontext|, Michel, Levy & Neubig 2019 (arXiv 1905.10650).
    """
    gradients = torch.autograd.grad(score.sum(), [embeddings, *contexts])
    values = (gradients[0] * embeddings).sum(dim=-1).detach().float()
    if not contexts:
        return values, None
    per_layer = [
        (context.detach().float() * gradient.float()).sum(dim=(1, 3)).abs()
        for context, gradient in zip(contexts, gradients[1:], strict=True)
    ]
    return values, torch.stack(per_layer, dim=1)
