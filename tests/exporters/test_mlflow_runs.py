from __future__ import annotations

import itertools
import re
import socket
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, unquote

import pytest

from exporters.mlflow.connection import connect
from exporters.mlflow.links import FILTERS
from exporters.mlflow.registry import fetch_baseline, list_baselines
from exporters.mlflow.runs import MlflowRuns
from monitor.errors import ExportError
from monitor.records import Suspicion, WordEvidence
from tests.exporters.mlflow_records import (
    attribution,
    baseline,
    episode,
    files_of,
    note_of,
    record,
    report,
    runs_of,
    window,
)
from tests.exporters.scenes import START, WINDOW, alarmed, cleared, quiet
from tests.servers import free_port, outage, proxy, start_mlflow

ROOT = Path(__file__).parents[2]


def test_a_day_of_windows_is_one_run_under_its_baseline_with_a_step_per_window(mlflow):
    sink = MlflowRuns(tracking_uri=mlflow.url, experiment="day")
    for verdict in (quiet(10), quiet(11), alarmed(12)):
        sink.deliver(window(verdict, **{"rollout/entropy": 0.5, "input/broken": float("nan")}))

    (parent,) = runs_of(mlflow, "day", "baseline")
    (day,) = runs_of(mlflow, "day", "day")
    assert parent.info.run_name == "Baseline b1 of sentiment"
    assert day.info.run_name == "sentiment on 2026-09-21"
    assert day.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert note_of(day) == (
        "The windows of sentiment on 2026-09-21 (UTC), judged against baseline b1, one step each. "
        "The charts under *alarm level* show the evidence for drift over its limit: 1 raises an alarm."
    )
    points = connect(mlflow.url).get_metric_history(day.info.run_id, "evidence/heads")
    assert [(point.step, point.value, point.timestamp) for point in points] == [
        (10, 0.4, int((START + 11 * WINDOW) * 1000)),
        (11, 0.4, int((START + 12 * WINDOW) * 1000)),
        (12, 14.25, int((START + 13 * WINDOW) * 1000)),
    ]
    assert day.data.metrics["effect in sd/L3H7 entropy"] == -1.3
    assert "effect in sd/L1H4 self" not in day.data.metrics, "a head that is not named gets no chart"
    assert day.data.metrics["rollout/entropy"] == 0.5
    assert "input/broken" not in day.data.metrics
    assert sink.url() == f"{mlflow.url}/#/experiments/{day.info.experiment_id}/runs/{day.info.run_id}"


def test_a_window_after_midnight_goes_to_the_next_days_run(mlflow):
    sink = MlflowRuns(tracking_uri=mlflow.url, experiment="midnight")
    sink.deliver(window(quiet(10)))
    sink.deliver(window(quiet(10 + 288)))
    sink.deliver(window(quiet(11)))
    days = {run.info.run_name: run.info.status for run in runs_of(mlflow, "midnight", "day")}
    assert days == {"sentiment on 2026-09-21": "FINISHED", "sentiment on 2026-09-22": "RUNNING"}


def test_charts_group_by_what_stands_before_the_slash(mlflow):
    sink = MlflowRuns(tracking_uri=mlflow.url, experiment="sections")
    sink.deliver(window(alarmed(12), **{"rollout/entropy": 0.5}))
    (day,) = runs_of(mlflow, "sections", "day")
    sections = {}
    for name in sorted(day.data.metrics):
        section, _, chart = name.rpartition("/")
        sections.setdefault(section, []).append(chart)
    channels = ["heads", "input", "prediction", "tokens"]
    assert sections == {
        "alarm level": ["all", *channels],
        "effect in sd": ["L3H7 entropy", "L5H0 first"],
        "evidence": ["all", *channels],
        "in alarm": channels,
        "prediction": ["p positive"],
        "rollout": ["entropy"],
        "window": ["received", "samples"],
    }
    assert day.data.metrics["alarm level/heads"] == pytest.approx(14.25 / 9.06)
    assert (day.data.metrics["in alarm/heads"], day.data.metrics["in alarm/input"]) == (1.0, 0.0)


