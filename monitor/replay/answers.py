"""What a model says, read off its raw output: one tensor a batch, by the kind of answer."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor

from monitor.replay.batches import Batch

Answer = Literal["classes", "labels", "value", "token", "embedding", "tokens", "span", "completion"]


def answer_of(task: str, config: Any) -> Answer:
    """The kind of answer that a model of this task gives."""
    kinds: dict[str, Answer] = {
        "encoder": "embedding",
        "causal-lm": "token",
        "encoder-decoder": "token",
        "token-classification": "tokens",
        "question-answering": "span",
    }
    if task in kinds:
        return kinds[task]
    kind = getattr(config, "problem_type", None)
    if kind == "regression":
        return "value"
    return "labels" if kind == "multi_label_classification" or config.num_labels == 1 else "classes"


def kept_positions(batch: Batch) -> Tensor:
    """(position,): where next-token logits are read from; the others need not be computed.

    That is the last real token, or, of a served completion, the token before each of its tokens.
    """
    if batch.scored is None:
        return last_real(batch.read).unique()
    return (batch.scored.any(dim=0).nonzero().squeeze(-1) - 1).clamp_min(0)


def read_answers(output: Any, batch: Batch, kind: Answer, kept: Tensor | None) -> Tensor:
    """Answers of this kind, as ``Replay`` describes them.

    ``kept``: the positions that next-token logits were computed at; None for all.
    """
    if kind == "embedding":
        return _mean_embedding(output.last_hidden_state, batch.real)
    if kind == "span":
        logits = torch.stack([output.start_logits, output.end_logits], dim=-1).float()
        return torch.cat([logits, _weights(batch, logits).unsqueeze(-1)], dim=-1)
    logits = output.logits.float()
    if kind == "tokens":
        return torch.cat([logits, _weights(batch, logits).unsqueeze(-1)], dim=-1)
    if kind == "token":
        last = last_real(batch.read)
        index = last if kept is None else torch.searchsorted(kept, last)
        return logits[torch.arange(len(batch), device=logits.device), index]
    return _completion(logits, batch, kept) if kind == "completion" else logits


def last_real(real: Tensor) -> Tensor:
    """The position of the last real token of each row."""
    count = torch.arange(real.shape[1], device=real.device)
    return (count * real).argmax(dim=1)


def _mean_embedding(hidden: Tensor, real: Tensor) -> Tensor:
    weight = real.unsqueeze(-1)
    return (hidden.float() * weight).sum(dim=1) / weight.sum(dim=1)


def _weights(batch: Batch, like: Tensor) -> Tensor:
    """(batch, token): 1 over their number at the scored tokens."""
    scored = (batch.real if batch.scored is None else batch.scored & batch.real).to(like)
    return scored / scored.sum(dim=1, keepdim=True).clamp_min(1)


def _completion(logits: Tensor, batch: Batch, kept: Tensor | None) -> Tensor:
    """(batch, token, 4): log-probability, entropy, the likeliest token, and the weight.

    As wide as the batch, zeros where no token was served: rows taken out of a batch stay as wide.
    """
    scored = batch.scored
    assert scored is not None  # the kind says so
    ids = batch.ids if batch.decoder_ids is None else batch.decoder_ids
    columns = scored.any(dim=0).nonzero().squeeze(-1)
    before = (columns - 1).clamp_min(0)
    index = before if kept is None else torch.searchsorted(kept, before)
    logs = logits[:, index].log_softmax(dim=-1)
    entropy = torch.special.entr(logs.exp()).sum(dim=-1) / math.log(max(2, logs.shape[-1]))
    weight = scored[:, columns].to(logs)
    served = torch.stack(
        [
            logs.gather(-1, ids[:, columns].unsqueeze(-1)).squeeze(-1),
            entropy.detach(),
            logs.argmax(dim=-1).to(logs),
            weight / weight.sum(dim=1, keepdim=True).clamp_min(1),
        ],
        dim=-1,
    )
    return served.new_zeros(*scored.shape, 4).index_copy(1, columns, served)
