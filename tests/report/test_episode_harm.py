"""Whether an episode matters is told as its severity was decided, and blames what is to blame."""

from __future__ import annotations

from dataclasses import replace

from monitor.live.episode_report import episode_report
from monitor.records import Verdict
from monitor.report.episode_sentences import sentences
from tests.report import episodes

SMALL = episodes.sources(samples=(4000, 1000), prediction_shift=0.15, minimum_effect=0.1)


def why(report) -> str:
    return sentences(report)[1][1]


def prediction_effect(verdict: Verdict) -> float:
    return max(abs(item.effect) for item in verdict.channels["prediction"].measures)


def test_a_drift_of_the_data_that_pages_is_never_blamed_on_the_model():
    assert (SMALL.verdict.severity, SMALL.verdict.causes) == ("page", ("data",))
    assert 0.1 < prediction_effect(SMALL.verdict) < 0.2  # less than the default of drift.minimum_effect
    report = episode_report(SMALL)
    assert "; it matters, for the predictions moved too, “positive” from " in why(report)
    # the alarm's own windows may be too few to tell, where those since the onset were not
    assert why(replace(report, chance=1.0)) == why(report)


def test_a_changed_environment_that_pages_is_not_blamed_on_the_model_either():
    verdict = replace(SMALL.verdict, causes=("environment",))
    assert "; it matters, for the predictions moved too, “positive” from " in why(
        episode_report(replace(SMALL, verdict=verdict))
    )


def test_a_changed_model_that_moves_no_prediction_matters_for_being_another_one():
    report = episode_report(replace(SMALL, verdict=replace(SMALL.verdict, causes=("model", "data"))))
    assert why(report).endswith(
        "; it matters, for what runs is not the model that the baseline knows, even though the predictions "
        "hold so far."
    )


def test_predictions_that_move_by_less_than_the_severity_asks_for_are_told_as_that():
    given = episodes.sources(minimum_effect=2.0)
    assert given.verdict.severity == "ticket"
    assert prediction_effect(given.verdict) > 0.2
    assert why(episode_report(given)).endswith(
        "; it may matter, though the predictions moved by less than counts as harm."
    )


def test_what_an_announcement_made_a_note_is_told_by_the_measured_effects():
    verdict = replace(
        episodes.sources().verdict, causes=("environment", "data"), severity="note", declared=True
    )
    assert "; as far as can be seen it does not matter, though the predictions moved too, " in why(
        episodes.report(verdict=verdict)
    )
