from __future__ import annotations

import os
import subprocess
import sys

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
from tests.exporters.mlflow_records import baseline


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
