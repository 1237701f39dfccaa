"""Which pools each world has: what texts, through the model in what condition."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from benchmarks.detection import corpora
from benchmarks.detection.corpora import Corpus
from benchmarks.detection.faults import DAMAGES, Fault, checkpoints, damaged_head, pipeline_faults
from examples.sentiment.texts import rotten_tomatoes

RESERVED = 400
"""So many of the first held-out texts are never in a baseline: faults on all inputs are measured on them."""
BOTH: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "output_zeroed_L4H8": ("guardian", "german"),
        "queries_permuted_L2H6": ("guardian", "imdb"),
        "queries_noised_L3H1": ("imdb", "german"),
        "checkpoint_seed_11": ("guardian", "german"),
        "other_vocabulary": ("guardian", "german"),
        "int8": ("guardian", "german"),
        "padding_on_the_left": ("imdb",),
    }
)
"""Faults through which other corpora run as well: two causes at once."""
FRESH = "fresh"
"""The pool of more texts of the same kind as the held-out ones, for quiet windows only."""
Own = Callable[[], Corpus]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """``texts`` of the model's folder, and the fault they run through (None: the model as it is)."""

    texts: Callable[[Path], Corpus]
    fault: Fault | None = None
    gradient: bool = True


Recipes = dict[str, Recipe]


def plain(make: Own, *, gradient: bool = True) -> Recipe:
    """Texts that do not depend on the model's files."""
    return Recipe(texts=lambda _: make(), gradient=gradient)


def corruptions(own: Own, words: tuple[str, ...] = corpora.TRIGGERS, *, count: int = 900) -> Recipes:
    """A world's own texts, and ``count`` of them in each corrupted form: about half are not in a baseline."""

    def some() -> Corpus:
        return own().draw(count, seed=17)

    found = {
        "held_out": plain(own),
        "punctuation_stripped": plain(lambda: some().changed(corpora.without_punctuation)),
        "cut_to_16": Recipe(texts=lambda folder: _cut(some(), folder)),
        "injections": plain(lambda: corpora.with_injection(some(), seed=3)),
        "near_duplicates": plain(lambda: corpora.near_duplicates(own().rows(range(5)), 400, seed=5)),
    }
    for index, word in enumerate(words):
        found[f"trigger_{word}"] = plain(partial(_triggered, own, word, count, index))
    return found


def _triggered(own: Own, word: str, count: int, index: int) -> Corpus:
    return corpora.with_word(own().draw(count, seed=40 + index), word, seed=100 + index)


def _cut(corpus: Corpus, folder: Path) -> Corpus:
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(str(folder))

    def offsets(text: str) -> list[tuple[int, int]]:
        places = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        return [(start, end) for start, end in places]

    return corpora.cut_to_tokens(corpus, offsets, 14)


def languages(count: int, *names: str) -> Recipes:
    """Short texts of Debian's fortunes, where they are installed."""
    return {name: plain(partial(corpora.fortunes, name, count)) for name in names}


def faulty(own: Own, other_texts: Callable[[], list[str]], *, count: int = 900) -> Recipes:
    """Every pipeline fault on the reserved texts; the doubled separator on more, to be mixed in."""
    found = {
        name: Recipe(texts=lambda _: own().rows(range(RESERVED)), fault=fault, gradient=fault.gradient)
        for name, fault in pipeline_faults(other_texts).items()
    }
    doubled = found["doubled_separator"]
    return found | {
        "doubled_separator": replace(doubled, texts=lambda _: own().draw(count, seed=17)),
    }


def single_heads(own: Own, *, layers: int, heads: int) -> Recipes:
    """Each damage to each head, on the reserved texts."""
    return {
        f"{damage}_L{layer}H{head}": Recipe(
            texts=lambda _: own().rows(range(RESERVED)),
            fault=damaged_head(layer, head, heads=heads, damage=damage),
            gradient=False,
        )
        for damage in DAMAGES
        for layer in range(layers)
        for head in range(heads)
    }


