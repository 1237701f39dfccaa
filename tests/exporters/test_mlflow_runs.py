from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace

import pytest

from exporters.mlflow_connection import connect
from exporters.mlflow_registry import (
    fetch_baseline,
    fetch_model,
    list_baselines,
    promote_baseline,
    publish_baseline,
)
from exporters.mlflow_runs import MlflowRuns
from monitor.errors import ExportError
from monitor.records import OutboxRecord, Suspicion
from tests.exporters.scenes import START, WINDOW, alarmed, cleared, quiet
from tests.servers import forgetful_proxy, free_port, running, start_mlflow

PNG = b"\x89PNG not really"


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory):
    with running(start_mlflow(tmp_path_factory.mktemp("mlflow"))) as server:
        yield server


def window(verdict, **metrics):
    payload = {"verdict": verdict.to_json(), "metrics": metrics}
    return record(f"sentiment/b1/window/{verdict.window}", "window", verdict.end, payload)


def episode(verdict, phase):
    payload = {"verdict": verdict.to_json(), "phase": phase}
    files = {"verdict.json": json.dumps(verdict.to_json()).encode(), "head_map.png": PNG}
    return record(
        f"sentiment/b1/episode/b1-11/{phase}/{verdict.window}", "episode", verdict.end, payload, files
    )


def baseline(data=b"a baseline"):
    payload = {"name": "sentiment", "revision": "7", "version": "b1", "samples": 2000, "source": "live"}
    return record("sentiment/b1/baseline", "baseline", START, payload, {"baseline.headwatch": data})


def record(key, kind, created, payload, files=None):
    return OutboxRecord(
        key=key, kind=kind, created=created, payload=json.dumps(payload), artifacts=files or {}
    )


def runs_of(server, experiment, kind=None):
    client = connect(server.url)
    found = client.get_experiment_by_name(experiment)
    if found is None:
        return []
    runs = client.search_runs([found.experiment_id], order_by=["attributes.start_time ASC"])
    return [run for run in runs if kind is None or run.data.tags["headwatch.kind"] == kind]


def files_of(server, run, folder):
    return [item.path for item in connect(server.url).list_artifacts(run.info.run_id, folder)]


def test_a_day_of_windows_is_one_run_under_its_baseline_with_a_step_per_window(mlflow):
    sink = MlflowRuns(tracking_uri=mlflow.url, experiment="day")
    for verdict in (quiet(10), quiet(11), alarmed(12)):
        sink.deliver(window(verdict, **{"rollout/entropy": 0.5, "input/broken": float("nan")}))

    (parent,) = runs_of(mlflow, "day", "baseline")
    (day,) = runs_of(mlflow, "day", "day")
    assert parent.info.run_name == "Baseline b1 of sentiment"
    assert day.info.run_name == "sentiment on 2026-09-21"
    assert day.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert day.data.tags["mlflow.note.content"] == (
        "The windows of sentiment on 2026-09-21 (UTC) against baseline b1: one step per window. "
        "Drift is where a chart under *evidence* crosses its namesake under *limit*."
    )
    points = connect(mlflow.url).get_metric_history(day.info.run_id, "evidence/heads")
    assert [(point.step, point.value, point.timestamp) for point in points] == [
        (10, 0.4, int((START + 11 * WINDOW) * 1000)),
        (11, 0.4, int((START + 12 * WINDOW) * 1000)),
        (12, 14.25, int((START + 13 * WINDOW) * 1000)),
    ]
    assert day.data.metrics["effect/L3H7 entropy"] == -1.3
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