ALARM = (
    "**What changed:** Since 2026-09-21 15:10 UTC (window 11) sentiment is not as in its baseline b1: "
    "2 attention heads (L3H7, L5H0) and the words (most “refund”) changed. "
    "**Why:** The cause is the data: nothing says that the model changed. "
    "**Does it matter:** It may: look at it in working hours (warning, ticket); "
    "the predictions raise no alarm.\n"
    "\n"
    "**heads**: evidence 14.2, limit 9.1\n"
    "\n"
    "- L3H7, the spread of its attention: 0.71 → 0.42 (-1.3 sd)\n"
    "- L5H0, attention on the first token: 0.12 → 0.31 (+0.9 sd)\n"
    "\n"
    "**tokens**: evidence 11.5, limit 9.1\n"
    "\n"
    "- words gained: `refund` (0 % → 10 % of the inputs)\n"
    "- words lost: `#0123456789abcdef` (20 % → 0 % of the inputs)\n"
)
TAGS = {
    "model": "sentiment",
    "revision": "7",
    "baseline": "b1",
    "episode": "b1-11",
    "since": "2026-09-21 15:10 UTC",
    "state": "open",
    "cause": "data",
    "severity": "ticket",
    "channel": "heads,tokens",
    "suspicion": "none",
}


def test_an_episode_is_one_run_that_its_closing_completes(mlflow):
    sink = MlflowRuns(
        tracking_uri=mlflow.url, experiment="episode", runbooks="https://wiki.example/headwatch"
    )
    sink.deliver(episode(alarmed(12), "opened"))
    (run,) = runs_of(mlflow, "episode", "episode")
    assert run.info.status == "RUNNING"
    assert run.info.run_name == "Drift of sentiment since 2026-09-21 15:10 UTC"
    assert {name: run.data.tags[name] for name in TAGS} == TAGS
    own, day, parent = links_of(mlflow, "episode")
    assert note_of(run) == (
        f"[report]({own}/artifacts/opened/report.html) · [head map]({own}/artifacts/opened/head_map.png)"
        f" · [charts]({own}/model-metrics)\n"
        "\n"
        f"{ALARM}"
        "\n"
        "**Where to look**\n"
        "\n"
        f"- when it began: [report]({own}/artifacts/opened/report.html), "
        f"[head map]({own}/artifacts/opened/head_map.png)\n"
        f"- all windows of the day: [charts]({day}/model-metrics)\n"
        f"- what it is compared with: [the baseline]({parent})\n"
        "- what to do: [head drift](https://wiki.example/headwatch/head-drift.md), "
        "[token drift](https://wiki.example/headwatch/token-drift.md)"
    )
    assert files_of(mlflow, run, "opened") == [
        "opened/head_map.png",
        "opened/report.html",
        "opened/verdict.json",
    ]

    sink.deliver(episode(cleared(40), "closed"))
    (run,) = runs_of(mlflow, "episode", "episode")
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "Drift of sentiment from 2026-09-21 15:10 to 17:40 UTC"
    assert {name: run.data.tags[name] for name in TAGS} == {**TAGS, "state": "over"}
    assert run.data.tags["headwatch.closed"] == "2026-09-21 17:40 UTC"
    assert note_of(run) == (
        f"[report]({own}/artifacts/opened/report.html) · [head map]({own}/artifacts/opened/head_map.png)"
        f" · [charts]({own}/model-metrics)\n"
        "\n"
        "**The drift is over since 2026-09-21 17:40 UTC, after 2 h 30 min.**\n"
        "\n"
        f"{ALARM}"
        "\n"
        "**Where to look**\n"
        "\n"
        f"- when it began: [report]({own}/artifacts/opened/report.html), "
        f"[head map]({own}/artifacts/opened/head_map.png)\n"
        f"- when it ended: [report]({own}/artifacts/closed/report.html), "
        f"[head map]({own}/artifacts/closed/head_map.png)\n"
        f"- all windows of the day: [charts]({day}/model-metrics)\n"
        f"- what it is compared with: [the baseline]({parent})\n"
        "- what to do: [head drift](https://wiki.example/headwatch/head-drift.md), "
        "[token drift](https://wiki.example/headwatch/token-drift.md)"
    )


