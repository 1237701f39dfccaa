"""What the model predicts, and the one number whose gradient explains it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Annotated

import torch
from torch import Tensor

from monitor.records import Prediction

Answers = Annotated[Tensor, "batch answer"]


def predict(
    answers: Answers, kind: str, *, labels: Sequence[str], token_text: Callable[[int], str]
) -> list[Prediction | None]:
    """The prediction of each row of ``ReplayModel`` answers of this kind.

    ``classes``: softmax. ``labels``: a sigmoid each; the most probable label, the mean of the
    labels' binary entropies. ``token``: the next token. ``value``, ``embedding``: None.
    """
    if kind in ("value", "embedding"):
        return [None] * len(answers)
    if kind == "labels":
        probabilities = answers.double().sigmoid()
        entropies = _binary_entropy(probabilities).mean(dim=-1)
    else:
        logs = answers.double().log_softmax(dim=-1)
        probabilities = logs.exp()
        entropies = -(probabilities * logs).sum(dim=-1) / math.log(max(2, answers.shape[-1]))
    targets = answers.argmax(dim=-1).tolist()
    return [
        Prediction(
            label=token_text(target) if kind == "token" else labels[target],
            target=target,
            probability=float(row[target]),
            entropy=min(1.0, max(0.0, float(entropy))),
            probabilities=() if kind == "token" else tuple(row.tolist()),
        )
        for target, row, entropy in zip(targets, probabilities, entropies, strict=True)
    ]


def targets_of(answers: Answers, kind: str) -> Tensor:
    """What to explain, fixed once: (batch,) the predicted index, or (batch, hidden) a direction.

    An embedding is explained by its length along its own direction, which is held fixed.
    """
    fixed = answers.detach()
    if kind == "embedding":
        return fixed / fixed.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    return fixed.argmax(dim=-1)


def target_score(answers: Answers, targets: Tensor) -> Tensor:
    """Each row's output towards its fixed target, (batch,)."""
    if targets.ndim == 1:
        return answers.gather(1, targets[:, None]).squeeze(1)
    return (answers * targets).sum(dim=-1)


def _binary_entropy(probability: Tensor) -> Tensor:
    both = torch.stack([probability, 1 - probability])
    return torch.special.entr(both).sum(dim=0) / math.log(2)
