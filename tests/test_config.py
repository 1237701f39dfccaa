"""The configuration: what is read, what is refused and in which words, and what is never shown."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.config.configuration import Config, load_config
from monitor.config.docs import document, example, sections
from monitor.config.help import HELP, WHY
from monitor.config.source import read_source
from monitor.errors import ConfigError

ROOT = Path(__file__).parents[1]
MISTAKES = sorted((ROOT / "tests" / "configs").glob("*.yaml"))
SECRET = "correct-horse-battery"


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a configuration and return its name, relative to the folder the test runs in."""
    monkeypatch.chdir(tmp_path)

    def _write(text: str, name: str = "headwatch.yaml") -> Path:
        Path(name).write_text(text, encoding="utf-8")
        return Path(name)

    return _write


@pytest.mark.parametrize("file", MISTAKES, ids=lambda file: file.stem)
def test_each_mistake_is_told_in_these_words(file, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(ConfigError) as caught:
        load_config(file.relative_to(ROOT), {})
    assert f"{caught.value}\n" == file.with_suffix(".txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("file", MISTAKES, ids=lambda file: file.stem)
def test_no_message_repeats_a_secret(file, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(ConfigError) as caught:
        load_config(file.relative_to(ROOT), {})
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value)


@pytest.mark.parametrize("file", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda file: file.name)
def test_every_shipped_configuration_can_be_used(file):
    load_config(file, {})


def test_the_minimal_configuration_means_the_documented_defaults(write):
    config = load_config(write("model:\n  source: /models/sentiment\n"), {})
    assert (config.window.duration, config.window.samples) == (300.0, 200)
    assert config.drift.false_alarms == "1 per 30d"
    assert config.baseline.source == "live"
    assert config.baseline.duration == 7 * 86400
    assert config.exporters.mlflow.tracking_uri is None


def test_the_commented_example_says_the_defaults():
    said = load_config(ROOT / "configs" / "headwatch.yaml", {})
    minimal = load_config(ROOT / "configs" / "minimal.yaml", {})
    assert said == minimal


def test_values_carry_units(write):
    text = "model: {source: m}\nwindow: {duration: 1.5m}\nstate: {outbox: 2GiB, text_retention: 3h}\n"
    config = load_config(write(text), {})
    assert config.window.duration == 90.0
    assert config.state.outbox == 2 * 2**30
    assert config.state.text_retention == 3 * 3600


def test_a_section_with_every_key_commented_out_means_its_defaults(write):
    config = load_config(write("model:\n  source: m\nwindow:\n  # samples: 300\nexporters:\n  mlflow:\n"), {})
    assert config == load_config(write("model: {source: m}\n"), {})


def test_the_environment_overrides_the_file(write):
    file = write("model:\n  source: m\nwindow:\n  samples: 300\n")
    environ = {
        "HEADWATCH_WINDOW__SAMPLES": "400",
        "HEADWATCH_WINDOW__DURATION": "10m",
        "HEADWATCH_EXPORTERS__MLFLOW__TRACKING_URI": "http://mlflow:5000",
        "HEADWATCH_PRIVACY__ALLOWLIST": "[good, bad]",
        "HEADWATCH_MODEL__NAME": "null",
        "HEADWATCH_PORT": "tcp://10.0.0.1:9095",
        "WINDOW__SAMPLES": "1",
    }
    config = load_config(file, environ)
    assert (config.window.samples, config.window.duration) == (400, 600.0)
    assert config.exporters.mlflow.tracking_uri == "http://mlflow:5000"
    assert config.privacy.allowlist == ("good", "bad")
    assert config.model.name is None


def test_a_problem_in_the_environment_names_the_variable(write):
    file = write("model:\n  source: m\n")
    environ = {
        "HEADWATCH_WINDOW__SAMPELS": "300",
        "HEADWATCH_MODEL__THREADS": "[",
        "HEADWATCH_MODEL__SOURCE__NAME": "x",
    }
    with pytest.raises(ConfigError) as caught:
        load_config(file, environ)
    assert str(caught.value).splitlines() == [
        "HEADWATCH_MODEL__SOURCE__NAME: model.source.name: 'source' is a value and has no keys",
        "HEADWATCH_MODEL__THREADS: model.threads = '[': must be a whole number",
        "HEADWATCH_WINDOW__SAMPELS: window.sampels: unknown key; did you mean 'samples'?",
    ]


def test_a_variable_with_single_underscores_is_told_and_not_passed_over(write):
    environ = {
        "HEADWATCH_WINDOW_SAMPLES": "300",
        "HEADWATCH_EXPORTERS_MLFLOW_TRACKING_URI": "http://mlflow:5000",
        "HEADWATCH_EXPORTERS_MLFLOW_TOKEN": SECRET,
        "HEADWATCH_BASELINE_FROM": "file",
        "HEADWATCH_SERVICE_HOST": "10.0.0.1",
        "HEADWATCH_INGEST_PORT": "tcp://10.0.0.1:9094",
        "HEADWATCH_INGEST_TOKEN": SECRET,
    }
    with pytest.raises(ConfigError) as caught:
        load_config(write("model: {source: m}\n"), environ)
    assert sorted(str(caught.value).splitlines()) == [
        "HEADWATCH_BASELINE_FROM: sets nothing; write HEADWATCH_BASELINE__FROM to set baseline.from",
        (
            "HEADWATCH_EXPORTERS_MLFLOW_TOKEN: sets nothing; write HEADWATCH_MLFLOW_TOKEN to set"
            " exporters.mlflow.token"
        ),
        (
            "HEADWATCH_EXPORTERS_MLFLOW_TRACKING_URI: sets nothing; write"
            " HEADWATCH_EXPORTERS__MLFLOW__TRACKING_URI to set exporters.mlflow.tracking_uri"
        ),
        "HEADWATCH_WINDOW_SAMPLES: sets nothing; write HEADWATCH_WINDOW__SAMPLES to set window.samples",
    ]


def test_secrets_come_from_files(write, tmp_path):
    (tmp_path / "token").write_text(f"{SECRET}\n", encoding="utf-8")
    (tmp_path / "urls").write_text(f"json://{SECRET}\nmailto://{SECRET}\n", encoding="utf-8")
    text = (
        "model: {source: m}\nprivacy: {key_file: token}\n"
        "exporters: {mlflow: {token_file: token}, notifications: {urls_file: urls}}\n"
    )
    config = load_config(write(text), {})
    assert config.privacy.key.get_secret_value() == SECRET
    assert config.exporters.mlflow.token.get_secret_value() == SECRET
    urls = [url.get_secret_value() for url in config.exporters.notifications.urls]
    assert urls == [f"json://{SECRET}", f"mailto://{SECRET}"]


def test_secrets_come_from_the_environment(write):
    environ = {
        "HEADWATCH_INGEST_TOKEN": SECRET,
        "HEADWATCH_PRIVACY_KEY": SECRET,
        "HEADWATCH_MLFLOW_TOKEN": SECRET,
        "HEADWATCH_NOTIFICATION_URLS": f"json://{SECRET} xml://{SECRET}",
    }
    config = load_config(write("model: {source: m}\ningest: {listen: '0.0.0.0:9094'}\n"), environ)
    assert config.privacy.key.get_secret_value() == SECRET
    assert config.exporters.mlflow.token.get_secret_value() == SECRET
    assert len(config.exporters.notifications.urls) == 2
    for shown in (repr(config), str(config), config.model_dump_json(), repr(config.model_dump())):
        assert SECRET not in shown


def test_the_file_must_be_there(write, tmp_path):
    write("", "empty.yaml")
    problems = {}
    for name in ("missing.yaml", ".", "empty.yaml"):
        with pytest.raises(ConfigError) as caught:
            load_config(Path(name), {})
        problems[name] = str(caught.value)
    assert problems == {
        "missing.yaml": (
            "missing.yaml: no such file; name the configuration with --config, as in configs/minimal.yaml"
        ),
        ".": ".: is a folder; name the YAML file in it",
        "empty.yaml": "empty.yaml: is empty; start from configs/minimal.yaml",
    }


def test_an_unreadable_file_is_told(write):
    file = write("model: {source: m}\n")
    with pytest.raises(ConfigError) as caught:
        load_config(file / "below", {})
    assert str(caught.value) == "headwatch.yaml/below: cannot be read: not a directory"


def test_a_document_that_contains_itself_is_refused(write):
    with pytest.raises(ConfigError) as caught:
        load_config(write("model: &a\n  source: *a\n"), {})
    assert str(caught.value) == "headwatch.yaml:1: is nested too deeply"


def test_the_configuration_cannot_be_changed(write):
    config = load_config(write("model: {source: m}\n"), {})
    with pytest.raises(ValueError, match="frozen"):
        config.window.samples = 1


@given(st.text(max_size=200))
def test_whatever_the_file_holds_it_is_read_or_refused(tmp_path_factory, text):
    file = tmp_path_factory.mktemp("any") / "any.yaml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        assert isinstance(load_config(file, {}), Config)
    except ConfigError as error:
        assert str(error).startswith(str(file))


def test_dates_and_clock_times_stay_text(write):
    source = read_source(write("a: 2026-01-01\nb: 1:30\nc: '12'\nd: 0.5\ne: ~\n"), {})
    assert source.values == {"a": "2026-01-01", "b": "1:30", "c": "12", "d": 0.5, "e": None}


def test_the_configuration_is_read_without_heavy_libraries():
    code = (
        "import sys, monitor.config.configuration;"
        "print(sorted({'torch', 'transformers', 'mlflow', 'captum', 'apprise'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "[]\n"


def test_the_documentation_and_the_example_are_what_the_settings_say():
    assert (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8") == document()
    assert (ROOT / "configs" / "headwatch.yaml").read_text(encoding="utf-8") == example()


def test_every_key_is_explained():
    unexplained = [key.path for _, keys in sections() for key in keys if len(key.meaning) < 10]
    assert unexplained == []


def test_no_explanation_is_left_of_a_key_that_is_gone():
    known = {".".join(map(str, path)) for path, _ in sections()}
    known |= {".".join(map(str, key.path)) for _, keys in sections() for key in keys}
    assert set(HELP) <= known
    assert set(WHY) <= known
