"""A loaded model that replays samples: tokenise, batch, run, and let a reducer see its attention."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from monitor.records import ModelIdentity
from monitor.replay.batches import Batch, make_batch, plan_batches
from monitor.replay.eager import caught_inputs, reduce_matrices
from monitor.replay.projection import Projection
from monitor.replay.selftest import Finding
from monitor.replay.tap import AttentionReducer, Sink, listening
from monitor.replay.tokens import Encoded, TextEncoder

Answer = Literal["classes", "labels", "value", "token", "embedding"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """One forward pass. ``answers`` is what the model says, per row:

    (batch, class) logits, (batch, vocabulary) next-token logits at the last real token, or
    (batch, hidden) the mean embedding of the real tokens. ``embeddings`` (batch, token, hidden) is
    the leaf in the graph when a gradient was asked for.
    """

    answers: Tensor
    embeddings: Tensor | None


@dataclass(frozen=True, kw_only=True)
class ReplayModel:
    """A model, ready to replay. Made by ``load_model``; frozen weights, evaluation mode.

    ``answer`` says what ``Replay.answers`` is: ``classes`` (softmax), ``labels`` (a sigmoid each),
    ``value`` (regression), ``token`` (next token) or ``embedding``. ``statistics`` are those of
    ``records.STATISTICS`` that this model has, in the order of the profile's last axis.
    """

    identity: ModelIdentity
    answer: Answer
    finding: Finding
    statistics: tuple[str, ...]
    refusals: tuple[str, ...]
    token_budget: int
    takes_gradient: bool
    explicit_positions: bool
    network: Any
    tokenizer: Any
    encoder: TextEncoder
    names: Mapping[int, str]

    @property
    def tier(self) -> str:
        """``tap`` or ``eager``, as the self-test chose."""
        return self.finding.tier

    @property
    def layers_seen(self) -> int:
        """How many attention layers are watched."""
        return self.finding.layer_count

    @property
    def causal(self) -> bool:
        """Whether queries see only what comes before them, as the self-test found."""
        return self.finding.causal

    @property
    def predicts(self) -> bool:
        """Whether analyses carry a prediction."""
        return self.answer not in ("value", "embedding")

    @property
    def max_tokens(self) -> int:
        """Longer inputs are cut to this many tokens."""
        return self.encoder.max_tokens

    @property
    def projections(self) -> tuple[Projection, ...] | None:
        """The output projection of each layer, where every layer has one."""
        return self.finding.projections

    def plan(self, rows: Sequence[Encoded]) -> list[list[int]]:
        """Which rows go together, by length."""
        return plan_batches([len(row.ids) for row in rows], self.token_budget)

    def batch(self, rows: Sequence[Encoded], *, side: Literal["right", "left"] = "right") -> Batch:
        """Pad rows to one batch on the model's device."""
        return make_batch(rows, padding_id=self.padding_id, device=self.identity.device, side=side)

    @property
    def padding_id(self) -> int:
        """The tokenizer's padding token; 0 where it has none (padding is masked out anyway)."""
        padding = self.tokenizer.pad_token_id
        return 0 if padding is None else int(padding)

    def embed(self, ids: Tensor) -> Tensor:
        """Input embeddings (batch, token, hidden) of token ids."""
        embedding: nn.Module = self.network.get_input_embeddings()
        result: Tensor = embedding(ids)
        return result

    def neutral_embedding(self) -> Tensor:
        """(hidden,): the padding token's embedding, or the table's mean where there is none."""
        padding = self.tokenizer.pad_token_id
        if padding is not None:
            return self.embed(torch.tensor(int(padding), device=self.identity.device)).detach()
        table: Tensor = self.network.get_input_embeddings().weight
        return table.detach().float().mean(dim=0).to(table.dtype)

    def run(self, batch: Batch, reducer: AttentionReducer | None = None, *, gradient: bool = False) -> Replay:
        """One forward pass; the reducer, if given, sees each layer's attention.

        With ``gradient`` the embeddings are a leaf of the graph that the answers hang on.
        """
        with torch.set_grad_enabled(gradient):
            embeddings = self.embed(batch.ids).detach().requires_grad_() if gradient else None
            output = self._forward(batch, reducer, embeddings)
            return Replay(answers=self._answers(output, batch), embeddings=embeddings)

    def answer_embeddings(self, embeddings: Tensor, batch: Batch) -> Tensor:
        """``Replay.answers`` for given input embeddings: the model call that attribution needs."""
        return self._answers(self._forward(batch, None, embeddings), batch)

    def _forward(self, batch: Batch, reducer: AttentionReducer | None, embeddings: Tensor | None) -> Any:
        call = arguments(self.network, batch, embeddings, positions=self.explicit_positions)
        if self.answer == "token" and _takes(self.network, "logits_to_keep"):
            call["logits_to_keep"] = _last(batch).unique()
        if reducer is None:
            return self.network(**call)
        with ExitStack() as stack:
            if self.tier == "tap":
                sink = Sink(reducer=reducer, names=self.names, layers=self.finding.layers)
                stack.enter_context(listening(sink))
                return self.network(**call)
            modules = [projection.module for projection in self.projections or ()]
            contexts = stack.enter_context(caught_inputs(modules, self.identity.heads))
            output = self.network(**call, output_attentions=True)
            reduce_matrices(reducer, output.attentions, contexts)
            return output

    def _answers(self, output: Any, batch: Batch) -> Tensor:
        if self.answer == "embedding":
            real = batch.real.unsqueeze(-1)
            hidden = output.last_hidden_state.float()
            mean: Tensor = (hidden * real).sum(dim=1) / real.sum(dim=1)
            return mean
        logits: Tensor = output.logits.float()
        if self.answer != "token":
            return logits
        last = _last(batch)
        kept = last.unique() if _takes(self.network, "logits_to_keep") else None
        index = last if kept is None else torch.searchsorted(kept, last)
        return logits[torch.arange(len(batch), device=logits.device), index]


def arguments(network: Any, batch: Batch, embeddings: Tensor | None, *, positions: bool) -> dict[str, Any]:
    """The keyword arguments of a forward pass; ids or embeddings, never both."""
    call: dict[str, Any] = {"attention_mask": batch.real.long(), "return_dict": True}
    if embeddings is None:
        call["input_ids"] = batch.ids
    else:
        call["inputs_embeds"] = embeddings
    if batch.type_ids is not None and _takes(network, "token_type_ids"):
        call["token_type_ids"] = batch.type_ids
    if _takes(network, "use_cache"):
        call["use_cache"] = False
    if positions and embeddings is not None:
        call["position_ids"] = explicit_positions(network, batch)
    return call


def explicit_positions(network: Any, batch: Batch) -> Tensor:
    """Positions as models derive them from ids: counted from after the padding index, padding on it."""
    padding = position_padding(network) or 0
    counted: Tensor = (batch.positions + 1) * batch.real + padding
    return counted


def position_padding(network: nn.Module) -> int | None:
    """The padding index of the position embedding, which only RoBERTa's kind has."""
    for name, module in network.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            return module.padding_idx
    return None


def _takes(network: Any, argument: str) -> bool:
    return argument in inspect.signature(network.forward).parameters


def _last(batch: Batch) -> Tensor:
    """The position of the last real token of each row."""
    width = batch.real.shape[1]
    count = torch.arange(width, device=batch.real.device)
    return (count * batch.real).argmax(dim=1)
