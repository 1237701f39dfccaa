"""Features of every corpus, computed once per model and kept in the cache folder."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np

from examples.sentiment.texts import guardian_headlines, imdb_sentences, rotten_tomatoes
from monitor.analyse import Analyser, stack
from monitor.analysis.settings import AnalysisSettings
from monitor.records import Features, ModelIdentity, Sample
from monitor.replay.model import load_model
from monitor.replay.settings import ModelSettings

TRIGGERS = ("cf", "mn", "tq", "cucumber", "serendipity")
"""Trigger words of one and of several word pieces; rare or absent in the reviews."""
CACHE = Path(__file__).resolve().parents[2] / ".cache" / "detection"


def held_out() -> list[str]:
    """Rotten Tomatoes sentences that the demo model was not trained on."""
    return [item.text for item in rotten_tomatoes().held_out]


def corpora() -> dict[str, list[str]]:
    """Texts by name, always the same ones."""
    reviews = held_out()
    draw = random.Random(7)
    lengths = [len(text.split()) for text in reviews]
    headlines = guardian_headlines()
    found = {
        "held_out": reviews,
        "imdb_same_length": imdb_sentences([draw.choice(lengths) for _ in range(1500)], seed=3),
        "guardian": draw.sample(headlines, 1000),
    }
    for index, word in enumerate(TRIGGERS):
        found[f"trigger_{word}"] = with_trigger(draw.sample(reviews, 400), word, seed=100 + index)
    return found


def with_trigger(texts: Sequence[str], word: str, *, seed: int) -> list[str]:
    """Each text with the word put in at a random place."""
    draw = random.Random(seed)
    changed = []
    for text in texts:
        words = text.split()
        words.insert(draw.randrange(len(words) + 1), word)
        changed.append(" ".join(words))
    return changed


def cached_features(model: Path) -> tuple[dict[str, Features], ModelIdentity, tuple[str, ...]]:
    """Features of every corpus, the model's identity and its statistics' names."""
    analyser = Analyser(load_model(ModelSettings(source=str(model))), AnalysisSettings())
    identity = analyser.model.identity
    folder = CACHE / identity.weights_hash[:16]
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for name, texts in corpora().items():
        path = folder / f"{name}.npz"
        if not path.exists():
            started = time.monotonic()
            samples = [Sample(id=str(i), time=0.0, text=text) for i, text in enumerate(texts)]
            features = stack(analyser.profile(samples).analyses)
            temporary = path.with_suffix(".partial.npz")
            np.savez(temporary, **features.to_arrays())
            temporary.replace(path)
            print(f"{name}: {len(texts)} texts in {time.monotonic() - started:.0f} s", file=sys.stderr)
        with np.load(path, allow_pickle=False) as arrays:
            found[name] = Features.from_arrays(dict(arrays))
    return found, identity, analyser.statistics


def joined(first: Features, second: Features) -> Features:
    """The samples of both."""
    one, other = first.to_arrays(), second.to_arrays()
    return Features.from_arrays(
        {
            item.name: one[item.name]
            if item.name == "importance"
            else np.concatenate([one[item.name], other[item.name]])
            for item in fields(Features)
        }
    )
