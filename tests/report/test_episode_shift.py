"""Whether a drift of the traffic is told as one word or as texts that read differently as a whole."""

from __future__ import annotations

from dataclasses import replace

import pytest

from monitor.records import MeasureEvidence, WordEvidence
from monitor.report.episode_sentences import headline, sentences
from monitor.report.episode_steps import steps
from tests.report import episodes

REPORT = episodes.report()
HASH = "#c5d94b97f791adf2"


def word(name, before, after, *, evidence=50.0, kind="present"):
    return WordEvidence(
        word=name, kind=kind, evidence=evidence, before=before, after=after, requests=int(400 * after)
    )


def measure(name, before, after, effect):
    return MeasureEvidence(measure=name, evidence=20.0, before=before, after=after, effect=effect)


def told(*, words=(), measures=(), heads=False, shape=True):
    """The report with these words in alarm, and these measures where there are any."""
    channels = dict(REPORT.verdict.channels)
    tokens = channels["tokens"]
    channels["tokens"] = replace(
        tokens,
        alarm=bool(words),
        gained=tuple(one for one in words if one.after >= one.before),
        lost=tuple(one for one in words if one.after < one.before),
    )
    channels["input"] = replace(channels["input"], alarm=bool(measures) and shape, measures=tuple(measures))
    for name in ("heads", "rollout", "prediction"):
        channels[name] = replace(channels[name], alarm=heads and name == "heads")
    return replace(REPORT, verdict=replace(REPORT.verdict, channels=channels))


# What the demo's shift to IMDb passages gave, its numbers included.
DOMAIN = {
    "words": (
        word(".", 0.97, 0.69, evidence=104),
        word(HASH, 0.013, 0.149, evidence=72),
        word("i", 0.05, 0.23),
    ),
    "measures": (
        measure("uppercase_share", 0.0, 0.035, 15.46),
        measure("tokens_per_word", 1.124, 1.057, -0.46),
        measure("surprisal", 3.784, 3.808, 0.05),
    ),
}


def test_another_domain_is_told_by_its_measures_and_by_words_that_may_be_shown():
    report = told(**DOMAIN)
    assert headline(report) == (
        "The texts read differently: more capital letters, words cut into fewer pieces and other words"
    )
    assert sentences(report)[0][1] == (
        "Since 21 Sep 2026, 14:25 UTC (window 2), the texts as a whole read differently: more capital "
        "letters (0 % → 3.5 % of the letters), words cut into fewer pieces (1.12 → 1.06 tokens a word) and "
        "other words (“i” 5 % → 23 % and “.” 97 % → 69 % of the requests)."
    )
    assert steps(report)[0].startswith("Find out who sends the traffic and what changed: a new sender")


@pytest.mark.parametrize("name", [HASH, "uk"])
def test_a_new_word_among_texts_of_another_shape_is_not_the_headline(name):
    # a tenth of the requests hold it: it cannot have moved the mean of all by ten sd
    report = told(words=(word(name, 0.0, 0.11),), measures=(measure("uppercase_share", 0.0, 0.026, 9.8),))
    assert headline(report) == "The texts read differently: more capital letters and other words"
    assert HASH not in sentences(report)[0][1]


def test_a_trigger_word_stays_the_headline_where_it_alone_makes_texts_longer_and_rarer():
    report = told(
        words=(word("zebra", 0.0, 1.0), word("quartz", 0.0, 1.0)),
        measures=(measure("surprisal", 3.0, 9.0, 18.0), measure("log_tokens", 2.3, 2.5, 0.6)),
    )
    assert headline(report) == "New in the inputs: the word “zebra”"


def test_words_that_are_all_hidden_are_counted_among_other_words_and_not_named():
    report = told(words=tuple(word(f"#{place:016x}", 0.0, 0.04) for place in range(5)))
    assert headline(report) == "The texts read differently: other words"
    assert sentences(report)[0][1].endswith("other words (hidden here, for too few requests share each).")


def test_rarer_words_are_told_with_the_words():
    report = told(
        words=(word("uk", 0.0, 0.09), word(".", 0.98, 0.52)), measures=(measure("surprisal", 3.0, 4.0, 1.4),)
    )
    assert headline(report) == "The texts read differently: other and rarer words"


def test_a_shape_alone_is_told_by_its_strongest_measures_with_figures_that_people_know():
    report = told(measures=(measure("log_tokens", 3.0, 4.0, 1.3), measure("truncated", 0.01, 0.2, 0.9)))
    assert headline(report) == "The texts read differently: longer texts and more texts cut short"
    assert sentences(report)[0][1].endswith(
        "longer texts (about 20 → 55 tokens) and more texts cut short (1 % → 20 % of the texts)."
    )


def test_a_measure_that_chance_could_have_moved_is_not_told():
    report = told(measures=(measure("log_tokens", 3.0, 4.0, 1.3), measure("truncated", 0.01, 0.011, 0.01)))
    assert headline(report) == "The texts read differently: longer texts"


def test_attention_alone_is_told_by_its_heads():
    assert headline(told(heads=True)).startswith("Attention changed on the traffic: head L1H2")


def test_what_would_turn_or_hide_in_a_word_is_shown_as_its_number():
    report = told(words=(word("ev\u202eil\u200b", 0.0, 0.2),))
    assert headline(report) == "New in the inputs: the word “ev⟨U+202E⟩il⟨U+200B⟩”"
    long = told(words=(word("x" * 500, 0.0, 0.2),))
    assert headline(long) == f"New in the inputs: the word “{'x' * 60}…”"