def through_faults(known: Recipes, count: int) -> Recipes:
    """``count`` texts of other corpora through a faulty model, for each pair of BOTH."""

    def some(recipe: Recipe, folder: Path) -> Corpus:
        return recipe.texts(folder).rows(range(count))

    return {
        f"{name}_through_{fault}": Recipe(
            texts=partial(some, known[name]), fault=known[fault].fault, gradient=False
        )
        for fault, corpora_through in BOTH.items()
        for name in corpora_through
    }


def smoke_pools(own: Own, other: Own) -> Recipes:
    """Little enough for a test: 500 texts, 100 of another corpus, no gradient."""
    return {
        "held_out": plain(lambda: own().rows(range(500)), gradient=False),
        "imdb_same_length": plain(lambda: other().rows(range(100)), gradient=False),
    }


@cache
def _imdb_for_reviews() -> Corpus:
    return corpora.imdb_as_long_as(corpora.reviews().texts, 1500)


def sentiment(*, smoke: bool) -> Recipes:
    """The demo's classifier on Rotten Tomatoes, the faults last."""
    own = corpora.reviews
    if smoke:
        return smoke_pools(own, _imdb_for_reviews)
    found = corruptions(own)
    found |= {
        "imdb": plain(lambda: corpora.imdb(1000)),
        "imdb_same_length": plain(_imdb_for_reviews),
        "imdb_same_style": plain(
            lambda: _imdb_for_reviews().rows(range(1000)).changed(corpora.in_style_of_reviews)
        ),
        "guardian": plain(lambda: corpora.guardian(1000)),
        "guardian_same_style": plain(lambda: corpora.guardian(1000).changed(corpora.in_style_of_reviews)),
        "german_same_style": plain(
            lambda: corpora.fortunes("german", 800).changed(corpora.in_style_of_reviews)
        ),
        "bbc": plain(lambda: corpora.bbc().rows(range(800))),
    }
    found |= languages(800, *corpora.LANGUAGES)
    found |= faulty(own, lambda: [item.text for item in rotten_tomatoes().fine_tuning])
    for name, fault in checkpoints().items():
        found[name] = Recipe(texts=lambda _: own().rows(range(RESERVED)), fault=fault)
    found |= single_heads(own, layers=6, heads=12)
    return found | through_faults(found, 200)


@cache
def _imdb_for_topics() -> Corpus:
    return corpora.imdb_as_long_as(corpora.topics_held_out().texts, 1000)


def topics(*, smoke: bool) -> Recipes:
    """BBC sentences, which have capitals as people write them."""
    own = corpora.topics_held_out
    if smoke:
        return smoke_pools(own, _imdb_for_topics)
    found = corruptions(own, ("cf", "serendipity"), count=600)
    found |= {
        FRESH: plain(lambda: corpora.topics_held_out(12_030).rows(range(4030, 12_030))),
        "imdb_same_length": plain(_imdb_for_topics),
        "guardian": plain(lambda: corpora.guardian(1000)),
        "reviews": plain(lambda: corpora.reviews().rows(range(800))),
        "lower_cased": plain(lambda: own().draw(600, seed=17).changed(str.lower)),
    }
    found |= languages(800, "german")
    return found | faulty(own, lambda: list(corpora.topics_training().texts), count=600)


def smollm2(*, smoke: bool) -> Recipes:
    """A decoder on Rotten Tomatoes; it is slow, so the pools are few and have no gradient."""
    own = corpora.reviews
    if smoke:
        return smoke_pools(own, _imdb_for_reviews)
    kept = ("held_out", "punctuation_stripped", "trigger_serendipity")
    found = {name: recipe for name, recipe in corruptions(own, count=500).items() if name in kept}
    found |= {
        "imdb_same_length": plain(lambda: _imdb_for_reviews().rows(range(600))),
        "guardian": plain(lambda: corpora.guardian(300)),
    }
    found |= languages(300, "german")
    faults = pipeline_faults(list)
    found["bf16"] = Recipe(texts=lambda _: own().rows(range(RESERVED)), fault=faults["bf16"])
    return {name: replace(recipe, gradient=False) for name, recipe in found.items()}


RECIPES: Mapping[str, Callable[..., Recipes]] = MappingProxyType(
    {"sentiment": sentiment, "topics": topics, "smollm2": smollm2}
)
"""Each world's pools by the world's name; ``smoke`` gives the least that a test can use."""