def links_of(server, experiment):
    """The pages of the episode, the day and the baseline, as links within MLflow."""
    found = [runs_of(server, experiment, kind)[0] for kind in ("episode", "day", "baseline")]
    return [f"#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}" for run in found]


@pytest.mark.parametrize(
    "outcome, sentence",
    [
        (
            "accepted",
            (
                "Accepted as the new normal at 2026-09-21 15:30 UTC, after 20 min; "
                "another baseline stands since."
            ),
        ),
        (
            "superseded",
            "Ended at 2026-09-21 15:30 UTC, after 20 min, with its baseline: another revision was declared.",
        ),
    ],
)
def test_an_episode_that_no_window_closed_says_how_it_ended(mlflow, outcome, sentence):
    experiment = f"ended {outcome}"
    sink = MlflowRuns(tracking_uri=mlflow.url, experiment=experiment)
    sink.deliver(episode(alarmed(12), "opened"))
    sink.deliver(episode(cleared(14), "closed", outcome=outcome))
    (run,) = runs_of(mlflow, experiment, "episode")
    assert (run.info.status, run.data.tags["state"]) == ("FINISHED", outcome)
    assert f"\n\n**{sentence}**\n\n{ALARM}" in note_of(run)
    assert "when it ended" not in note_of(run)


def test_an_episode_that_widens_keeps_the_evidence_it_began_with(mlflow):
    sink = MlflowRuns(tracking_uri=mlflow.url, experiment="widened")
    cut = Suspicion(name="truncation", sign="inputs of exactly 16 tokens: 2.6 % -> 11 %")
    wider = replace(alarmed(14), raised=False, severity="page", causes=("data", "serving"), suspicions=(cut,))
    for item in (episode(alarmed(12), "opened"), episode(wider, "opened")):
        sink.deliver(item)
    (run,) = runs_of(mlflow, "widened", "episode")
    assert (run.data.tags["severity"], run.data.tags["cause"]) == ("page", "data,serving")
    assert run.data.tags["suspicion"] == "truncation"
    assert files_of(mlflow, run, None) == ["opened", "widened-000014"]
    own, *_ = links_of(mlflow, "widened")
    assert note_of(run).startswith(f"[report]({own}/artifacts/widened-000014/report.html) · ")
    assert f"- when it widened (window 14): [report]({own}/artifacts/widened-000014" in note_of(run)


def test_newer_reports_of_a_standing_episode_replace_each_other_and_stand_first(mlflow):
    sink = MlflowRuns(tracking_uri=mlflow.url, experiment="attributed")
    for item in (
        episode(alarmed(12), "opened"),
        report(alarmed(12), window=12, sentences=[("Why", "Not known.")]),
        report(alarmed(12), window=15, sentences=[("Why", "“<b>[a](x)” came."), ("Does it matter", "No.")]),
    ):
        sink.deliver(item)
    (run,) = runs_of(mlflow, "attributed", "episode")
    assert files_of(mlflow, run, None) == ["attributed", "opened"]
    own, *_ = links_of(mlflow, "attributed")
    head, body = note_of(run).split("\n\n")[:2]
    assert head == (
        f"[report]({own}/artifacts/attributed/report.html) · [head map]({own}/artifacts/opened/head_map.png)"
        f" · [charts]({own}/model-metrics)"
    )
    assert body == "**Why:** “&lt;b>\\[a\\](x)” came. **Does it matter:** No."


def test_an_episodes_charts_hold_every_window_of_it(mlflow):
    sink = MlflowRuns(tracking_uri=mlflow.url, experiment="whole")
    for index in (12, 13, 14):
        verdict = replace(alarmed(index), raised=index == 12)
        sink.deliver(window(verdict))
        if verdict.raised:
            sink.deliver(episode(verdict, "opened"))
    sink.deliver(window(cleared(15)))
    sink.deliver(episode(cleared(15), "closed"))
    (run,) = runs_of(mlflow, "whole", "episode")
    points = connect(mlflow.url).get_metric_history(run.info.run_id, "in alarm/heads")
    assert [(point.step, point.value) for point in points] == [(12, 1.0), (13, 1.0), (14, 1.0), (15, 0.0)]


