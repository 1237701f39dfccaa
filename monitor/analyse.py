"""Replay and analysis joined: samples in, analyses out. Nothing here keeps state between calls."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from monitor.analysis.heads.profile import ProfileReducer
from monitor.analysis.heads.survey import HeadSurvey
from monitor.analysis.layout import TokenLayout
from monitor.analysis.prediction import predict, target_score, targets_of
from monitor.analysis.settings import AnalysisSettings
from monitor.analysis.stacked import NothingSeen, StackedReducer
from monitor.analysis.together import OnlyLayers, Reducer, Together
from monitor.analysis.tokens.gradient import gradient_reading
from monitor.analysis.tokens.methods import TokenMethods
from monitor.analysis.tokens.relevance import RelevanceReducer
from monitor.analysis.tokens.rollout import summarise_rollout
from monitor.analysis.tokens.words import largest_words
from monitor.attribute import describe, integrate_batch
from monitor.examine import examine, removal_effects, token_marks, watched_phrases
from monitor.records import (
    Array,
    Attribution,
    Prediction,
    ProbeReading,
    Sample,
    SampleAnalysis,
    ServedPrediction,
)
from monitor.replay.batches import Batch
from monitor.replay.images import self_test_images
from monitor.replay.memory import with_room
from monitor.replay.replayed_model import ReplayModel
from monitor.replay.tokens import Encoded, Refused
from monitor.stacking import stack

__all__ = ["Analysed", "Analyser", "Progress", "Reading", "Stop", "stack"]

EMBEDDED = Prediction(label="embedding", target=0, probability=1.0, entropy=0.0)
"""Stands in an attribution for the prediction of a model that predicts nothing."""
SMALLEST_SD = 1e-3
"""A statistic that is the same for all probe inputs is measured by this."""
Progress = Callable[[int], None]
Stop = Callable[[], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysed:
    """``analyses`` in the order of the samples; ``refused`` (id, reason) of those that gave none.

    ``complete`` is False where ``should_stop`` ended the work early: what was done is here.
    """

    analyses: tuple[SampleAnalysis, ...]
    refused: tuple[tuple[str, str], ...]
    complete: bool


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


class Analyser:
    """A model and what to compute with it."""

    def __init__(self, model: ReplayModel, settings: AnalysisSettings) -> None:
        self.model = model
        self.settings = settings
        self._grams = None if model.projections is None else [p.grams for p in model.projections]

    @property
    def statistics(self) -> tuple[str, ...]:
        """The names on the profile's last axis."""
        return self.model.statistics

    @property
    def _grams_here(self) -> list[Tensor] | None:
        """The Gram matrices on the device that the model is on now."""
        here = self.model.device
        return None if self._grams is None else [gram.to(here) for gram in self._grams]

    def profile(
        self,
        samples: Sequence[Sample],
        *,
        on_progress: Progress | None = None,
        should_stop: Stop | None = None,
        gradient: bool | None = None,
        finite_only: bool = True,
        survey: HeadSurvey | None = None,
    ) -> Analysed:
        """Profile samples in batches of like length. ``on_progress`` is told how many are done.

        ``gradient`` overrides ``settings.gradient_attribution``; it is one pass either way.
        ``finite_only`` refuses samples for which the model gives NaN or infinity. A ``survey`` sees
        every head in the same passes.
        """
        wanted = self.settings.gradient_attribution if gradient is None else gradient
        encoded, refused = self.encode(samples)
        rows = [samples[index] for index in encoded]
        texts = list(encoded.values())
        done: dict[int, SampleAnalysis] = {}
        complete = True

        def read(members: Sequence[int]) -> Reading:
            return self.read([texts[i] for i in members], gradient=wanted, survey=survey)

        for members in self.model.plan(texts):
            if should_stop is not None and should_stop():
                complete = False
                break
            for part, reading in with_room(self.model, members, read):
                if survey is not None:
                    survey.commit()
                for place, member in enumerate(part):
                    analysis = self._analysis(rows[member], texts[member], reading, place)
                    if not finite_only or _is_finite(analysis):
                        done[member] = analysis
                    else:
                        refused.append((rows[member].id, "the model's numbers are not finite for this input"))
            if on_progress is not None:
                on_progress(len(done) + len(refused))
        return Analysed(
            analyses=tuple(done[i] for i in sorted(done)), refused=tuple(refused), complete=complete
        )

    def attribute(
        self,
        samples: Sequence[Sample],
        *,
        on_progress: Progress | None = None,
        should_stop: Stop | None = None,
        survey: HeadSurvey | None = None,
    ) -> tuple[Attribution, ...]:
        """Integrated Gradients of each sample that the model takes, in the order of the samples.

        Empty for a model that takes no embeddings (``model.refusals`` says so); stops early, with
        what is done, when ``should_stop`` turns true. What ``settings.scheduled`` asks for stands
        beside each; a ``survey`` sees every head in the same passes.
        """
        if not self.model.takes_gradient:
            return ()
        encoded, _ = self.encode(samples)
        numbers, rows = list(encoded), list(encoded.values())
        done: dict[int, Attribution] = {}

        def explain(members: Sequence[int]) -> dict[int, Attribution]:
            return dict(self._attribute_batch(members, numbers, rows, samples, survey))

        for members in self.model.plan(rows):
            if should_stop is not None and should_stop():
                break
            for _, explained in with_room(self.model, members, explain):
                if survey is not None:
                    survey.commit()
                done.update({numbers[member]: item for member, item in explained.items()})
            if on_progress is not None:
                on_progress(len(done))
        return tuple(done[i] for i in sorted(done))

    def _attribute_batch(
        self,
        members: Sequence[int],
        numbers: Sequence[int],
        rows: Sequence[Encoded],
        samples: Sequence[Sample],
        survey: HeadSurvey | None,
    ) -> Iterator[tuple[int, Attribution]]:
        model, settings = self.model, self.settings
        encoded = [rows[i] for i in members]
        batch = model.batch(encoded)
        methods = TokenMethods(
            self._layout(batch),
            settings.scheduled,
            attention=model.finding.reads_attention and not model.finding.stacks,
        )
        gradient = methods.needs_gradient or (survey is not None and survey.wants_importance)
        reading = self.read_batch(
            batch, gradient=gradient, more=methods.reducers, survey=survey, rows=encoded
        )
        others = methods.values(reading)
        integrated = integrate_batch(model, batch, reading.answers, settings.attribution)
        lists = watched_phrases(model, settings.watch_lists)
        for place, member in enumerate(members):
            row = rows[member]
            attribution = describe(
                samples[numbers[member]].id,
                row,
                reading.predictions[place] or EMBEDDED,
                reading.rollout[place, : len(row.ids)].copy(),
                integrated,
                place,
                causal=model.causal,
            )
            effects_of = partial(removal_effects, model, batch, place, reading.answers)
            values = {name: of_row(place) for name, of_row in others.items()}
            content = row.content(causal=model.causal)
            yield member, examine(attribution, row, content, values, effects_of, settings.scheduled, lists)

    def probe(self, texts: Sequence[str]) -> ProbeReading:
        """Run fixed texts, always in the same batches: unchanged weights give the same bits.

        A model that reads images is given the self-test's pictures instead.
        """
        samples = [Sample(id=str(i), time=0.0, text=text) for i, text in enumerate(texts)]
        if self.model.reads_images:
            pictures = self_test_images()
            samples = [Sample(id=str(i), time=0.0, image=picture) for i, picture in enumerate(pictures)]
        # A broken model's NaN are what the probe is there to see: no row is left out.
        features = stack(self.profile(samples, gradient=False, finite_only=False).analyses)
        alone, gap = self._alone_and_padded(samples, features.profile)
        return ProbeReading(
            identity=self.model.identity_now,
            inputs_hash=hashlib.sha256("\0".join(texts).encode()).hexdigest(),
            profile=features.profile,
            prediction=features.prediction,
            alone=alone,
            padding_gap=gap,
        )

    def _alone_and_padded(self, samples: Sequence[Sample], profile: Array) -> tuple[Array, float]:
        """The shortest text's profile, and by how many sd the longest one's company moves it."""
        rows = sorted(self.encode(samples)[0].values(), key=lambda row: len(row.ids))
        if not profile.size:
            return self.read(rows[:1], gradient=False).profile[0], 0.0
        alone = self.read(rows[:1], gradient=False).profile[0]
        padded = self.read([rows[0], rows[-1]], gradient=False).profile[0]
        spread = np.maximum(profile.std(axis=0), SMALLEST_SD)
        # A model whose numbers are none at all says so elsewhere.
        gap = np.nan_to_num(np.abs(padded - alone) / spread, nan=0.0, posinf=0.0)
        return alone, float(gap.max())

    def encode(self, samples: Sequence[Sample]) -> tuple[dict[int, Encoded], list[tuple[str, str]]]:
        """Tokenised samples by their index, and (id, reason) of those the model cannot take."""
        encoded: dict[int, Encoded] = {}
        refused: list[tuple[str, str]] = []
        for index, sample in enumerate(samples):
            try:
                encoded[index] = self.model.encoder.encode(sample)
            except Refused as error:
                refused.append((sample.id, str(error)))
        return encoded, refused

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

    def _counted(self, values: Array) -> Array:
        """A decoder's first token is where attention goes that is not needed: it explains nothing."""
        return np.concatenate([values[:1] * 0, values[1:]]) if self.model.causal else values

    def _token_text(self, *tokens: int) -> str:
        return str(self.model.tokenizer.decode(list(tokens)))

    def _analysis(self, sample: Sample, row: Encoded, reading: Reading, place: int) -> SampleAnalysis:
        length, top = len(row.ids), self.settings.top_words
        spans = [(word.text, word.tokens) for word in row.words]
        values, importance = reading.token_values, reading.importance
        return SampleAnalysis(
            id=sample.id,
            time=sample.time,
            profile=reading.profile[place],
            rollout=summarise_rollout(
                reading.rollout[place, :length].copy(),
                readout=length - 1 if self.model.causal else 0,
                special=() if self.model.causal else row.special,
                words=spans if self.model.finding.reads_attention else (),
                top=top,
            ),
            prediction=reading.predictions[place],
            served=_in_model_words(sample.served, self.model.identity.labels),
            facts=row.facts,
            tokens=row.tokens,
            # every image has the same patches: that they are there says nothing
            words=() if self.model.reads_images else tuple(dict.fromkeys(text for text, _ in spans)),
            top_words=()
            if values is None
            else largest_words(spans, self._counted(values[place, :length]), top),
            head_importance=None if importance is None else importance[place],
        )


def _in_model_words(served: ServedPrediction | None, labels: Sequence[str]) -> ServedPrediction | None:
    """Servers answer ``1`` or ``Positive`` where the model's label is ``positive``."""
    if served is None or served.label in labels:
        return served
    folded = {label.casefold(): label for label in labels}
    label = folded.get(served.label.casefold())
    if label is None and served.label.isdecimal() and int(served.label) < len(labels):
        label = labels[int(served.label)]
    return served if label is None else ServedPrediction(label=label, probability=served.probability)


def _if_there(values: Tensor | None) -> Array | None:
    return None if values is None else _numpy(values)


def _numpy(values: Tensor) -> Array:
    return values.detach().to(device="cpu", dtype=torch.float32).numpy()


def _is_finite(analysis: SampleAnalysis) -> bool:
    prediction = analysis.prediction
    numbers = () if prediction is None else (prediction.probability, prediction.entropy)
    return bool(
        np.isfinite(analysis.profile).all()
        and np.isfinite(analysis.rollout.row).all()
        and np.isfinite(numbers).all()
    )
