"""What a seed decides, and the texts that follow from it."""

from __future__ import annotations

import re

import pytest

from examples.demo.plan import ACTS, DAMAGES, DOMAINS, TRIGGER_WORDS, Act, Fault, Plan, describe, draw_plan
from examples.demo.traffic import Traffic
from examples.sentiment.texts import guardian_headlines, imdb_sentences, rotten_tomatoes


def a_plan(**changes) -> Plan:
    values = {
        "seed": 1,
        "acts": ACTS,
        "domain": "IMDb passages",
        "domain_share": 0.5,
        "trigger": "quokka",
        "fault": Fault(layer=2, head=5, damage="value zeroed"),
    }
    return Plan(**(values | changes))


def test_a_seed_always_draws_the_same_plan() -> None:
    assert draw_plan(11, layers=6, heads=12) == draw_plan(11, layers=6, heads=12)


def test_seeds_draw_every_order_domain_word_and_damage() -> None:
    plans = [draw_plan(seed, layers=6, heads=12) for seed in range(300)]
    assert len({plan.acts for plan in plans}) == 6
    assert {plan.domain for plan in plans} == set(DOMAINS)
    assert {plan.trigger for plan in plans} == set(TRIGGER_WORDS)
    assert {plan.fault.damage for plan in plans} == set(DAMAGES)
    assert {plan.fault.layer for plan in plans} == set(range(6))
    assert {plan.fault.head for plan in plans} == set(range(12))


def test_no_trigger_word_occurs_in_the_sentences_of_the_baseline() -> None:
    pools = rotten_tomatoes()
    words = {
        word for one in (*pools.fine_tuning, *pools.held_out) for word in re.findall(r"\w+", one.text.lower())
    }
    assert words.isdisjoint(TRIGGER_WORDS)


def test_no_sentence_of_a_story_was_trained_on_or_is_sent_twice() -> None:
    traffic = Traffic(a_plan())
    sent = traffic.baseline(1200)
    for _ in range(14):
        sent = [*sent, *traffic.window(None, 200)]
    assert len(set(sent)) == len(sent) == 4000
    assert set(sent).isdisjoint(one.text for one in rotten_tomatoes().fine_tuning)


def test_an_exhausted_pool_starts_over_without_touching_the_baseline() -> None:
    traffic = Traffic(a_plan())
    baseline = set(traffic.baseline(1200))
    for _ in range(40):
        assert baseline.isdisjoint(traffic.window(None, 200))


@pytest.mark.parametrize("act", [None, *ACTS])
def test_the_same_seed_sends_the_same_texts(act: Act | None) -> None:
    def texts() -> list[str]:
        traffic = Traffic(a_plan(seed=4))
        traffic.baseline(1200)
        return [*traffic.window(act, 200), *traffic.window(act, 200)]

    assert texts() == texts()


def test_the_trigger_word_stands_in_exactly_a_tenth_of_the_inputs_at_changing_places() -> None:
    traffic = Traffic(a_plan())
    texts = [text.split() for text in traffic.window("trigger", 200)]
    places = [words.index("quokka") for words in texts if "quokka" in words]
    assert len(places) == 20
    assert len(set(places)) > 5


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_the_other_domain_makes_up_its_share_of_a_window(share: float) -> None:
    traffic = Traffic(a_plan(domain="Guardian headlines", domain_share=share))
    headlines = set(guardian_headlines())
    assert sum(text in headlines for text in traffic.window("domain", 200)) == 200 * share


def test_imdb_passages_have_the_lengths_that_were_asked_for() -> None:
    lengths = [len(passage.split()) for passage in imdb_sentences([5, 12, 30], seed=2)]
    assert lengths == [5, 12, 30]


def test_the_fault_leaves_the_texts_alone() -> None:
    quiet, fault = Traffic(a_plan()), Traffic(a_plan())
    assert quiet.window(None, 200) == fault.window("fault", 200)


@pytest.mark.parametrize(
    "act, told",
    [
        ("domain", "another domain: half of the requests are IMDb passages"),
        ("trigger", "a trigger word: 'quokka' slipped into a tenth of the inputs"),
        ("fault", "a deployment fault: head L2H5 of the model files damaged (value zeroed)"),
    ],
)
def test_each_act_is_described_in_one_line(act: Act, told: str) -> None:
    assert describe(a_plan(), act) == told
