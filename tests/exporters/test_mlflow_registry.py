from __future__ import annotations

import os
import subprocess
import sys

import pytest

from exporters.mlflow.connection import connect
from exporters.mlflow.registry import (
    fetch_baseline,
    list_baselines,
    promote_baseline,
    publish_baseline,
)
from exporters.mlflow.runs import MlflowRuns
from monitor.cli import main
from monitor.commands.samples import named_as_options
from monitor.errors import ExportError
from tests.exporters.mlflow_records import baseline
from tests.test_terminal import sentences, write_log


def test_a_versions_page_says_what_the_baseline_is_made_of_and_leads_to_its_run(mlflow):
    sink = MlflowRuns(tracking_uri=mlflow.url, experiment="described")
    sink.deliver(baseline(b"described", name="org/described"))
    client = connect(mlflow.url)
    registered = client.get_registered_model("org-described.headwatch-baseline")
    assert registered.description == (
        "Baselines of org/described: what its attention heads and tokens did when it was known to be well. "
        "Alias current: the one that its traffic is judged against. No model to deploy."
    )
    version = client.get_model_version_by_alias("org-described.headwatch-baseline", "current")
    assert version.description == (
        "Baseline b1 of org/described, revision 7: 2000 samples from live traffic, "
        "built 2026-09-21 14:15 UTC."
    )
    wanted = {"name": "org/described", "revision": "7", "samples": "2000", "source": "live", "version": "b1"}
    assert {name: version.tags[name] for name in wanted} == wanted
    run = client.get_run(version.run_id)
    assert run.info.run_name == "Baseline b1 of org/described"
    link = "#/models/org-described.headwatch-baseline/versions/1"
    assert f"({link})" in run.data.tags["mlflow.note.content"]


def test_a_baseline_published_here_is_loaded_by_another_process(mlflow):
    data = os.urandom(4096)
    tags = {"revision": "7"}
    version = publish_baseline(data, tracking_uri=mlflow.url, name="org/shared", version_tags=tags)
    code = (
        "import sys; from exporters.mlflow.registry import fetch_baseline; "
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


def test_a_file_that_is_published_first_makes_the_experiments_page_as_a_sidecar_does(mlflow):
    """A page without its kind and its links would never get them: later deliveries find it there."""
    publish_baseline(b"first", tracking_uri=mlflow.url, name="early", version_tags={}, experiment="by-hand")
    client = connect(mlflow.url)
    made = client.get_experiment_by_name("by-hand")
    MlflowRuns(tracking_uri=mlflow.url, experiment="by-sidecar").deliver(baseline(b"other", name="late"))
    usual = client.get_experiment_by_name("by-sidecar")
    assert made.tags["mlflow.experimentKind"] == "custom_model_development"
    assert "open episodes" in made.tags["mlflow.note.content"]
    assert made.tags.keys() == usual.tags.keys()
    (run,) = client.search_runs([made.experiment_id])
    assert (run.data.tags["headwatch.kind"], run.data.tags["model"]) == ("baseline", "early")
    assert (run.info.run_name, run.info.status) == ("Baseline file of early", "FINISHED")


def test_the_command_that_publishes_says_the_name_in_the_registry(mlflow, tmp_path, tiny_classifier, capsys):
    log = write_log(tmp_path / "normal.jsonl", sentences(120, seed=1))
    with pytest.raises(SystemExit) as left:
        main(
            [
                *("baseline", "build", "--model", str(tiny_classifier), "--name", "org/published"),
                *("--input", str(log), "--output", str(tmp_path / "b.headwatch"), "--attributions", "0"),
                *("--publish", "--tracking-uri", mlflow.url, "--experiment", "team-a"),
            ]
        )
    told = "registered as version 1 of org-published.headwatch-baseline, alias current"
    assert (left.value.code, capsys.readouterr().out.splitlines()[-1]) == (0, told)
    client = connect(mlflow.url)
    version = client.get_model_version_by_alias("org-published.headwatch-baseline", "current")
    assert client.get_run(version.run_id).info.experiment_id == (
        client.get_experiment_by_name("team-a").experiment_id
    )


def test_an_experiment_that_was_deleted_is_named_as_the_commands_option(mlflow):
    client = connect(mlflow.url)
    client.delete_experiment(client.create_experiment("gone"))
    with pytest.raises(ExportError) as error, named_as_options():
        publish_baseline(b"x", tracking_uri=mlflow.url, name="x", version_tags={}, experiment="gone")
    assert str(error.value) == (
        f"--experiment = gone: is deleted on {mlflow.url}; restore it or choose another name"
    )
