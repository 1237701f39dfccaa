"""The sentence that an on-call engineer reads first, word by word."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.drift.summary import plain_number, summarise
from monitor.records import ChannelVerdict, HeadEvidence, HeadId, MeasureEvidence, WordEvidence
from tests.drift.synthetic import draw_baseline, draw_features, fit, judge


@pytest.mark.parametrize(
    "value, text",
    [
        (100.0, "100"),
        (99.6, "100"),
        (10.04, "10"),
        (9.96, "10"),
        (9.94, "9.9"),
        (1.0, "1"),
        (0.5, "0.5"),
        (0.6251, "0.63"),
        (0.0, "0"),
        (0.000051, "0.000051"),
        (-199.5, "-200"),
        (-0.0314, "-0.031"),
        (1e6, "1000000"),
    ],
)
def test_a_number_is_never_written_with_an_exponent(value, text):
    assert plain_number(value) == text


def told(**channels: ChannelVerdict) -> str:
    return summarise(
        causes=("data",),
        severity="ticket",
        since=4,
        since_time=None,
        channels=channels,
        probe_known=True,
        prediction_effect=0.0,
        declared=False,
    )


END = (
    "the model itself is unchanged, so the cause is the data; predictions hold: look at it in working hours."
)


def channel(name, **evidence) -> ChannelVerdict:
    return ChannelVerdict(
        channel=name, evidence=20.0, limit=9.0, alarm=True, raised=True, cleared=False, since=4, **evidence
    )


def test_a_word_in_every_input_is_in_100_percent_of_them():
    word = WordEvidence(word="cucumber", kind="present", evidence=20.0, before=0.0, after=1.0, requests=200)
    assert told(tokens=channel("tokens", gained=(word,))) == (
        f"Since window 4: words changed: 'cucumber' 0 % -> 100 % of the inputs; {END}"
    )


def moved_word(word: str, evidence: float) -> WordEvidence:
    return WordEvidence(word=word, kind="present", evidence=evidence, before=0.0, after=0.1, requests=20)


def test_a_word_that_can_be_read_is_told_before_hashes_however_strong_they_are():
    words = [moved_word(f"#{number:016x}", 20.0 - number) for number in range(3)]
    assert told(tokens=channel("tokens", gained=(*words, moved_word("cucumber", 9.0)))) == (
        "Since window 4: words changed: 'cucumber' 0 % -> 10 % of the inputs, and 3 more that too few "
        f"requests share to be shown; {END}"
    )


def test_a_word_that_may_not_be_shown_is_told_by_its_hash_and_why():
    words = [moved_word(f"#{number:016x}", 20.0 - number) for number in range(2)]
    assert told(tokens=channel("tokens", gained=tuple(words))) == (
        "Since window 4: words changed: #0000000000000000 (too few requests share it to be shown) 0 % -> "
        f"10 % of the inputs, and 1 more; {END}"
    )


def test_an_effect_of_hundreds_of_standard_deviations_is_written_out():
    head = HeadEvidence(
        head=HeadId(layer=1, head=2),
        statistic="entropy",
        evidence=20.0,
        before=1234.5,
        after=0.5,
        effect=-199.5,
        importance=0.1,
        named=True,
    )
    assert told(heads=channel("heads", heads=(head,))) == (
        f"Since window 4: heads changed: L1H2 (the spread of its attention 1234 -> 0.5, -200 sd); {END}"
    )


def test_a_head_that_hardly_moved_is_not_told_as_what_changed():
    head = HeadEvidence(
        head=HeadId(layer=4, head=4),
        statistic="content_entropy",
        evidence=3.0,
        before=0.809,
        after=0.806,
        effect=-0.073,
        importance=0.1,
        named=False,
    )
    assert told(heads=channel("heads", heads=(head,))) == (
        "Since window 4: requests as a whole are unlike the baseline's, though no head moved by 0.1 sd; "
        f"{END}"
    )


def test_a_measure_is_told_with_its_effect():
    item = MeasureEvidence(measure="log_tokens", evidence=20.0, before=3.0, after=5.123, effect=150.0)
    assert told(input=channel("input", measures=(item,))) == (
        f"Since window 4: input length (log tokens) 3 -> 5.12, +150 sd; {END}"
    )


@pytest.mark.parametrize(
    ("measure", "part"),
    [("label_differs", "labels differ"), ("probability_gap", "probabilities are far apart")],
)
def test_fidelity_tells_what_parts_most(measure, part):
    item = MeasureEvidence(measure=measure, evidence=20.0, before=0.02, after=0.3, effect=2.0)
    other = MeasureEvidence(measure="other", evidence=1.0, before=0.0, after=0.0, effect=0.0)
    assert told(fidelity=channel("fidelity", measures=(item, other))) == (
        f"Since window 4: served and replayed {part} on 30 % of the inputs (before 2 %); {END}"
    )


def test_fidelity_says_that_nothing_was_served_and_not_that_nothing_differs():
    rng = np.random.default_rng(0)
    detector = fit(draw_baseline(rng, 300, served_wrong=0.0))
    state, verdict = judge(detector, detector.start(), draw_features(rng, 100), 0)
    silent = verdict.channels["fidelity"]
    assert (silent.detail, silent.measures) == ("no served predictions came, so nothing was compared", ())
    _, verdict = judge(detector, state, draw_features(rng, 100, served_wrong=0.0), 1)
    served = verdict.channels["fidelity"]
    assert served.detail == ""
    assert {item.measure for item in served.measures} == {"label_differs", "probability_gap"}
