"""The report as the running cycle makes it: when, of what, kept where, and with whose words."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from monitor.analysis.heads.survey import HeadSurvey
from monitor.analysis.settings import ScheduledSettings
from monitor.baselines.file_format import load_baseline
from monitor.cycle import jobs
from monitor.records import OutboxRecord, Sample
from monitor.report.episode_data import EpisodeReport
from tests.cycle_bench import LEARNING, WINDOW, WORDS, Bench

SECRET = "swordfish"


@pytest.fixture
def bench(tmp_path: Path, tiny_classifier: Path) -> Iterator[Bench]:
    opened = Bench(tmp_path, Path(shutil.copytree(tiny_classifier, tmp_path / "model")))
    yield opened
    opened.store.close()


def reports(bench: Bench) -> list[tuple[str, EpisodeReport]]:
    """(phase, report) of every episode record that waits for MLflow."""
    return [(record.key.split("/")[-2], report_of(record)) for record in bench.outbox("episode")]


def report_of(record: OutboxRecord) -> EpisodeReport:
    return EpisodeReport.from_json(json.loads(record.artifacts["report.json"]))


def drifting(bench: Bench, windows: int = 1) -> None:
    for _ in range(windows):
        bench.send(lambda words: ["zebra", *words, "quartz"])
        bench.run()


def test_an_episode_is_reported_as_it_opens_is_attributed_and_closes(bench: Bench) -> None:
    bench.learn()
    drifting(bench)
    jobs.run_attribution(bench.cycle)
    jobs.run_attribution(bench.cycle)
    while bench.states()[-1] == "alarm":
        bench.send()
        bench.run()
    found = reports(bench)
    assert [phase for phase, _ in found] == ["opened", "attributed", "closed"]
    opened, attributed, closed = (report for _, report in found)
    assert (opened.windows, opened.samples, opened.ended, opened.attributed) == (1, WINDOW, None, 0)
    assert attributed.attributed == 8
    assert {word.word for word in attributed.driving} >= {"zebra"}
    assert closed.verdict.alarm
    assert closed.verdict.causes == ("data",)
    assert closed.ended == bench.verdicts()[-1].end
    assert closed.attributed == 8
    for record in bench.outbox("episode"):
        page = record.artifacts["report.html"].decode()
        assert "New in the inputs: the word “zebra”" in page


def test_the_map_of_a_report_is_of_all_samples_since_the_alarm(bench: Bench) -> None:
    bench.learn()
    drifting(bench)
    standing = bench.cycle.standing.features(bench.cycle.context())
    baseline = bench.cycle.baseline
    assert standing is not None
    assert baseline is not None
    ((_, opened),) = reports(bench)
    before = baseline.features.profile.astype(float)
    change = (standing.profile.astype(float).mean(axis=0) - before.mean(axis=0)) / np.maximum(
        before.std(axis=0), 1e-6
    )
    np.testing.assert_allclose(np.abs(opened.effects), np.abs(change).max(axis=-1), rtol=1e-3)


def test_what_was_surveyed_while_learning_is_that_of_each_fourth_learnt_sample(bench: Bench) -> None:
    sent: list[Sample] = []
    ingest = bench.store.ingest
    bench.store.ingest = lambda batch, **more: (sent.extend(batch), ingest(batch, **more))[1]  # type: ignore[assignment, func-returns-value]
    bench.learn()
    baseline = load_baseline(bench.folder / "state.baseline")
    assert baseline.survey is not None
    assert baseline.survey.samples == LEARNING * WINDOW // 4
    np.testing.assert_allclose(baseline.survey.distances.sum(axis=-1), 1, atol=1e-5)
    # over all samples the means are near: a survey of a fourth is a sample of them
    whole = HeadSurvey(ScheduledSettings(sinks=False))
    bench.cycle.analyser.profile(sent, gradient=False, survey=whole)
    assert whole.distance_profile is not None
    gap = np.abs(whole.distance_profile.mean - baseline.survey.distances)
    assert (gap <= 5 * baseline.survey.distances_error + 1e-3).all()


def test_agreement_while_learning_is_the_reports_before(bench: Bench) -> None:
    for _ in range(LEARNING - 1):
        bench.send()
        bench.run()
        jobs.run_attribution(bench.cycle)
    bench.send()
    bench.run()
    baseline = bench.cycle.baseline
    assert baseline is not None
    # four windows were attributed as they came, the fifth as the baseline was made
    assert baseline.attribution["samples"] == 8
    drifting(bench)
    jobs.run_attribution(bench.cycle)
    newest = reports(bench)[-1][1]
    agreed = next(item for item in newest.attribution if item.name == "spearman")
    assert agreed.before == pytest.approx(baseline.attribution["spearman"], rel=1e-5)
    assert agreed.after == pytest.approx(bench.cycle.attribution["spearman"], rel=1e-5)


def test_the_newest_report_lies_in_the_state_file_with_and_without_mlflow(bench: Bench) -> None:
    bench.cycle.sinks = frozenset()
    bench.learn()
    assert bench.store.get_meta("report") is None
    drifting(bench)
    bench.reopen()
    kept = EpisodeReport.from_json(json.loads(bench.store.get_meta("report") or ""))
    assert kept.verdict == bench.cycle.verdict
    assert bench.outbox("episode") == []


def test_the_surveys_of_the_alarm_survive_a_restart_and_become_the_new_baselines(bench: Bench) -> None:
    bench.learn()
    drifting(bench, 2)
    before = bench.cycle.standing.survey(bench.cycle.context()).record()
    bench.reopen()
    after = bench.cycle.standing.survey(bench.cycle.context()).record()
    assert before is not None
    assert after is not None
    assert before.samples == 2 * WINDOW // 4
    np.testing.assert_array_equal(before.distances, after.distances)


def with_texts(bench: Bench, shown: bool) -> None:
    privacy = bench.config.privacy.model_copy(update={"example_texts": shown})
    bench.config = bench.config.model_copy(update={"privacy": privacy})
    bench.reopen()


def test_what_was_attributed_and_shown_survives_a_restart(bench: Bench) -> None:
    with_texts(bench, shown=True)
    bench.learn()
    drifting(bench)
    jobs.run_attribution(bench.cycle)
    jobs.run_attribution(bench.cycle)
    before = reports(bench)[-1][1]
    assert before.attributed > 0
    bench.reopen()
    while bench.states()[-1] == "alarm":
        bench.send()
        bench.run()
    phase, closed = reports(bench)[-1]
    assert phase == "closed"
    assert closed.attributed == before.attributed
    assert closed.driving == before.driving
    assert closed.examples == before.examples != ()


def test_texts_that_may_no_longer_be_shown_are_in_no_report_after_a_restart(bench: Bench) -> None:
    with_texts(bench, shown=True)
    bench.learn()
    drifting(bench)
    jobs.run_attribution(bench.cycle)
    jobs.run_attribution(bench.cycle)
    assert reports(bench)[-1][1].examples != ()
    with_texts(bench, shown=False)
    while bench.states()[-1] == "alarm":
        bench.send()
        bench.run()
    assert reports(bench)[-1][1].examples == ()


@pytest.mark.parametrize("shown", [False, True], ids=["by default", "with example texts"])
def test_a_word_that_few_requests_hold_is_in_no_report(bench: Bench, shown: bool) -> None:
    privacy = bench.config.privacy.model_copy(update={"example_texts": shown})
    every = bench.config.analysis.attribution.model_copy(update={"samples": WINDOW})
    analysis = bench.config.analysis.model_copy(update={"attribution": every})
    bench.config = bench.config.model_copy(update={"privacy": privacy, "analysis": analysis})
    bench.reopen()
    bench.learn()
    count = iter(range(10_000))
    # four requests of each window: below the five that a word needs, all of them attributed
    few = lambda words: ["zebra", *words, SECRET] if next(count) < 4 else ["zebra", *words]
    bench.send(few)
    bench.run()
    texts = [str(sample.text) for _, sample in bench.store.attribution_due()]
    assert sum(SECRET in text for text in texts) == 4
    jobs.run_attribution(bench.cycle)
    found = bench.outbox("episode")
    assert len(found) == 2
    for record in found:
        for name, content in record.artifacts.items():
            assert SECRET.encode() not in content, name
    newest = reports(bench)[-1][1]
    assert (len(newest.examples) == 4) is shown
    if shown:
        words = [word for example in newest.examples for word in example.words]
        assert "zebra" in words
        assert set(words) <= {None, *WORDS, "zebra"}
    else:
        assert newest.examples == ()
        assert "privacy.example_texts is off" in newest.without_examples
        assert not any(text.encode() in found[-1].artifacts["report.html"] for text in texts)
