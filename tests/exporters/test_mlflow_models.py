"""Registered models on this machine: whole or not there, one version at a time, never in another's way."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from exporters.mlflow.connection import connect
from exporters.mlflow.models import fetch_model
from monitor.cli import main
from monitor.config.configuration import Config
from monitor.errors import ExportError
from monitor.replay.weights import weights_hash
from monitor.sidecar.sinks import build_sinks
from monitor.sidecar.watching import build_cycle
from monitor.state.store import StateStore
from tests.cycle_bench import edit_weights


def register(client: Any, name: str, files: Path) -> str:
    """Another version of the registered model, with the alias ``champion``."""
    found = client.get_experiment_by_name("models")
    run = client.create_run(found.experiment_id if found else client.create_experiment("models")).info.run_id
    client.log_artifacts(run, str(files), "artifacts")
    if not client.search_registered_models(filter_string=f"name = '{name}'"):
        client.create_registered_model(name)
    made = client.create_model_version(
        name, source=f"runs:/{run}/artifacts", run_id=run, await_creation_for=0
    )
    client.set_registered_model_alias(name, "champion", made.version)
    return str(made.version)


def folder_of(parent: Path, **files: str) -> Path:
    parent.mkdir()
    for name, content in files.items():
        (parent / name.replace("_", ".")).write_text(content)
    return parent


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_ino)
        for path in folder.rglob("*")
        if path.is_file()
    }


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_registered_model_is_fetched_as_its_hugging_face_directory(mlflow, tmp_path):
    client = connect(mlflow.url)
    model = folder_of(tmp_path / "model", config_json="{}")
    (model / "weights").mkdir()
    (model / "weights" / "config.json").write_text("a deeper one is not it")
    register(client, "served", model)
    for uri in ("models:/served@champion", "models:/served/1"):
        found = fetch_model(uri, directory=tmp_path / "got", tracking_uri=mlflow.url)
        assert (found / "config.json").read_text() == "{}"


def test_a_version_lies_alone_in_its_folder_and_takes_the_place_of_the_one_before(mlflow, tmp_path):
    client, got = connect(mlflow.url), tmp_path / "got"

    def fetch() -> Path:
        return fetch_model("models:/growing@champion", directory=got, tracking_uri=mlflow.url)

    register(client, "growing", folder_of(tmp_path / "v1", config_json="1", model_safetensors="one"))
    first = fetch()
    before = contents(got)
    assert (fetch(), contents(got)) == (first, before), "what is there is not downloaded again"
    (got / ".download-cut-off").mkdir()
    (got / "notes").write_text("somebody else's")
    register(client, "growing", folder_of(tmp_path / "v2", config_json="2", **{"model-1_safetensors": "two"}))
    second = fetch()
    assert names(second) == {"config.json", "model-1.safetensors"}
    (version,) = names(got) - {"notes"}
    assert version.startswith("version-2-")
    assert second.is_relative_to(got / version)


def test_a_model_that_was_registered_anew_under_its_old_name_is_not_taken_for_the_former_one(
    mlflow, tmp_path
):
    client, got = connect(mlflow.url), tmp_path / "got"
    for content in ("old", "new"):
        assert register(client, "again", folder_of(tmp_path / content, config_json=content)) == "1"
        found = fetch_model("models:/again/1", directory=got, tracking_uri=mlflow.url)
        assert (found / "config.json").read_text() == content
        client.delete_registered_model("again")


def test_a_version_that_is_no_model_is_refused_and_leaves_nothing(mlflow, tmp_path):
    register(connect(mlflow.url), "empty", folder_of(tmp_path / "v1", readme_md="nothing"))
    with pytest.raises(ExportError) as error:
        fetch_model("models:/empty@champion", directory=tmp_path / "got", tracking_uri=mlflow.url)
    assert str(error.value) == (
        "model.source = models:/empty@champion: has no config.json; register a Hugging Face directory, "
        "for example by mlflow.transformers.log_model"
    )
    assert names(tmp_path / "got") == set()


def test_a_place_that_cannot_be_written_is_named_and_not_the_server(mlflow, tmp_path):
    register(connect(mlflow.url), "kept", folder_of(tmp_path / "v1", config_json="{}"))
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError) as error:
        fetch_model("models:/kept/1", directory=tmp_path / "file" / "got", tracking_uri=mlflow.url)
    assert str(error.value) == (
        f"model.source = models:/kept/1: cannot be kept in {tmp_path}/file/got (Not a directory); "
        "let this user write there, and leave room for the model"
    )


def test_a_registered_model_keeps_its_name_and_check_leaves_its_files_alone(
    mlflow, tmp_path, tiny_classifier, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    client = connect(mlflow.url)
    register(client, "sentiment", tiny_classifier)
    settings = {
        "model": {"source": "models:/sentiment@champion"},
        "state": {"file": "state.sqlite"},
        "exporters": {"mlflow": {"tracking_uri": mlflow.url}},
    }
    Path("headwatch.yaml").write_text(json.dumps(settings))
    downloads = tmp_path / "state.model"
    config = Config.model_validate(settings)
    store = StateStore(config.state.file, settings=config.state, window=config.window, clock=time.time)
    running = build_cycle(config, store, build_sinks(config), should_stop=lambda: False)
    assert running.analyser.model.identity.name == config.model.watched_name == "sentiment"
    before = contents(downloads)
    other = Path(shutil.copytree(tiny_classifier, tmp_path / "other"))
    edit_weights(other, "classifier.weight", lambda weight: weight.neg_())
    register(client, "sentiment", other)
    with pytest.raises(SystemExit) as left:
        main(["check", "-c", "headwatch.yaml", "--json"])
    report = json.loads(capsys.readouterr().out)
    assert (left.value.code, report["watched"]["model"]) == (0, "sentiment")
    assert report["watched"]["weights_hash"] == weights_hash(other)
    assert contents(downloads) == before
    assert not running.model.follow(), "its files changed"
    again = build_cycle(config, store, build_sinks(config), should_stop=lambda: False)
    assert again.model.weights == weights_hash(other), "the moved alias takes effect at the next start"
    store.close()
