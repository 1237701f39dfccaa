"""Replay and analysis joined: samples in, analyses out. Nothing here keeps state between calls."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from monitor.analysis.heads.survey import HeadSurvey
from monitor.analysis.layout import TokenLayout
from monitor.analysis.settings import AnalysisSettings
from monitor.analysis.tokens.methods import TokenMethods
from monitor.reading.batch_reading import BatchReader, Reading
from monitor.reading.examined import examine, removal_effects, watched_phrases
from monitor.reading.integrated import describe, integrate_batch
from monitor.reading.sample_analysis import is_finite, sample_analysis
from monitor.reading.stacking import stack
from monitor.records import (
    Array,
    Attribution,
    Prediction,
    ProbeReading,
    Sample,
    SampleAnalysis,
)
from monitor.replay.images import self_test_images
from monitor.replay.memory import with_room
from monitor.replay.replayed_model import ReplayModel
from monitor.replay.tokens import Encoded, Refused

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


class Analyser:
    """A model and what to compute with it."""

    def __init__(self, model: ReplayModel, settings: AnalysisSettings) -> None:
        self.model = model
        self.settings = settings
        self.reader = BatchReader(model)

    @property
    def statistics(self) -> tuple[str, ...]:
        """The names on the profile's last axis."""
        return self.model.statistics

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
            return self.reader.read([texts[i] for i in members], gradient=wanted, survey=survey)

        for members in self.model.plan(texts):
            if should_stop is not None and should_stop():
                complete = False
                break
            for part, reading in with_room(self.model, members, read):
                if survey is not None:
                    survey.commit()
                for place, member in enumerate(part):
                    analysis = sample_analysis(
                        self.model, rows[member], texts[member], reading, place, top=self.settings.top_words
                    )
                    if not finite_only or is_finite(analysis):
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
            TokenLayout.of(batch.real, batch.special, causal=model.causal),
            settings.scheduled,
            attention=model.finding.reads_attention and not model.finding.stacks,
        )
        gradient = methods.needs_gradient or (survey is not None and survey.wants_importance)
        reading = self.reader.read_batch(
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
            return self.reader.read(rows[:1], gradient=False).profile[0], 0.0
        alone = self.reader.read(rows[:1], gradient=False).profile[0]
        padded = self.reader.read([rows[0], rows[-1]], gradient=False).profile[0]
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