def test_a_day_links_to_the_episodes_that_were_open_in_it(mlflow):
    sink = MlflowRuns(tracking_uri=mlflow.url, experiment="linked")
    sink.deliver(episode(alarmed(12), "opened"))
    late = replace(alarmed(12 + 288), raised=False)
    for _ in range(2):
        sink.deliver(window(late))
    (run,) = runs_of(mlflow, "linked", "episode")
    link = f"#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
    days = runs_of(mlflow, "linked", "day")
    assert [day.data.tags["headwatch.day"] for day in days] == ["2026-09-21", "2026-09-22"]
    for day in days:
        assert note_of(day).startswith(
            f"[Drift of sentiment since 2026-09-21 15:10 UTC]({link}): "
            "this drift episode was open on this day.\n\nThe windows of sentiment on "
        )
        assert note_of(day).count(link) == 1


def test_the_pages_of_runs_are_those_that_peoples_browsers_reach(mlflow):
    public = "https://mlflow.example/base"
    sink = MlflowRuns(tracking_uri=mlflow.url, experiment="public", public_url=public)
    assert (sink.url(), sink.episode_url("b1-11")) == (None, None)
    sink.deliver(window(alarmed(12)))
    sink.deliver(episode(alarmed(12), "opened"))
    own, day, _ = links_of(mlflow, "public")
    assert sink.url() == f"{public}/{day}"
    assert sink.episode_url("b1-11") == f"{public}/{own}"
    assert sink.episode_url("another") is None


def test_a_sidecar_that_starts_again_finds_the_page_of_the_open_episode(mlflow):
    MlflowRuns(tracking_uri=mlflow.url, experiment="again").deliver(episode(alarmed(12), "opened"))
    own, *_ = links_of(mlflow, "again")
    by_window = MlflowRuns(tracking_uri=mlflow.url, experiment="again")
    by_window.deliver(window(replace(alarmed(13), raised=False)))
    at_start = MlflowRuns(tracking_uri=mlflow.url, experiment="again")
    assert at_start.tidy("sentiment", START) == 0
    assert by_window.episode_url("b1-11") == at_start.episode_url("b1-11") == f"{mlflow.url}/{own}"


def test_the_runs_table_is_filtered_by_what_the_experiments_page_and_the_docs_offer(mlflow):
    sink = MlflowRuns(tracking_uri=mlflow.url, experiment="filters")
    cut = Suspicion(name="truncation", sign="inputs of exactly 16 tokens: 2.6 % -> 11 %")
    other = replace(alarmed(20), model="other", episode="b2-20", causes=("model",), severity="page")
    odd = replace(other, suspicions=(cut,), channels=dict(list(other.channels.items())[1:]))
    for verdict in (alarmed(12), odd):
        sink.deliver(episode(verdict, "opened"))
    sink.deliver(episode(cleared(40), "closed"))
    client = connect(mlflow.url)
    found = client.get_experiment_by_name("filters")
    counts = {what: len(client.search_runs([found.experiment_id], text)) for what, text in FILTERS.items()}
    assert counts == {
        "open episodes": 1,
        "all episodes": 2,
        "episodes of one model": 1,
        "episodes caused by the model": 1,
        "episodes worth waking somebody": 1,
        "episodes in which heads drifted": 1,
        "episodes that look like cut inputs": 1,
        "days": 2,
        "baselines": 2,
    }
    note = found.tags["mlflow.note.content"]
    guide = (ROOT / "docs" / "mlflow.md").read_text(encoding="utf-8")
    for text in FILTERS.values():
        assert f"`{text}`" in note
        assert text in guide


def test_a_note_that_is_longer_than_mlflow_takes_is_cut_after_a_line_and_keeps_its_links(mlflow):
    sink = MlflowRuns(tracking_uri=mlflow.url, experiment="long")
    lost = tuple(
        WordEvidence(word=f"{index}" * 900, kind="top", evidence=9.5, before=0.2, after=0.0, requests=40)
        for index in range(10)
    )
    verdict = alarmed(12)
    channels = {**verdict.channels, "tokens": replace(verdict.channels["tokens"], lost=lost)}
    sink.deliver(episode(replace(verdict, channels=channels), "opened"))
    (run,) = runs_of(mlflow, "long", "episode")
    assert len(note_of(run)) <= 8000
    middle, _, links = note_of(run).partition("\n\n**Where to look**\n\n")
    assert middle.endswith(
        "- words gained: `refund` (0 % → 10 % of the inputs)\n\n"
        "(The rest does not fit into a note; verdict.json has all of it.)"
    )
    assert links.endswith("- what to do: docs/runbooks/head-drift.md, docs/runbooks/token-drift.md")


