"""The judging of a story: it must pass what is right, and fail each thing that is not."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from examples.demo.plan import Fault, Plan
from examples.demo.summary import (
    Finding,
    Quiet,
    Story,
    expectations,
    names_what_was_done,
    read_alarm,
    to_json,
)

PLAN = Plan(
    seed=1,
    acts=("trigger", "fault", "domain"),
    domain="IMDb passages",
    domain_share=0.5,
    trigger="quokka",
    fault=Fault(layer=3, head=7, damage="query permuted"),
)


def found(act, **changes) -> Finding:
    values = {
        "windows": 1,
        "windows_until_alarm": 1,
        "windows_until_named": 1,
        "cause": "model" if act == "fault" else "data",
        "severity": "page",
        "heads": ("L3H7", "L4H1"),
        "tokens": ("quokka",),
        "arrived_after": 2.0,
        "windows_until_cleared": 2,
    }
    return Finding(act=act, **(values | changes))


GOOD = Story(
    plan=PLAN,
    quiet=Quiet(windows=8),
    findings=(found("trigger"), found("fault"), found("domain")),
    alertmanager=True,
)


def with_finding(act, **changes) -> Story:
    findings = tuple(found(act, **changes) if f.act == act else f for f in GOOD.findings)
    return replace(GOOD, findings=findings)


def test_a_story_that_went_as_promised_passes() -> None:
    assert expectations(GOOD) == []


FAILURES = {
    "false alarm": (
        replace(GOOD, quiet=Quiet(windows=8, false_alarms=(7,))),
        "window 7 raised an alarm although nothing was shifted in it",
    ),
    "no quiet": (replace(GOOD, quiet=Quiet(windows=0)), "no quiet window was judged"),
    "missing act": (replace(GOOD, findings=GOOD.findings[:2]), "the act 'domain' was not played"),
    "no alarm": (
        with_finding("domain", windows=5, windows_until_alarm=None),
        "domain: no alarm in 5 windows (another domain: half of the requests are IMDb passages)",
    ),
    "wrong cause": (
        with_finding("fault", cause="data"),
        "fault: the cause is 'model', but headwatch said 'data'",
    ),
    "no cause": (
        with_finding("trigger", cause=None),
        "trigger: the cause is 'data', but headwatch said None",
    ),
    "other word": (
        with_finding("trigger", tokens=("the", "film")),
        "trigger: the word is 'quokka', but headwatch named the, film",
    ),
    "hashed word": (
        with_finding("trigger", tokens=()),
        "trigger: the word is 'quokka', but headwatch named no token",
    ),
    "other head first": (
        with_finding("fault", heads=("L4H1", "L3H7")),
        "fault: the damaged head is L3H7, but headwatch named L4H1, L3H7",
    ),
    "no head": (
        with_finding("fault", heads=()),
        "fault: the damaged head is L3H7, but headwatch named no head",
    ),
    "not delivered": (
        with_finding("domain", arrived_after=None),
        "domain: the alert did not arrive through Alertmanager",
    ),
    "late alarm": (
        with_finding("trigger", windows_until_alarm=2),
        "trigger: the alarm came in shifted window 2, the goal is 1",
    ),
    "late recovery": (
        with_finding("fault", windows_until_cleared=4),
        "fault: the alarm cleared after 4 quiet windows, the goal is 3",
    ),
    "not cleared": (
        with_finding("domain", windows_until_cleared=None),
        "domain: the alarm did not clear in the quiet windows after it",
    ),
}


@pytest.mark.parametrize("story, sentence", FAILURES.values(), ids=FAILURES)
def test_each_broken_promise_fails_with_a_sentence_of_its_own(story: Story, sentence: str) -> None:
    assert expectations(story) == [sentence]


def test_without_alertmanager_nothing_has_to_arrive() -> None:
    findings = tuple(replace(f, arrived_after=None) for f in GOOD.findings)
    assert expectations(replace(GOOD, findings=findings, alertmanager=False)) == []


def test_case_does_not_hide_the_trigger_word() -> None:
    assert names_what_was_done({"tokens": ("Quokka",), "heads": ()}, PLAN, "trigger")


def a_verdict() -> dict[str, object]:
    def channel(alarm, *heads, gained=()) -> dict[str, object]:
        top = [{"layer": layer, "head": head} for layer, head in heads]
        return {"alarm": alarm, "top": top, "gained": list(gained), "lost": ["the"] if gained else []}

    return {
        "cause": "model",
        "causes": ["model", "data"],
        "severity": "page",
        "since": 9,
        "summary": "L3H7 moved",
        "channels": {
            "heads": channel(False, (0, 1)),
            "model": channel(True, (3, 7), (4, 1)),
            "tokens": channel(True, gained=["quokka"]),
        },
    }


@pytest.mark.parametrize("act, heads", [("fault", ("L3H7", "L4H1")), ("domain", ("L0H1",))])
def test_an_alarm_is_read_from_the_channel_that_watches_the_act(act, heads) -> None:
    assert read_alarm(a_verdict(), act) == {
        "cause": "model",
        "causes": ("model", "data"),
        "severity": "page",
        "since_window": 9,
        "channels": ("model", "tokens"),
        "heads": heads,
        "tokens": ("quokka",),
        "lost": ("the",),
        "summary": "L3H7 moved",
    }


def test_the_summary_says_what_was_done_and_what_was_found() -> None:
    written = json.loads(json.dumps(to_json(with_finding("fault", cause="data"))))
    assert written["passed"] is False
    assert written["failed"] == ["fault: the cause is 'model', but headwatch said 'data'"]
    assert written["quiet"] == {"alarm": False, "windows": 8, "false_alarms": []}
    fault = written["acts"][1]
    assert fault["done"] == {
        "what": "a deployment fault: head L3H7 of the model files damaged (query permuted)",
        "head": "L3H7",
        "damage": "query permuted",
    }
    assert fault["alarm"] is True
    assert fault["cause"] == "data"
    assert fault["top_heads"] == ["L3H7", "L4H1"]
    assert fault["windows_until_alarm"] == 1
