from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from exporters.alerts.rules import CHANNEL_ALERTS, alert_rules, page_name
from exporters.mlflow.links import Page, body_of, episode_note
from exporters.mlflow.metrics import NAME_LIMIT, metric_name, window_metrics
from exporters.mlflow.text import CUT, closed_name, duration, fitting, sentences
from monitor.records import CHANNELS, Suspicion
from tests.exporters.scenes import alarmed, channel, cleared, model_changed, quiet

RUNBOOKS = Path(__file__).parents[2] / "docs" / "runbooks"
PAGE = Page(experiment="1", run="abc")


def test_a_record_without_a_report_still_says_what_changed_why_and_whether_it_matters():
    cut = Suspicion(name="truncation", sign="inputs of exactly 16 tokens: 2.6 % -> 11 %")
    verdict = replace(model_changed(), causes=("model", "data"), declared=True, suspicions=(cut,), since=None)
    told = dict(sentences(verdict.to_json()))
    assert list(told) == ["What changed", "Why", "Does it matter"]
    assert told["What changed"] == (
        "Since 2026-09-21 15:10 UTC sentiment is not as in its baseline b1: 2 attention heads (L3H7, L5H0), "
        "the words (most “refund”) and the model's answers to the fixed probe inputs changed."
    )
    assert told["Why"] == (
        "The cause is the model: it is not the one that the baseline was made with; beside it the data "
        "changed too; a rollout was declared, so a change was expected; it looks like truncation "
        "(inputs of exactly 16 tokens: 2.6 % -> 11 %)."
    )
    assert told["Does it matter"] == "Yes: look at it now (critical, page)."


def test_an_upgrade_is_named_with_both_versions():
    alarm = replace(channel("rollout", 11.0), alarm=True)
    verdict = replace(
        alarmed(),
        causes=("environment",),
        severity="note",
        upgrades=("torch 2.13.0 -> 3.0",),
        channels={"rollout": alarm},
    )
    what, why, harm = (sentence for _, sentence in sentences(verdict.to_json()))
    assert what.endswith("baseline b1: the flow of attention changed.")
    assert why == (
        "The cause is the environment: the same weights give other numbers; upgraded: torch 2.13.0 -> 3.0."
    )
    assert harm == (
        "Not as far as can be seen: nothing needs to be done now (info, note); "
        "the predictions raise no alarm."
    )


def test_the_body_of_a_note_is_found_between_its_links_even_when_a_user_rewrote_it():
    for body in ("**What changed:** heads.\n\n- L1H2", "The on-call wrote this.", ""):
        note = episode_note(
            body,
            page=PAGE,
            files={"opened": ["head_map.png"], "closed": []},
            newest="opened",
            day=PAGE,
            baseline=PAGE,
            channels=["heads"],
            runbooks=None,
        )
        assert body_of(note) == body
    assert body_of("The on-call deleted all links.") == "The on-call deleted all links."


def test_of_many_widenings_the_newest_three_are_linked():
    files = {"opened": ["head_map.png"], **{f"widened-{n:06d}": ["head_map.png"] for n in range(10, 15)}}
    note = episode_note(
        "",
        page=PAGE,
        files=files,
        newest="widened-000014",
        day=PAGE,
        baseline=PAGE,
        channels=[""],
        runbooks=None,
    )
    assert [line.partition(":")[0] for line in note.splitlines() if line.startswith("- ")] == [
        "- when it began",
        "- when it widened (window 12)",
        "- when it widened (window 13)",
        "- when it widened (window 14)",
        "- and 2 times between",
        "- all windows of the day",
        "- what it is compared with",
    ]


def test_every_channel_has_the_runbook_that_its_alert_links_to():
    rules = [rule for group in alert_rules()["groups"] for rule in group["rules"]]
    pages = {rule["alert"]: rule["annotations"]["runbook_url"].rpartition("/")[2] for rule in rules}
    assert set(CHANNEL_ALERTS) == set(CHANNELS)
    for alert in CHANNEL_ALERTS.values():
        assert pages[alert] == page_name(alert)
        assert (RUNBOOKS / page_name(alert)).exists()


@pytest.mark.parametrize(
    "end, name",
    [
        (12, "Drift of sentiment from 2026-09-21 15:10 to 15:20 UTC"),
        (12 + 288, "Drift of sentiment from 2026-09-21 15:10 to 2026-09-22 15:20 UTC"),
    ],
)
def test_a_closed_episodes_name_has_the_day_of_its_end_where_it_is_another(end, name):
    assert closed_name("Drift of sentiment since 2026-09-21 15:10 UTC", cleared(end).to_json()) == name


def test_a_note_is_cut_after_a_whole_line_and_says_so():
    note = "\n".join(f"- line {n}" for n in range(100))
    assert fitting(note, 5000) == note
    cut = fitting(note, 200)
    assert len(cut) <= 200
    kept, _, said = cut.partition("\n\n")
    assert said == CUT
    assert note.startswith(f"{kept}\n")


def test_metric_names_are_what_mlflow_takes_whatever_a_label_is_called():
    assert metric_name("prediction/probability of <b>é(1/2)") == "prediction/probability of b é 1 2"
    assert len(metric_name(f"prediction/{'x' * 300}")) == 250


def test_labels_that_would_become_one_metric_keep_their_own_names_in_every_window():
    labels = ["C++", "C#", "C", "😀", "😞", "x" * 300 + "1", "x" * 300 + "2", "a b", "a (b)"]

    def window(labels):
        document = quiet().to_json()
        document["channels"]["prediction"]["measures"] = [
            {"measure": f"p({label})", "after": float(len(label))} for label in labels
        ]
        return window_metrics(document)

    metrics = window(labels)
    names = [name.removeprefix("prediction/") for name in metrics if name.startswith("prediction/")]
    assert names[:5] == ["p C plus plus", "p C number", "p C", "p grinning face", "p disappointed face"]
    assert [re.sub("[0-9a-f]{8}$", "MARK", name) for name in names[5:]] == [
        *[f"p {'x' * 228} MARK"] * 2, *["p a b MARK"] * 2,
    ]  # fmt: skip
    assert len(set(names)) == len(labels)
    assert max(map(len, metrics)) == NAME_LIMIT
    assert window(labels[::-1]) == metrics


def test_numbers_that_a_broken_model_does_not_have_are_left_out():
    verdict = quiet().to_json()
    verdict["channels"]["heads"]["evidence"] = None
    metrics = window_metrics(verdict)
    assert "evidence/heads" not in metrics
    assert "alarm level/heads" not in metrics
    assert metrics["in alarm/heads"] == 0.0


def test_durations_read_as_people_say_them():
    assert [duration(seconds) for seconds in (20, 2700, 9000, 86400, 273600)] == [
        "1 min",
        "45 min",
        "2 h 30 min",
        "1 d",
        "3 d 4 h",
    ]
