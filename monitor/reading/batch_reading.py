"""One padded batch read in one pass: the forward, the attention as it goes by, the gradient if wanted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from monitor.analysis.heads.profile import ProfileReducer
from monitor.analysis.heads.survey import HeadSurvey
from monitor.analysis.layout import TokenLayout
from monitor.analysis.prediction import predict, target_score, targets_of
from monitor.analysis.stacked import NothingSeen, StackedReducer
from monitor.analysis.together import OnlyLayers, Reducer, Together
from monitor.analysis.tokens.gradient import gradient_reading
from monitor.analysis.tokens.relevance import RelevanceReducer
from monitor.reading.examined import token_marks
from monitor.records import Array, Prediction
from monitor.replay.batches import Batch
from monitor.replay.replayed_model import ReplayModel
from monitor.replay.tokens import Encoded


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One batch's results as arrays with the batch first; gradient fields are None without one.

    ``answers`` is what the model said, as the tensor it is. ``relevance`` and
    ``gradient_times_attention`` are None too where the gradient of the attention cannot be had.
    """

    answers: Tensor
    profile: Array
    rollout: Array
    predictions: tuple[Prediction | None, ...]
    gradient_times_input: Array | None
    importance: Array | None
    relevance: Array | None
    gradient_times_attention: Array | None

    @property
    def token_values(self) -> Array | None:
        """The cheap attribution of each token (batch, token): relevance where the model has it.

        Gradient x input else: measured, its ranking is hardly better than a random one (docs/analyses.md).
        """
        return self.gradient_times_input if self.relevance is None else self.relevance


class BatchReader:
    """Reads batches of one model."""

    def __init__(self, model: ReplayModel) -> None:
        self.model = model
        self._grams = None if model.projections is None else [p.grams for p in model.projections]

    @property
    def _grams_here(self) -> list[Tensor] | None:
        """The Gram matrices on the device that the model is on now."""
        here = self.model.device
        return None if self._grams is None else [gram.to(here) for gram in self._grams]

    def read(self, rows: Sequence[Encoded], *, gradient: bool, survey: HeadSurvey | None = None) -> Reading:
        """Run one batch."""
        return self.read_batch(self.model.batch(rows), gradient=gradient, survey=survey, rows=rows)

    def read_batch(
        self,
        batch: Batch,
        *,
        gradient: bool,
        more: Sequence[Reducer] = (),
        survey: HeadSurvey | None = None,
        rows: Sequence[Encoded] = (),
    ) -> Reading:
        """Run one padded batch: a forward pass, and a backward pass if a gradient is wanted.

        ``more`` reducers are fed in the same pass, and those of a ``survey`` over ``rows``.
        """
        model = self.model
        gradient = gradient and model.takes_gradient
        reducer = self._reducer(batch, keep_contexts=gradient)
        survey = survey if model.finding.reads_attention else None
        if survey is not None:
            more = [*more, *self._surveying(survey, batch, rows)]
        relevance = RelevanceReducer() if gradient and self._has_relevance else None
        if relevance is not None:
            more = [*more, relevance]
        fed = Together(*more, reducer) if more else reducer
        values = importance = None
        try:
            replay = model.run(batch, fed, gradient=gradient)
            if gradient and replay.embeddings is not None:
                score = target_score(replay.answers, targets_of(replay.answers, model.kind_of(batch)))
                values, importance = gradient_reading(score, replay.embeddings, reducer.contexts)
        finally:
            if relevance is not None:
                relevance.release()
        profile = _numpy(reducer.profile())
        if survey is not None:
            # A sample of which the model gives NaN would make NaN of every head's mean.
            finite = np.array([np.isfinite(row).all() for row in profile])
            survey.finish(finite, _if_there(importance))
        return Reading(
            answers=replay.answers.detach(),
            profile=profile,
            rollout=_numpy(reducer.rollout()),
            predictions=tuple(self._predict(replay.answers.detach(), batch)),
            gradient_times_input=_if_there(values),
            importance=_if_there(importance),
            relevance=_if_there(None if relevance is None else relevance.relevance()),
            gradient_times_attention=_if_there(
                None if relevance is None else relevance.gradient_times_attention()
            ),
        )

    @property
    def _has_relevance(self) -> bool:
        finding = self.model.finding
        return finding.reads_attention and not finding.stacks

    def _layout(self, batch: Batch) -> TokenLayout:
        return TokenLayout.of(batch.real, batch.special, causal=self.model.causal)

    def _surveying(self, survey: HeadSurvey, batch: Batch, rows: Sequence[Encoded]) -> list[Reducer]:
        reducers = survey.start(token_marks(batch, rows, self._layout(batch)), self._grams)
        stacks = self.model.finding.stacks
        encoder = {layer for layer, stack in enumerate(stacks) if stack == "encoder"}
        return [OnlyLayers(reducer, encoder) for reducer in reducers] if stacks else reducers

    def _reducer(self, batch: Batch, *, keep_contexts: bool) -> ProfileReducer | StackedReducer | NothingSeen:
        model = self.model
        layout = TokenLayout.of(batch.real, batch.special, causal=model.causal)
        if not model.finding.reads_attention:
            return NothingSeen(layout)
        if not model.finding.stacks:
            return ProfileReducer(
                layout, statistics=model.statistics, grams=self._grams_here, keep_contexts=keep_contexts
            )
        return StackedReducer(
            layout,
            TokenLayout.of(batch.read, torch.zeros_like(batch.read), causal=True),
            stacks=model.finding.stacks,
            statistics=model.statistics,
            grams=self._grams_here,
            keep_contexts=keep_contexts,
        )

    def _predict(self, answers: Tensor, batch: Batch) -> list[Prediction | None]:
        model = self.model
        return predict(
            answers,
            model.kind_of(batch),
            labels=model.identity.labels,
            token_text=self._token_text,
            ids=batch.ids,
        )

    def _token_text(self, *tokens: int) -> str:
        return str(self.model.tokenizer.decode(list(tokens)))


def _if_there(values: Tensor | None) -> Array | None:
    return None if values is None else _numpy(values)


def _numpy(values: Tensor) -> Array:
    return values.detach().to(device="cpu", dtype=torch.float32).numpy()
