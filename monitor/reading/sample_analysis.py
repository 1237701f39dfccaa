"""One row of a read batch as a record: what detection keeps of a sample."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monitor.analysis.tokens.rollout import summarise_rollout
from monitor.analysis.tokens.words import largest_words
from monitor.reading.batch_reading import Reading
from monitor.records import Array, Sample, SampleAnalysis, ServedPrediction
from monitor.replay.replayed_model import ReplayModel
from monitor.replay.tokens import Encoded


def sample_analysis(
    model: ReplayModel, sample: Sample, row: Encoded, reading: Reading, place: int, *, top: int
) -> SampleAnalysis:
    """Row ``place`` of ``reading``, with its ``top`` words by attribution and by rollout."""
    length = len(row.ids)
    spans = [(word.text, word.tokens) for word in row.words]
    values, importance = reading.token_values, reading.importance
    return SampleAnalysis(
        id=sample.id,
        time=sample.time,
        profile=reading.profile[place],
        rollout=summarise_rollout(
            reading.rollout[place, :length].copy(),
            readout=length - 1 if model.causal else 0,
            special=() if model.causal else row.special,
            words=spans if model.finding.reads_attention else (),
            top=top,
        ),
        prediction=reading.predictions[place],
        served=_in_model_words(sample.served, model.identity.labels),
        facts=row.facts,
        tokens=row.tokens,
        # every image has the same patches: that they are there says nothing
        words=() if model.reads_images else tuple(dict.fromkeys(text for text, _ in spans)),
        top_words=()
        if values is None
        else largest_words(spans, _counted(values[place, :length], causal=model.causal), top),
        head_importance=None if importance is None else importance[place],
    )


def is_finite(analysis: SampleAnalysis) -> bool:
    """Whether every number of it is one: a broken model says NaN."""
    prediction = analysis.prediction
    numbers = () if prediction is None else (prediction.probability, prediction.entropy)
    return bool(
        np.isfinite(analysis.profile).all()
        and np.isfinite(analysis.rollout.row).all()
        and np.isfinite(numbers).all()
    )


def _counted(values: Array, *, causal: bool) -> Array:
    """A decoder's first token is where attention goes that is not needed: it explains nothing."""
    return np.concatenate([values[:1] * 0, values[1:]]) if causal else values


def _in_model_words(served: ServedPrediction | None, labels: Sequence[str]) -> ServedPrediction | None:
    """Servers answer ``1`` or ``Positive`` where the model's label is ``positive``."""
    if served is None or served.label in labels:
        return served
    folded = {label.casefold(): label for label in labels}
    label = folded.get(served.label.casefold())
    if label is None and served.label.isdecimal() and int(served.label) < len(labels):
        label = labels[int(served.label)]
    return served if label is None else ServedPrediction(label=label, probability=served.probability)
