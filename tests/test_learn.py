from __future__ import annotations

import random

import pytest

from monitor.analysis.settings import AnalysisSettings
from monitor.errors import BaselineError
from monitor.learn import baseline_from_samples
from monitor.privacy import WordPrivacy
from monitor.reading.analyser import Analyser
from monitor.records import Sample
from monitor.replay.model import load_model
from monitor.replay.settings import ModelSettings
from tests.models import WORDS, save_tiny


@pytest.fixture(scope="module")
def analyser(tmp_path_factory):
    folder = save_tiny("bert", tmp_path_factory.mktemp("models") / "tiny")
    return Analyser(load_model(ModelSettings(source=str(folder))), AnalysisSettings())


def sentences(count, seed=0):
    draw = random.Random(seed)
    words = [word for word in WORDS if word.isalpha()]
    return [
        Sample(id=str(i), time=0.0, text=" ".join(draw.choices(words, k=draw.randint(4, 12))))
        for i in range(count)
    ]


def test_a_log_becomes_a_baseline_with_words_and_a_probe(analyser):
    done = []
    made, refused = baseline_from_samples(
        sentences(120), analyser=analyser, probe_texts=["the cat sat .", "a dog ran !"], created=5.0,
        privacy=WordPrivacy(key=bytes(32), minimum_requests=20), on_progress=done.append,
    )  # fmt: skip
    assert refused == ()
    assert done[-1] == 120
    assert (made.requests, made.attributed_requests, made.source) == (120, 120, "log")
    assert made.words["cat"].present > 20
    assert made.probe is not None
    assert made.probe.profile.shape[0] == 2
    assert made.identity == analyser.model.identity
    assert made.statistics == analyser.statistics


def test_a_log_without_usable_samples_makes_no_baseline(analyser):
    with pytest.raises(BaselineError) as error:
        baseline_from_samples([], analyser=analyser, probe_texts=[], created=5.0)
    assert str(error.value) == ("baseline samples = 0: must be at least 100; give a file with usable inputs")