def test_an_episode_is_one_run_that_its_closing_completes(mlflow):
    sink = MlflowRuns(tracking_uri=mlflow.url, experiment="episode")
    sink.deliver(episode(alarmed(12), "opened"))
    (run,) = runs_of(mlflow, "episode", "episode")
    assert run.info.status == "RUNNING"
    assert run.info.run_name == "Drift of sentiment, 2026-09-21 15:10 UTC"
    wanted = {
        "model": "sentiment",
        "revision": "7",
        "baseline": "b1",
        "episode": "b1-11",
        "cause": "data",
        "severity": "ticket",
        "channel": "heads,tokens",
        "suspicion": "none",
    }
    assert {name: run.data.tags[name] for name in wanted} == wanted
    opening = run.data.tags["mlflow.note.content"]
    assert opening == (
        "Two attention heads of sentiment behave differently; the data changed, not the model.\n"
        "\n"
        "**Cause:** data. **Severity:** ticket. **Since:** 2026-09-21 15:10 UTC (window 11).\n"
        "\n"
        "**heads**: evidence 14.2, limit 9.1.\n"
        "- L3H7 entropy: 0.71 → 0.42 (-1.3 sd)\n"
        "- L5H0 first: 0.12 → 0.31 (+0.9 sd)\n"
        "- L1H4 self: 0.21 → 0.22 (+0.1 sd)\n"
        "\n"
        "**tokens**: evidence 11.5, limit 9.1.\n"
        "- tokens gained: refund\n"
        "- tokens lost: #0123456789abcdef"
    )
    assert files_of(mlflow, run, "opened") == ["opened/head_map.png", "opened/verdict.json"]

    sink.deliver(episode(cleared(40), "closed"))
    (run,) = runs_of(mlflow, "episode", "episode")
    assert run.info.status == "FINISHED"
    assert {name: run.data.tags[name] for name in wanted} == wanted
    assert run.data.tags["headwatch.closed"] == "2026-09-21 17:40 UTC"
    assert run.data.tags["mlflow.note.content"] == f"Over since 2026-09-21 17:40 UTC.\n\n{opening}"
    assert files_of(mlflow, run, "closed") == ["closed/head_map.png", "closed/verdict.json"]


def test_an_episode_that_widens_keeps_the_evidence_it_began_with(mlflow):
    sink = MlflowRuns(tracking_uri=mlflow.url, experiment="widened")
    cut = Suspicion(name="truncation", sign="inputs of exactly 16 tokens: 2.6 % -> 11 %")
    wider = replace(alarmed(14), raised=False, severity="page", causes=("data", "serving"), suspicions=(cut,))
    for item in (episode(alarmed(12), "opened"), episode(wider, "opened")):
        sink.deliver(item)
    (run,) = runs_of(mlflow, "widened", "episode")
    assert (run.data.tags["severity"], run.data.tags["cause"]) == ("page", "data,serving")
    assert run.data.tags["suspicion"] == "truncation"
    assert "**Cause:** data and serving, truncation suspected." in run.data.tags["mlflow.note.content"]
    assert files_of(mlflow, run, None) == ["opened", "widened-000014"]


def test_attributions_join_the_days_run_at_the_windows_step(mlflow):
    sink = MlflowRuns(tracking_uri=mlflow.url, experiment="attribution")
    sink.deliver(window(quiet(10)))
    payload = {"window": 10, "metrics": {"unconverged_share": 0.125}, "words": {"good": 0.4}}
    sink.deliver(record("sentiment/b1/attribution/10", "attribution", quiet(10).end, payload))
    (day,) = runs_of(mlflow, "attribution", "day")
    assert day.data.metrics["attribution/unconverged_share"] == 0.125
    assert files_of(mlflow, day, "attribution/000010") == ["attribution/000010/words.json"]


def test_a_baseline_is_a_run_and_a_registered_version_with_the_alias_current(mlflow):
    sink = MlflowRuns(tracking_uri=mlflow.url, experiment="baseline")
    sink.deliver(window(quiet(10)))
    for _ in range(2):
        sink.deliver(baseline())
    (run,) = runs_of(mlflow, "baseline", "baseline")
    assert run.data.params["samples"] == "2000"
    assert run.data.tags["mlflow.note.content"] == (
        "Baseline b1 of sentiment, revision 7: 2000 samples from live traffic, built 2026-09-21 14:15 UTC. "
        "Windows are judged against it; the runs below it say how."
    )
    (version,) = list_baselines(tracking_uri=mlflow.url, name="sentiment")
    assert (version.version, version.aliases, version.tags["samples"]) == ("1", ("current",), "2000")
    assert fetch_baseline(tracking_uri=mlflow.url, name="sentiment") == b"a baseline"


