"""How much a model stands by a prediction, on one scale for every kind of answer."""

from __future__ import annotations

import torch
from torch import Tensor

from monitor.analysis.prediction import Answers, target_score

SMALLEST = 1e-12
MASKED = -1e30


def support(answers: Answers, targets: Tensor, kind: str, whole: Tensor) -> Tensor:
    """(batch,): the probability of each row's fixed target, where there is one.

    ``classes``, ``token``: softmax; ``labels``: sigmoid; ``tokens``: the mean over tokens of each
    one's label; ``span``: of its first times of its last token; ``completion``: the geometric mean of
    the served tokens'. ``value``, ``embedding``: the output towards the target as a share of that
    for the whole input, ``whole`` (batch,), so that 1 is the prediction itself, whatever its sign.
    """
    values = answers.double()
    if kind in ("classes", "token"):
        return values.softmax(dim=-1).gather(1, targets[:, None]).squeeze(1)
    if kind == "labels":
        return values.sigmoid().gather(1, targets[:, None]).squeeze(1)
    if kind == "tokens":
        return (values[..., :-1].softmax(dim=-1) * targets[..., :-1]).flatten(1).sum(dim=-1)
    if kind == "span":
        logs = values[..., :2].masked_fill(values[..., 2:] <= 0, MASKED).log_softmax(dim=1)
        return (logs * targets[..., :2]).flatten(1).sum(dim=-1).exp()
    if kind == "completion":
        return target_score(values, targets.double()).exp()
    scale = whole.double()
    return target_score(answers, targets).double() / torch.where(scale.abs() < SMALLEST, SMALLEST, scale)


def predicted(answers: Answers, kind: str) -> Tensor | None:
    """The index (batch,) that is predicted, or None for an answer that is not one choice of several."""
    return answers.argmax(dim=-1) if kind in ("classes", "token", "labels") else None


def removed_rows(real: Tensor, removed: list[frozenset[int]]) -> Tensor:
    """A mask (row, token) of the tokens that stay; positions count from each row's first real token."""
    kept = real.clone()
    for row, positions in enumerate(removed):
        if positions:
            start = int(real[row].int().argmax())
            kept[row, torch.tensor(sorted(positions), device=real.device) + start] = False
    return kept
