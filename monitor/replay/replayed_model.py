"""A loaded model that replays samples: tokenise, batch, run, and let a reducer see its attention."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from monitor.records import ModelIdentity
from monitor.replay.answers import Answer, kept_positions, read_answers
from monitor.replay.batches import Batch, make_batch, plan_batches
from monitor.replay.call import arguments, takes
from monitor.replay.embedding_input import Route, input_embedding, substituted
from monitor.replay.finding import Finding
from monitor.replay.images import ImageEncoder
from monitor.replay.layer_hooks import HookSink, context_layers, hooked
from monitor.replay.projection import Projection
from monitor.replay.tap import AttentionReducer, Sink, listening
from monitor.replay.tokens import Encoded, TextEncoder


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """One forward pass. ``answers`` is what the model says, per row, by the kind of its answer:

    (batch, class) logits; (batch, vocabulary) next-token logits at the last real token; (batch,
    hidden) the mean embedding of the real tokens; (batch, token, label + 1) logits of each token,
    (batch, token, 3) start and end logits, (batch, token, 4) log-probability, entropy and
    likeliest token of a served completion. The last channel of those with three axes is each
    position's weight, 0 where it does not count. ``embeddings`` (batch, token, hidden) is the leaf
    in the graph when a gradient was asked for.
    """

    answers: Tensor
    embeddings: Tensor | None


@dataclass(slots=True)
class Budget:
    """How many tokens a batch may have; the one thing about a loaded model that changes."""

    tokens: int


@dataclass(frozen=True, kw_only=True)
class ReplayModel:
    """A model, ready to replay. Made by ``load_model``; frozen weights, evaluation mode.

    ``answer`` says what ``Replay.answers`` is: ``classes`` (softmax), ``labels`` (a sigmoid each),
    ``value`` (regression), ``token`` (next token), ``embedding``, ``tokens`` (a label each) or
    ``span``. ``statistics`` are those of ``records.STATISTICS`` that this model has, in the order of
    the profile's last axis. ``route``: how embeddings take the place of ids. ``pads``: whether rows of
    unlike length may share a batch.
    """

    identity: ModelIdentity
    answer: Answer
    finding: Finding
    statistics: tuple[str, ...]
    refusals: tuple[str, ...]
    budget: Budget
    route: Route
    pads: bool
    network: Any
    tokenizer: Any
    encoder: TextEncoder | ImageEncoder
    names: Mapping[int, str]

    @property
    def tier(self) -> str:
        """Which tier of the tap serves, as the self-test chose."""
        return self.finding.tier

    @property
    def layers_seen(self) -> int:
        """How many attention layers are watched."""
        return self.finding.layer_count

    @property
    def takes_gradient(self) -> bool:
        """Whether embeddings can stand in for the input, so that there are attributions."""
        return self.route != "none"

    @property
    def reads_images(self) -> bool:
        """Whether samples are images, not text."""
        return isinstance(self.encoder, ImageEncoder)

    @property
    def causal(self) -> bool:
        """Whether queries see only what comes before them, as the self-test found."""
        return self.finding.causal

    @property
    def predicts(self) -> bool:
        """Whether analyses carry a prediction."""
        return self.answer != "embedding"

    @property
    def max_tokens(self) -> int:
        """Longer inputs are cut to this many tokens."""
        return self.encoder.max_tokens

    @property
    def projections(self) -> tuple[Projection, ...] | None:
        """The output projection of each layer, where every layer has one."""
        return self.finding.projections

    @property
    def token_budget(self) -> int:
        """Rows times longest row of a batch: what was set, halved each time that memory ran out."""
        return self.budget.tokens

    def halve_budget(self) -> None:
        """Go on with smaller batches."""
        self.budget.tokens = max(1, self.budget.tokens // 2)

    @property
    def device(self) -> torch.device:
        """Where the weights are now: a model that ran out of memory on a GPU moves to the CPU."""
        parameter: Tensor = next(self.network.parameters())
        return parameter.device

    def move_to_cpu(self) -> None:
        """Take the weights, and what was derived from them, off a GPU that has no room."""
        self.network.to("cpu")

    @property
    def identity_now(self) -> ModelIdentity:
        """The identity with the device that the weights are on now, which a probe reading is of."""
        moved = self.device.type != torch.device(self.identity.device).type
        return replace(self.identity, device=self.device.type) if moved else self.identity

    def plan(self, rows: Sequence[Encoded]) -> list[list[int]]:
        """Which rows go together: by length, and apart where there is a served completion."""
        kinds: dict[tuple[Any, ...], list[int]] = {}
        for number, row in enumerate(rows):
            alike = () if self.pads else (len(row.ids), len(row.decoder_ids))
            kinds.setdefault((bool(row.scored), *alike), []).append(number)
        plans: list[list[int]] = []
        for _, members in sorted(kinds.items()):
            lengths = [len(rows[i].ids) + len(rows[i].decoder_ids) for i in members]
            plans += [[members[i] for i in batch] for batch in plan_batches(lengths, self.token_budget)]
        return plans

    def batch(self, rows: Sequence[Encoded], *, side: Literal["right", "left"] = "right") -> Batch:
        """Pad rows to one batch on the model's device."""
        return make_batch(rows, padding_id=self.padding_id, device=self.device, side=side)

    def kind_of(self, batch: Batch) -> Answer:
        """What the answers for this batch are: a served completion is judged as a whole."""
        return "completion" if self.answer == "token" and batch.scored is not None else self.answer

    @property
    def padding_id(self) -> int:
        """The tokenizer's padding token; 0 where it has none (padding is masked out anyway)."""
        padding = None if self.tokenizer is None else self.tokenizer.pad_token_id
        return 0 if padding is None else int(padding)

    def embed(self, ids: Tensor) -> Tensor:
        """Input embeddings (batch, token, hidden) of token ids."""
        result: Tensor = input_embedding(self.network)(ids)
        return result

    def embed_batch(self, batch: Batch) -> Tensor:
        """Input embeddings (batch, token, hidden); zeros for what stands before an image's patches."""
        if batch.pixels is None:
            return self.embed(batch.ids)
        patches = self.embed(batch.pixels.to(self.network.dtype))
        before = batch.ids.shape[1] - patches.shape[1]
        return torch.nn.functional.pad(patches, (0, 0, before, 0))

    def neutral_embedding(self) -> Tensor:
        """(hidden,): what stands for "nothing" in the baseline of Integrated Gradients.

        The padding token's embedding, or the table's mean where there is none (or, in a decoder,
        where it is all zeros: without positions added to it, its norm cannot be divided by). Of an
        image, the patch of zeros, which is the mean colour that its processor takes away.
        """
        if isinstance(self.encoder, ImageEncoder):
            blank = torch.zeros(1, *self.encoder.size, dtype=self.network.dtype, device=self.device)
            return self.embed(blank)[0].detach().mean(dim=0)
        padding = self.tokenizer.pad_token_id
        if padding is not None:
            vector = self.embed(torch.tensor(int(padding), device=self.device)).detach()
            if not self.causal or bool(vector.any()):
                return vector
        table: Any = input_embedding(self.network).weight
        mean: Tensor = table.detach().float().mean(dim=0).to(table.dtype)
        return mean

    def run(self, batch: Batch, reducer: AttentionReducer | None = None, *, gradient: bool = False) -> Replay:
        """One forward pass; the reducer, if given, sees each layer's attention.

        With ``gradient`` the embeddings are a leaf of the graph that the answers hang on.
        """
        with torch.set_grad_enabled(gradient):
            embeddings = self.embed_batch(batch).detach().requires_grad_() if gradient else None
            return Replay(answers=self._answers(batch, reducer, embeddings), embeddings=embeddings)

    def answer_embeddings(self, embeddings: Tensor, batch: Batch) -> Tensor:
        """``Replay.answers`` for given input embeddings: the model call that attribution needs."""
        return self._answers(batch, None, embeddings)

    def _answers(self, batch: Batch, reducer: AttentionReducer | None, embeddings: Tensor | None) -> Tensor:
        by_module = self.route == "module" and embeddings is not None
        call = arguments(
            self.network,
            batch,
            None if by_module else embeddings,
            positions=self.route == "argument and positions",
        )
        kept = None
        if self.answer == "token" and takes(self.network, "logits_to_keep"):
            kept = call["logits_to_keep"] = kept_positions(batch)
        replacing = substituted(embeddings) if by_module and embeddings is not None else nullcontext()
        with replacing, self._watched(call, reducer) as deliver:
            output = self.network(**call)
            deliver(output)
        return read_answers(output, batch, self.kind_of(batch), kept)

    @contextmanager
    def _watched(self, call: dict[str, Any], reducer: AttentionReducer | None) -> Iterator[Any]:
        """Let the reducer see the forward pass of this block; what is given takes its raw output."""
        finding = self.finding
        if reducer is None or not finding.reads_attention:
            yield lambda _: None
            return
        sink = Sink(reducer=reducer, names=self.names, layers=finding.layers)
        if finding.tier in ("tap", "module eager"):
            with listening(sink):
                yield lambda _: None
            return
        projections = finding.projections or ()
        hooks = HookSink(sink=sink, heads=finding.head_count, context_layers=context_layers(projections))
        call["output_attentions"] = True
        with hooked(hooks):
            yield lambda output: None if finding.layers else hooks.reduce_all(output)