def test_every_kind_of_record_delivered_twice_by_two_processes_leaves_the_same_as_once(mlflow):
    """As after a crash between the delivery and its receipt: the second sink remembers nothing."""
    again = [
        baseline(b"twice"),
        window(quiet(10)),
        window(alarmed(12)),
        episode(alarmed(12), "opened"),
        record(
            "sentiment/b1/attribution/10",
            "attribution",
            quiet(10).end,
            {"window": 10, "metrics": {"steps": 9}},
        ),
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


@pytest.mark.parametrize("lost", range(12))
def test_an_answer_that_is_lost_at_any_point_leaves_no_second_run_and_no_second_point(mlflow, lost):
    """The request was served and its answer never came: the next delivery must find what is there."""
    records = [window(quiet(10)), episode(alarmed(12), "opened")]
    experiment = f"lost {lost}"
    with forgetful_proxy(mlflow.url, lost=lost) as proxy:
        sink = MlflowRuns(tracking_uri=proxy, experiment=experiment)
        failures = 0
        for item in records:
            try:
                sink.deliver(item)
            except ExportError:
                failures += 1
                sink.deliver(item)
    assert failures == 1
    kinds = sorted(run.data.tags["headwatch.kind"] for run in runs_of(mlflow, experiment))
    assert kinds == ["baseline", "day", "episode"]
    for run in whole_experiment(mlflow, experiment):
        assert all(len(points) == 1 for points in run["points"].values())


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
    assert run.data.tags["mlflow.note.content"].startswith("Over since 2026-09-21 17:40 UTC.")


def test_names_with_quotes_and_slashes_are_found_again(mlflow):
    verdict = replace(quiet(10), model="org/it's-a-model")
    for _ in range(2):
        MlflowRuns(tracking_uri=mlflow.url, experiment="quotes").deliver(window(verdict))
    assert len(runs_of(mlflow, "quotes")) == 2


def test_a_baseline_published_here_is_loaded_by_another_process(mlflow):
    data = os.urandom(4096)
    tags = {"revision": "7"}
    version = publish_baseline(data, tracking_uri=mlflow.url, name="org/shared", version_tags=tags)
    code = (
        "import sys; from exporters.mlflow_registry import fetch_baseline; "
        f"sys.stdout.buffer.write(fetch_baseline(tracking_uri={mlflow.url!r}, name='org/shared'))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert loaded.stdout == data
    second = publish_baseline(b"newer", tracking_uri=mlflow.url, name="org/shared", version_tags=tags)
    assert (version, second) == ("1", "2")
    assert fetch_baseline(tracking_uri=mlflow.url, name="org/shared") == b"newer"
    promote_baseline(tracking_uri=mlflow.url, name="org/shared", version="1")
    listed = list_baselines(tracking_uri=mlflow.url, name="org/shared")
    assert [(item.version, item.aliases) for item in listed] == [("2", ()), ("1", ("current",))]
    assert fetch_baseline(tracking_uri=mlflow.url, name="org/shared") == data


def test_a_baseline_that_nobody_published_is_named_with_its_remedy(mlflow):
    with pytest.raises(ExportError) as caught:
        fetch_baseline(tracking_uri=mlflow.url, name="nobody")
    assert str(caught.value) == (
        f"nobody.headwatch-baseline@current: is not in the registry of {mlflow.url}; "
        "build a baseline and publish it first"
    )
    assert list_baselines(tracking_uri=mlflow.url, name="nobody") == ()


def test_a_registered_model_is_fetched_as_its_hugging_face_directory(mlflow, tmp_path):
    client = connect(mlflow.url)
    run = client.create_run(client.create_experiment("models"))
    model = tmp_path / "model"
    (model / "weights").mkdir(parents=True)
    (model / "config.json").write_text("{}")
    (model / "weights" / "config.json").write_text("a deeper one is not it")
    client.log_artifacts(run.info.run_id, str(model), "sentiment")
    client.create_registered_model("served")
    source = f"runs:/{run.info.run_id}/sentiment"
    made = client.create_model_version("served", source=source, run_id=run.info.run_id, await_creation_for=0)
    client.set_registered_model_alias("served", "champion", made.version)
    found = fetch_model("models:/served@champion", directory=tmp_path / "got", tracking_uri=mlflow.url)
    assert (found / "config.json").read_text() == "{}"
    again = fetch_model("models:/served/1", directory=tmp_path / "again", tracking_uri=mlflow.url)
    assert (again / "config.json").read_text() == "{}"


def test_evidence_of_an_outage_arrives_once_when_the_server_is_back(tmp_path):
    server = start_mlflow(tmp_path)
    try:
        server.start()
        sink = MlflowRuns(tracking_uri=server.url, experiment="outage")
        sink.deliver(window(quiet(10)))
        server.stop(kill=True)

        for _ in range(2):
            with pytest.raises(ExportError) as caught:
                sink.deliver(window(quiet(11)))
            assert str(caught.value) == (
                f"mlflow.tracking_uri = {server.url}: no answer from the server; "
                "check that it runs and that the address is right"
            )
        server.start()
        for verdict in (quiet(11), quiet(12)):
            sink.deliver(window(verdict))
        (day,) = runs_of(server, "outage", "day")
        points = connect(server.url).get_metric_history(day.info.run_id, "evidence/all")
        assert [point.step for point in points] == [10, 11, 12]
    finally:
        server.stop()


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