def test_a_run_that_a_user_deleted_is_made_anew_on_the_second_try(mlflow):
    sink = MlflowRuns(tracking_uri=mlflow.url, experiment="deleted")
    sink.deliver(window(quiet(10)))
    (day,) = runs_of(mlflow, "deleted", "day")
    connect(mlflow.url).delete_run(day.info.run_id)
    with pytest.raises(ExportError, match="must be in the 'active' state"):
        sink.deliver(window(quiet(11)))
    sink.deliver(window(quiet(11)))
    (made,) = runs_of(mlflow, "deleted", "day")
    assert made.info.run_id != day.info.run_id


def test_attributions_join_the_days_run_at_the_windows_step(mlflow):
    sink = MlflowRuns(tracking_uri=mlflow.url, experiment="attribution")
    sink.deliver(window(quiet(10)))
    found = {"unconverged_share": 0.125, "relevance_spearman": 0.5, "top_3_drop": 0.2, "heads_self": 4.0}
    sink.deliver(attribution(quiet(10), **found))
    (day,) = runs_of(mlflow, "attribution", "day")
    assert {name: value for name, value in day.data.metrics.items() if name.startswith("attribution")} == {
        "attribution/unconverged_share": 0.125,
        "attribution agreement/relevance_spearman": 0.5,
        "attribution faithfulness/top_3_drop": 0.2,
        "attribution head roles/heads_self": 4.0,
    }
    assert files_of(mlflow, day, "attribution/000010") == ["attribution/000010/words.json"]


def test_a_baseline_is_a_run_and_a_registered_version_with_the_alias_current(mlflow):
    sink = MlflowRuns(tracking_uri=mlflow.url, experiment="baseline")
    sink.deliver(window(replace(quiet(10), model="registered")))
    for _ in range(2):
        sink.deliver(baseline(name="registered"))
    (run,) = runs_of(mlflow, "baseline", "baseline")
    assert run.data.params["samples"] == "2000"
    assert note_of(run) == (
        tables_of(run, "'registered'") + " · "
        "[version 1 in the model registry](#/models/registered.headwatch-baseline/versions/1)\n"
        "\n"
        "Baseline b1 of registered, revision 7: 2000 samples from live traffic, built 2026-09-21 14:15 UTC. "
        "Windows are judged against it; the days below it show them."
    )
    (version,) = list_baselines(tracking_uri=mlflow.url, name="registered")
    assert (version.version, version.aliases, version.tags["samples"]) == ("1", ("current",), "2000")
    assert fetch_baseline(tracking_uri=mlflow.url, name="registered") == b"a baseline"


def test_a_baseline_that_was_loaded_says_so_and_leads_to_its_episodes_and_days(mlflow):
    sink = MlflowRuns(tracking_uri=mlflow.url, experiment="it's loaded")
    for name, baseline_of in (("it's", "b1"), ("it's", "b2"), ("another", "b1")):
        verdict = replace(alarmed(12), model=name, baseline=baseline_of)
        sink.deliver(window(verdict))
        sink.deliver(episode(verdict, "opened"))
    (run,) = (
        run
        for run in runs_of(mlflow, "it's loaded", "baseline")
        if (run.data.tags["model"], run.data.tags["baseline"]) == ("it's", "b1")
    )
    shown, said = note_of(run).split("\n\n")
    assert said == "Baseline b1 of it's. Windows are judged against it; the days below it show them."
    assert shown == tables_of(run, '"it\'s"')
    wanted = [unquote(text) for text in re.findall(r"searchFilter=(.*?)&workflow", shown)]
    client = connect(mlflow.url)
    found = [client.search_runs([run.info.experiment_id], text) for text in wanted]
    assert [[item.info.run_name for item in runs] for runs in found] == [
        ["Drift of it's since 2026-09-21 15:10 UTC"],
        ["it's on 2026-09-21"],
    ]


