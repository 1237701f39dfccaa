"""What the model predicts, and the one number whose gradient explains it.

Answers come from ``ReplayModel``, by kind (what each task's attribution is taken towards):

========== ============================== ==================================================
kind       answers                        target: the number that is explained
========== ============================== ==================================================
classes    (batch, class) logits          the logit of the predicted class
labels     (batch, label) logits          the logit of the most probable label
value      (batch, output)                the output itself (of several, the largest in size)
token      (batch, vocabulary) logits     the logit of the next token that is predicted
embedding  (batch, hidden)                the embedding's projection on its own direction
tokens     (batch, token, label + 1)      mean logit of the labels predicted for the tokens
span       (batch, token, 3)              start logit of the span's first token + end logit of its last
completion (batch, served token, 4)       mean log-probability of the served tokens
========== ============================== ==================================================

The last channel of the three-axis kinds is the weight of each position: 0 where it does not count.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Annotated

import torch
from torch import Tensor

from monitor.records import Prediction

Answers = Annotated[Tensor, "batch answer"]
TokenText = Callable[..., str]
PREDICTS_NOTHING = ("embedding",)
LONGEST_SPAN = 30


def predict(
    answers: Answers,
    kind: str,
    *,
    labels: Sequence[str],
    token_text: TokenText,
    ids: Tensor | None = None,
) -> list[Prediction | None]:
    """The prediction of each row of answers of this kind; None for an embedding.

    ``token_text(*ids)`` gives the text of token ids; ``ids`` (batch, token) are the input's, which a
    span's text is read from.
    """
    if kind in PREDICTS_NOTHING:
        return [None] * len(answers)
    values = answers.detach().double()
    if kind == "value":
        return [_value(row) for row in values]
    if kind == "tokens":
        return [_tokens(row, labels) for row in values]
    if kind == "span":
        return [
            _span(row, None if ids is None else ids[place], token_text) for place, row in enumerate(values)
        ]
    if kind == "completion":
        return [_completion(row, token_text) for row in values]
    return _chosen(values, kind, labels, token_text)


def targets_of(answers: Answers, kind: str) -> Tensor:
    """What to explain, fixed once: (batch,) the predicted index, or weights in the answers' shape.

    An embedding is explained by its length along its own direction, which is held fixed.
    """
    fixed = answers.detach()
    if kind == "embedding":
        return fixed / fixed.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    if kind == "value":
        return fixed.abs().argmax(dim=-1)
    if kind not in ("tokens", "span", "completion"):
        return fixed.argmax(dim=-1)
    weights = torch.zeros_like(fixed)
    if kind == "completion":
        weights[..., 0] = fixed[..., -1]
    elif kind == "tokens":
        weights.scatter_(2, fixed[..., :-1].argmax(dim=-1, keepdim=True), fixed[..., -1:])
    else:
        for row, (start, end) in enumerate(map(best_span, fixed)):
            weights[row, start, 0] = weights[row, end, 1] = 1.0
    return weights


def target_score(answers: Answers, targets: Tensor) -> Tensor:
    """Each row's output towards its fixed target, (batch,)."""
    if targets.ndim == 1:
        return answers.gather(1, targets[:, None]).squeeze(1)
    return (answers * targets).flatten(1).sum(dim=-1)


def best_span(row: Tensor) -> tuple[int, int]:
    """First and last token of the likeliest span of at most 30 tokens, in (token, 3) answers.

    Devlin et al. 2019 (arXiv 1810.04805), section 4.2: the largest sum of start and end logit.
    """
    allowed = row[:, 2] > 0
    start = row[:, 0].masked_fill(~allowed, -torch.inf)
    end = row[:, 1].masked_fill(~allowed, -torch.inf)
    sums = start[:, None] + end[None, :]
    count = torch.arange(len(row), device=row.device)
    gap = count[None, :] - count[:, None]
    sums = sums.masked_fill((gap < 0) | (gap >= LONGEST_SPAN), -torch.inf)
    place = int(sums.argmax())
    return place // len(row), place % len(row)


def _chosen(
    values: Tensor, kind: str, labels: Sequence[str], token_text: TokenText
) -> list[Prediction | None]:
    if kind == "labels":
        probabilities = values.sigmoid()
        entropies = _binary_entropy(probabilities).mean(dim=-1)
    else:
        logs = values.log_softmax(dim=-1)
        probabilities = logs.exp()
        entropies = -(probabilities * logs).sum(dim=-1) / math.log(max(2, values.shape[-1]))
    targets = values.argmax(dim=-1).tolist()
    return [
        Prediction(
            label=token_text(target) if kind == "token" else labels[target],
            target=target,
            probability=float(row[target]),
            entropy=_bounded(float(entropy)),
            probabilities=() if kind == "token" else tuple(row.tolist()),
        )
        for target, row, entropy in zip(targets, probabilities, entropies, strict=True)
    ]


def _value(row: Tensor) -> Prediction:
    """A regression has no probability: 1, without entropy, stands there."""
    target = int(row.abs().argmax())
    values = tuple(row.tolist())
    return Prediction(label="value", target=target, probability=1.0, entropy=0.0, values=values)


def _tokens(row: Tensor, labels: Sequence[str]) -> Prediction:
    """What share of the tokens has each label: the mean of their distributions."""
    logs = row[:, :-1].log_softmax(dim=-1)
    weight = row[:, -1:]
    mean = (logs.exp() * weight).sum(dim=0)
    entropy = -(logs.exp() * logs * weight).sum() / math.log(max(2, logs.shape[-1]))
    target = int(mean.argmax())
    return Prediction(
        label=labels[target],
        target=target,
        probability=float(mean[target]),
        entropy=_bounded(float(entropy)),
        probabilities=tuple(mean.tolist()),
    )


def _span(row: Tensor, ids: Tensor | None, token_text: TokenText) -> Prediction:
    start, end = best_span(row)
    allowed = row[:, 2] > 0
    logs = row[:, :2].masked_fill(~allowed[:, None], -torch.inf).log_softmax(dim=0)
    inside = logs[allowed]
    entropy = -(inside.exp() * inside).sum(dim=0).mean() / math.log(max(2, len(inside)))
    text = f"{start}-{end}" if ids is None else token_text(*ids[start : end + 1].tolist()).strip()
    return Prediction(
        label=text,
        target=start,
        probability=float((logs[start, 0] + logs[end, 1]).exp()),
        entropy=_bounded(float(entropy)),
    )


def _completion(row: Tensor, token_text: TokenText) -> Prediction:
    """The tokens that the model itself would say at each place of the served completion."""
    served = row[row[:, 3] > 0]
    tokens = [int(token) for token in served[:, 2].tolist()]
    return Prediction(
        label=token_text(*tokens),
        target=tokens[0],
        probability=float(served[:, 0].mean().exp()),
        entropy=_bounded(float(served[:, 1].mean())),
    )


def _bounded(value: float) -> float:
    return min(1.0, max(0.0, value))


def _binary_entropy(probability: Tensor) -> Tensor:
    both = torch.stack([probability, 1 - probability])
    return torch.special.entr(both).sum(dim=0) / math.log(2)
