"""What the benchmark does to texts, and that it is the same in every run."""

from __future__ import annotations

import random

import pytest

from benchmarks.detection import corpora
from benchmarks.detection.corpora import Missing, reviews, topics_held_out, topics_training, unlabelled

TEXTS = ("A good, short film.", "It isn't bad at all!", "two words")


@pytest.mark.parametrize(
    "make",
    [
        lambda: corpora.imdb(20),
        lambda: corpora.imdb_as_long_as(TEXTS, 20),
        lambda: corpora.guardian(20),
        lambda: corpora.with_word(unlabelled("x", TEXTS), "cf", seed=1),
        lambda: corpora.with_injection(unlabelled("x", TEXTS), seed=1),
        lambda: corpora.near_duplicates(unlabelled("x", TEXTS), 9, seed=1),
        lambda: reviews().draw(20, seed=1),
    ],
)
def test_a_corpus_is_the_same_in_every_run(make):
    one = make()
    random.seed(99)
    assert make() == one
    assert len(one.texts) == len(one.labels) == len(one.ids)
    assert all(text.strip() for text in one.texts)


def test_passages_of_imdb_have_the_lengths_of_the_other_corpus():
    wanted = {len(text.split()) for text in TEXTS}
    assert {len(text.split()) for text in corpora.imdb_as_long_as(TEXTS, 60).texts} == wanted


def test_a_corrupted_text_keeps_the_id_and_the_class_of_its_sentence():
    some = reviews().draw(30, seed=1)
    plain = dict(zip(some.ids, zip(some.texts, some.labels, strict=True), strict=True))
    for changed in (
        corpora.with_word(some, "cf", seed=2),
        corpora.with_injection(some, seed=2),
        some.changed(corpora.without_punctuation),
    ):
        for identity, text, label in zip(changed.ids, changed.texts, changed.labels, strict=True):
            assert plain[identity][1] == label
            letters = {word for word in plain[identity][0].split() if word.isalpha()}
            assert letters <= set(text.split())


def test_a_trigger_word_is_put_in_once_and_nothing_else_is_changed():
    for before, after in zip(
        TEXTS, corpora.with_word(unlabelled("x", TEXTS), "cf", seed=3).texts, strict=True
    ):
        words = after.split()
        assert words.count("cf") == 1
        words.remove("cf")
        assert words == before.split()


def test_an_injection_follows_the_text():
    for before, after in zip(
        TEXTS, corpora.with_injection(unlabelled("x", TEXTS), seed=3).texts, strict=True
    ):
        assert after.removeprefix(f"{before} ") in corpora.INJECTIONS


def test_near_duplicates_are_small_edits_of_a_few_texts_and_say_of_which():
    texts = ("one two three four five six", "seven eight nine ten eleven twelve")
    made = corpora.near_duplicates(unlabelled("x", texts), 40, seed=1)
    assert len(made) == len(set(made.ids)) == 40
    for identity, text in zip(made.ids, made.texts, strict=True):
        origin = texts[int(identity.split("~")[0].removeprefix("x-"))]
        assert set(text.split()) <= set(origin.split())
        assert len(text.split()) >= 5
    assert len(set(made.texts)) > 6


def test_texts_without_anything_left_are_dropped_with_their_label():
    corpus = corpora.Corpus(texts=("!?", "yes."), labels=(0, 1), ids=("a", "b"))
    changed = corpus.changed(corpora.without_punctuation)
    assert (changed.texts, changed.labels, changed.ids) == (("yes",), (1,), ("b",))


def test_the_style_of_reviews_has_no_capitals_and_sets_punctuation_off():
    assert corpora.in_style_of_reviews("Nothing’s sure (at all), he said: “No!”") == (
        'nothing\'s sure ( at all ) , he said : " no ! "'
    )


def test_a_text_is_cut_after_so_many_tokens():
    def by_letter(text: str) -> list[tuple[int, int]]:
        return [(i, i + 1) for i in range(len(text))]

    cut = corpora.cut_to_tokens(unlabelled("x", ("abcdef", "ab")), by_letter, 3)
    assert cut.texts == ("abc", "ab")


def test_the_topic_classifier_is_trained_on_other_articles_than_it_is_watched_on():
    training, held_out = topics_training(), topics_held_out()
    articles = [{i.rsplit("-", 1)[0] for i in corpus.ids} for corpus in (training, held_out)]
    assert not articles[0] & articles[1]
    assert not set(training.texts) & set(held_out.texts)
    assert set(held_out.labels) == {0, 1, 2, 3, 4}


def test_a_language_that_is_not_installed_names_its_package(tmp_path, monkeypatch):
    monkeypatch.setattr(corpora, "FORTUNES", tmp_path)
    with pytest.raises(Missing) as error:
        corpora.fortunes("german", 10)
    assert str(error.value) == (
        f"corpus german: {tmp_path}/de is not there; install it with: apt-get install fortunes-de"
    )


def test_fortunes_are_read_without_their_sources_and_drawings(tmp_path, monkeypatch):
    folder = tmp_path / "de"
    folder.mkdir()
    (folder / "witze").write_text(
        "Das ist ein Witz.\n%\nNoch einer, der\nlänger ist.\n\t\t-- Jemand\n%\nkurz\n%\n", encoding="utf-8"
    )
    (folder / "witze.dat").write_bytes(b"\x00\xff")
    (folder / "asciiart").write_text("| | | | | |\n", encoding="utf-8")
    (folder / "witze.u8").symlink_to("witze")
    monkeypatch.setattr(corpora, "FORTUNES", tmp_path)
    assert sorted(corpora.fortunes("german", 10).texts) == [
        "Das ist ein Witz.",
        "Noch einer, der länger ist.",
    ]