def tables_of(run, model):
    """The links from a baseline to what was judged against it; ``model`` as a filter takes it."""
    table = f"#/experiments/{run.info.experiment_id}/runs?searchFilter="
    own = f"tags.model = {model} AND tags.baseline = 'b1'"
    shown = []
    for kind in ("episode", "day"):
        wanted = quote(f"tags.`headwatch.kind` = '{kind}' AND {own}", safe="'._-")
        shown.append(f"[its {kind}s]({table}{wanted}&workflowType=machine_learning)")
    return " · ".join(shown)


def test_an_end_that_arrives_alone_claims_nothing_of_its_beginning(mlflow):
    for _ in range(2):
        sink = MlflowRuns(tracking_uri=mlflow.url, experiment="end only")
        sink.deliver(episode(cleared(40), "closed"))
    (run,) = runs_of(mlflow, "end only", "episode")
    assert run.info.run_name == "Drift of sentiment until 2026-09-21 17:40 UTC"
    assert run.info.status == "FINISHED"
    assert run.data.tags["state"] == "over"
    assert not {"since", "cause", "severity", "channel", "suspicion"} & set(run.data.tags)
    assert note_of(run).split("\n\n")[1] == (
        "**The drift is over since 2026-09-21 17:40 UTC. "
        "Its beginning never arrived: its run was deleted, or the outbox was full.**"
    )


def test_episodes_reach_a_server_before_mlflow_3_which_knows_no_logged_models(mlflow):
    with proxy(mlflow.url, unknown="/logged-models/") as older:
        sink = MlflowRuns(tracking_uri=older, experiment="older")
        for item in (baseline(b"older", name="older"), episode(alarmed(12), "opened")):
            sink.deliver(item)
        sink.deliver(episode(cleared(40), "closed"))
        assert fetch_baseline(tracking_uri=older, name="older") == b"older"
    (run,) = runs_of(mlflow, "older", "episode")
    assert run.data.tags["state"] == "over"


def test_every_kind_of_record_delivered_twice_by_two_processes_leaves_the_same_as_once(mlflow):
    """As after a crash between the delivery and its receipt: the second sink remembers nothing."""
    again = [
        baseline(b"twice"),
        window(quiet(10)),
        window(alarmed(12)),
        episode(alarmed(12), "opened"),
        attribution(quiet(10), steps=9),
        episode(cleared(40), "closed"),
    ]
    views = []
    for _ in range(2):
        sink = MlflowRuns(tracking_uri=mlflow.url, experiment="twice", registry=False)
        for item in again:
            sink.deliver(item)
        views.append(whole_experiment(mlflow, "twice"))
    assert len(views[0]) == 3
    assert views[0] == views[1]


def whole_experiment(server, experiment):
    client = connect(server.url)
    return [
        {
            "id": run.info.run_id,
            "status": run.info.status,
            "end": run.info.end_time if run.data.tags["headwatch.kind"] == "episode" else None,
            "tags": run.data.tags,
            "params": run.data.params,
            "points": {
                name: [
                    (p.step, p.timestamp, p.value) for p in client.get_metric_history(run.info.run_id, name)
                ]
                for name in sorted(run.data.metrics)
            },
        }
        for run in runs_of(server, experiment)
    ]


def test_an_answer_that_is_lost_at_any_point_leaves_no_second_run_and_no_second_point(mlflow):
    """The request was served and its answer never came: the next delivery must find what is there."""
    records = [window(quiet(10)), episode(alarmed(12), "opened", report=False)]
    losses: list[bool] = []
    failed: list[int] = []
    for lost in itertools.count():
        experiment = f"lost {lost}"
        failures = 0
        with proxy(mlflow.url, lost=lambda: bool(losses and losses.pop(0))) as uri:
            sink = MlflowRuns(tracking_uri=uri, experiment=experiment)
            for item in records:
                # the first delivery of each record loses this one of its answers
                losses[:] = [False] * lost + [True]
                try:
                    sink.deliver(item)
                except ExportError:
                    failures += 1
                    sink.deliver(item)
        failed.append(failures)
        kinds = sorted(run.data.tags["headwatch.kind"] for run in runs_of(mlflow, experiment))
        assert (lost, kinds) == (lost, ["baseline", "day", "episode"])
        for run in runs_of(mlflow, experiment):
            points = connect(mlflow.url).get_metric_history(run.info.run_id, "evidence/all")
            assert len(points) == (run.data.tags["headwatch.kind"] != "baseline")
        if not failures:
            break
    assert sum(failed) > 20, "every request of both deliveries was lost once"
    assert failed[:3] == [2, 2, 2], "in each round one of either"


