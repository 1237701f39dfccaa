"""Integrated Gradients of the demo's model on sentences that it never saw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.attribution.accuracy import reference
from examples.sentiment.texts import rotten_tomatoes
from monitor.analysis.settings import AnalysisSettings
from monitor.reading.analyser import Analyser
from monitor.records import Sample
from monitor.replay.model import load_model
from monitor.replay.settings import ModelSettings

SENTENCES, REFERENCES = 100, 40


@pytest.mark.slow
def test_attributions_of_held_out_sentences_are_complete_and_equal_three_hundred_steps(
    sentiment_model: Path,
) -> None:
    analyser = Analyser(load_model(ModelSettings(source=str(sentiment_model))), AnalysisSettings())
    texts = [labelled.text for labelled in rotten_tomatoes().held_out[-SENTENCES:]]
    attributions = analyser.attribute([Sample(id=t, time=0.0, text=t) for t in texts])
    assert all(a.relative_delta <= 0.05 and a.converged for a in attributions)
    assert np.mean([a.steps for a in attributions]) <= 24
    errors = []
    for attribution in attributions[:REFERENCES]:
        wanted = reference(analyser, attribution)
        errors.append(np.linalg.norm(attribution.values - wanted) / np.linalg.norm(wanted))
    assert np.mean(np.array(errors) <= 0.02) >= 0.99