def test_an_opening_that_arrives_after_the_closing_does_not_open_the_run_again(mlflow):
    sink = MlflowRuns(tracking_uri=mlflow.url, experiment="late")
    for item in (
        episode(alarmed(12), "opened"),
        episode(cleared(40), "closed"),
        episode(alarmed(12), "opened"),
    ):
        sink.deliver(item)
    (run,) = runs_of(mlflow, "late", "episode")
    assert run.info.status == "FINISHED"
    assert "\n\n**The drift is over since 2026-09-21 17:40 UTC, after 2 h 30 min.**\n\n" in note_of(run)
    assert run.data.tags["state"] == "over"


def test_names_with_quotes_and_slashes_are_found_again(mlflow):
    verdict = replace(quiet(10), model="org/it's-a-model")
    for _ in range(2):
        MlflowRuns(tracking_uri=mlflow.url, experiment="quotes").deliver(window(verdict))
    assert len(runs_of(mlflow, "quotes")) == 2


def test_evidence_of_an_outage_arrives_once_when_the_server_is_back(mlflow):
    sink = MlflowRuns(tracking_uri=mlflow.url, experiment="outage")
    sink.deliver(window(quiet(10)))
    with outage(mlflow):
        for _ in range(2):
            with pytest.raises(ExportError) as caught:
                sink.deliver(window(quiet(11)))
            assert str(caught.value) == (
                f"exporters.mlflow.tracking_uri = {mlflow.url}: no answer from the server; "
                "check that it runs and that the address is right"
            )
    for verdict in (quiet(11), quiet(12)):
        sink.deliver(window(verdict))
    (day,) = runs_of(mlflow, "outage", "day")
    points = connect(mlflow.url).get_metric_history(day.info.run_id, "evidence/all")
    assert [point.step for point in points] == [10, 11, 12]


@pytest.mark.slow
def test_a_server_set_up_anew_gets_new_runs_on_the_second_try(tmp_path):
    server = start_mlflow(tmp_path)
    try:
        server.start()
        sink = MlflowRuns(tracking_uri=server.url, experiment="anew")
        sink.deliver(window(quiet(10)))
        server.stop()
        (tmp_path / "mlflow.db").unlink()
        server.start()
        with pytest.raises(ExportError):
            sink.deliver(window(quiet(11)))
        sink.deliver(window(quiet(11)))
        assert len(runs_of(server, "anew")) == 2
    finally:
        server.stop()


def test_a_server_that_accepts_and_never_answers_is_given_up_within_its_timeout(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.create_server(("127.0.0.1", 0)) as mute:
        uri = f"http://127.0.0.1:{mute.getsockname()[1]}"
        with pytest.raises(ExportError, match="no answer from the server"):
            MlflowRuns(tracking_uri=uri, experiment="mute").deliver(window(quiet()))


def test_credentials_in_the_uri_never_show_in_an_error():
    uri = f"http://me:secret@127.0.0.1:{free_port()}"
    with pytest.raises(ExportError) as caught:
        MlflowRuns(tracking_uri=uri, experiment="secret").deliver(window(quiet()))
    assert "secret" not in str(caught.value)


def test_a_record_of_a_kind_that_is_not_for_mlflow_is_refused():
    sink = MlflowRuns(tracking_uri="http://127.0.0.1:9", experiment="kinds")
    with pytest.raises(ExportError) as caught:
        sink.deliver(record("sentiment/b1/notification/1/raised", "notification", START, {}))
    assert str(caught.value) == (
        "outbox record sentiment/b1/notification/1/raised: kind notification does not go to MLflow"
    )
