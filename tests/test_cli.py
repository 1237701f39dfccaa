"""The command line: help, exit codes, messages, and what `check` finds on a real model."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from monitor.cli import main
from monitor.commands.exit_codes import BY_COMMAND, EXIT_CODES
from monitor.errors import StateError
from monitor.state.inspection import check_state_file
from monitor.state.settings import StateSettings, WindowSettings
from monitor.state.store import StateStore

ROOT = Path(__file__).parents[1]
COMMANDS = [["baseline"], *(name.split() for name in BY_COMMAND)]


@pytest.fixture
def headwatch(capsys, monkeypatch):
    """Run the command line in this process; returns exit code, standard output and error."""
    monkeypatch.setenv("COLUMNS", "110")
    monkeypatch.setenv("TERM", "dumb")

    def _run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main([str(one) for one in arguments])
        out, err = capsys.readouterr()
        return left.value.code, out, err

    return _run


@pytest.fixture
def config(tmp_path, sentiment_model, monkeypatch):
    """A configuration of the demo's model, in an empty folder that is the current one."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "headwatch.yaml"
    file.write_text(f"model:\n  source: {sentiment_model}\n", encoding="utf-8")
    return file


def test_help_lists_every_command_and_every_exit_code(headwatch):
    code, out, _ = headwatch("--help")
    assert code == 0
    for name in BY_COMMAND:
        assert f"\n  {name.split()[0]} " in out
    rows = " ".join(out.split())
    for number, meaning in EXIT_CODES.items():
        assert f"{number} {meaning}" in rows


@pytest.mark.parametrize("command", [[], *COMMANDS], ids=lambda words: " ".join(words) or "headwatch")
def test_help_fits_80_columns_and_leaves_most_of_them_to_its_sentences(headwatch, command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = headwatch(*command, "--help")
    assert max(map(len, out.splitlines())) <= 80
    # nothing is cut short
    assert not re.search(r"\w\.\.\.", out)
    described = [line for line in out.splitlines() if re.match(r" {12,}\S", line)]
    assert all(len(line) - len(line.lstrip()) <= 34 for line in described)


@pytest.mark.parametrize("name", BY_COMMAND)
def test_the_help_of_a_command_has_its_exit_codes(headwatch, name):
    _, out, _ = headwatch(*name.split(), "--help")
    rows = " ".join(out.partition("Exit codes:")[2].split())
    assert rows == " ".join(f"{number} {meaning}" for number, meaning in BY_COMMAND[name].items())


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(headwatch, command):
    code, out, _ = headwatch(*command, "--help")
    assert code == 0
    assert f"Usage: headwatch {' '.join(command)}" in out
    assert len(out.splitlines()) > 6


def test_the_version_is_that_of_the_package(headwatch):
    import monitor

    assert headwatch("--version") == (0, f"headwatch {monitor.__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rnu"], "No such command 'rnu'"),
        (["check"], "Missing option '--config'"),
        (["backtest"], "Missing option '--model'"),
        (["compare"], "Missing option '--model'"),
        (["check", "--confg", "x"], "No such option"),
        ([], ""),
    ],
    ids=["misspelt command", "no file", "bare backtest", "bare compare", "misspelt option", "nothing"],
)
def test_wrong_usage_is_exit_code_two(headwatch, arguments, said):
    code, _, err = headwatch(*arguments)
    assert code == 2
    assert said in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["profile", "--model", "m", "--input", "i", "--output", "-"],
        ["profile", "--model", "m", "--input", "i", "--output", "o", "--heads-json", "-"],
        ["explain", "--model", "m", "--text", "t", "--html", "-"],
        ["compare", "--model", "m", "--candidate", "c", "--input", "i", "--html", "-"],
        ["backtest", "--model", "m", "--baseline", "b", "--stream", "s", "--report", "-"],
        ["backtest", "--model", "m", "--baseline", "b", "--stream", "s", "--features", "-"],
        ["baseline", "build", "--model", "m", "--input", "i", "--output", "-"],
        ["report", "report.json", "--output", "-"],
    ],
    ids=lambda arguments: f"{arguments[0]} {arguments[-2]}",
)
def test_an_option_that_writes_a_file_takes_no_standard_output(headwatch, arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = headwatch(*arguments)
    said = f"headwatch: {arguments[-2]} = -: is not written to standard output; name a file\n"
    assert (code, err) == (2, said)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["run", "check"])
def test_a_configuration_error_is_told_line_by_line_without_a_traceback(headwatch, command, monkeypatch):
    monkeypatch.chdir(ROOT)
    code, out, err = headwatch(command, "--config", "tests/configs/many_mistakes.yaml")
    expected = (ROOT / "tests" / "configs" / "many_mistakes.txt").read_text(encoding="utf-8")
    assert (code, out) == (2, "")
    assert err == "".join(f"headwatch: {line}\n" for line in expected.splitlines())


def test_debug_shows_where_an_error_comes_from(headwatch, monkeypatch):
    monkeypatch.chdir(ROOT)
    _, _, err = headwatch("--debug", "check", "--config", "tests/configs/empty.yaml")
    assert err.startswith("Traceback (most recent call last):")
    assert err.endswith("headwatch: tests/configs/empty.yaml: is empty; start from configs/minimal.yaml\n")


def test_a_model_that_is_not_there_is_exit_code_three(headwatch, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("headwatch.yaml").write_text("model: {source: /no/such/model}\n", encoding="utf-8")
    code, out, err = headwatch("check", "-c", "headwatch.yaml")
    assert code == 3
    assert out.splitlines() == [
        "  ok  configuration     headwatch.yaml",
        "  ok  state file        headwatch.sqlite: will be made",
        "  ok  baseline file     headwatch.baseline: will be made",
        "  ok  sinks             none: only Prometheus sees what is found",
    ]
    assert err == (
        "headwatch: model.source = /no/such/model: is no directory; give a Hugging Face model directory\n"
    )


def test_an_unexpected_error_is_short_and_points_to_debug(headwatch, config, monkeypatch):
    def broken(*_: object) -> None:
        raise RuntimeError("first line\nsecond line")

    monkeypatch.setattr("monitor.commands.check.load_config", broken)
    code, out, err = headwatch("check", "-c", config)
    assert (code, out) == (1, "")
    assert err.splitlines() == [
        "headwatch: unexpected RuntimeError: first line",
        "headwatch: run `headwatch --debug ...` for the traceback, and please report it",
    ]


def test_an_interrupt_is_exit_code_130(headwatch, config, monkeypatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("monitor.commands.check.load_config", interrupted)
    code, _, err = headwatch("check", "-c", config)
    assert code == 130
    assert "Traceback" not in err


def test_the_installed_command_runs():
    done = subprocess.run(
        [sys.executable, "-c", "from monitor.cli import main; main()", "check", "-c", "no.yaml"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "headwatch: no.yaml: no such file; name the configuration with --config, as in configs/minimal.yaml\n"
    )


def test_check_says_what_will_be_watched_and_what_it_costs(headwatch, config):
    code, out, _ = headwatch("check", "-c", config)
    assert code == 0
    stages = [line[6:24].strip() for line in out.splitlines() if line.startswith("  ok  ")]
    assert stages == [
        "configuration",
        "state file",
        "baseline file",
        "sinks",
        "model",
        "attention tap",
        "ingest",
        "state",
        "replay, analysis",
        "attribution",
        "probe",
        "detector",
        "metrics",
    ]
    said_in_one_line = " ".join(out.split())
    for said in (
        "tier 'tap', 6 of 6 layers x 12 heads, 10 statistics",
        "6 layers x 12 = 72",
        "every 5m: 200 samples, at least 100",
        "1 per 30d: one in 8640 windows, 30 days",
        "none yet: learnt from live traffic over 7d; nothing alarms until then",
        "87 MiB for the second copy",
    ):
        assert said in said_in_one_line
    jobs = out.partition("How often each job runs\n")[2].partition("\n\n")[0]
    assert jobs.splitlines() == [
        "  profile           every 5s",
        "  evaluation        every 5s",
        "  attribution       every 15m",
        "  probe             every 5m",
        "  export            every 10s",
        "  maintenance       every 1h",
    ]
    assert list(config.parent.iterdir()) == [config]


def _folder(path: Path) -> None:
    path.mkdir()


def _rubbish(path: Path) -> None:
    path.write_bytes(b"rubbish" * 1000)


def _other_schema(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE other (x)")
        connection.execute("PRAGMA user_version = 7")


def _nothing(_: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("make", "name", "said"),
    [
        (_folder, "state", "cannot be opened (Is a directory); {open}"),
        (_nothing, "none/state", "cannot be opened (No such file or directory); {open}"),
        (_nothing, "headwatch.yaml/state", "cannot be opened (Not a directory); {open}"),
        (
            _rubbish,
            "state",
            "is damaged or no state file (file is not a database); move it away to start afresh",
        ),
        (
            _other_schema,
            "state",
            (
                "has schema 7, this version reads 1; "
                "move it away to start afresh, or run the version that wrote it"
            ),
        ),
    ],
    ids=["folder", "no folder", "in a file", "rubbish", "other schema"],
)
def test_check_refuses_a_state_file_in_the_words_of_run(headwatch, config, make, name, said, monkeypatch):
    make(config.parent / name)
    before = sorted(config.parent.iterdir())
    monkeypatch.setenv("HEADWATCH_STATE__FILE", name)
    code, _, err = headwatch("check", "-c", config)
    said = said.format(open="name a file in a folder that exists and that this user may write to")
    assert (code, err) == (6, f"headwatch: state.file = {name}: {said}\n")
    assert sorted(config.parent.iterdir()) == before
    with pytest.raises(StateError) as run:
        StateStore(Path(name), settings=StateSettings(), window=WindowSettings(), clock=time.time)
    assert f"headwatch: {run.value}\n" == err


def test_a_state_file_is_looked_at_and_not_touched_while_a_sidecar_has_it_open(tmp_path):
    file = tmp_path / "state.sqlite"
    store = StateStore(file, settings=StateSettings(), window=WindowSettings(), clock=time.time)
    assert check_state_file(file) == f"{file}: will be resumed (schema 1)"
    store.set_meta("still", "writable")
    store.close()
    before = [(path.name, path.read_bytes()) for path in tmp_path.iterdir()]
    assert check_state_file(file) == f"{file}: will be resumed (schema 1)"
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == before


def test_check_refuses_a_baseline_that_could_not_be_written(headwatch, config, monkeypatch):
    monkeypatch.setenv("HEADWATCH_BASELINE__FILE", "headwatch.yaml/folder/file")
    code, _, err = headwatch("check", "-c", config)
    assert code == 2
    assert err == (
        "headwatch: baseline.file = headwatch.yaml/folder/file: cannot be written (Not a directory); "
        "name a file in a folder that this user may write to\n"
    )


def test_check_refuses_a_notification_url_that_run_would_not_start_with(headwatch, tmp_path, monkeypatch):
    monkeypatch.setenv("HEADWATCH_NOTIFICATION_URLS", "slak://token-123")
    config = tmp_path / "headwatch.yaml"
    config.write_text(f"model: {{source: nowhere}}\nstate: {{file: {tmp_path / 'state.sqlite'}}}\n", "utf-8")
    for command in ("check", "run"):
        code, _, err = headwatch(command, "-c", config)
        assert (code, err.splitlines()[-1]) == (
            7,
            (
                "headwatch: exporters.notifications: slak://... is no URL that apprise understands; "
                "see https://github.com/caronc/apprise/wiki"
            ),
        )


def test_check_as_json_measures_the_inputs_it_is_given(headwatch, config, tmp_path):
    texts = tmp_path / "texts.jsonl"
    texts.write_text('{"text": "one two three four five"}\nno json\n', encoding="utf-8")
    code, out, _ = headwatch("check", "-c", config, "--input", texts, "--json")
    report = json.loads(out)
    assert (code, report["ok"]) == (0, True)
    assert report["watched"]["mean_windows_between_false_alarms"] == 8640
    assert report["schedule"]["probe"] == 300
    assert report["costs"]["measured_tokens"] == 7
    assert report["costs"]["weights_bytes"] == pytest.approx(90.9e6, rel=0.01)
    assert 0 < report["costs"]["cpu_seconds_per_sample"] < 1
    assert 0 < report["costs"]["core_share"] < 1


def test_check_as_json_says_what_failed(headwatch, config, tmp_path):
    empty = tmp_path / "texts.jsonl"
    empty.write_text("[]\n", encoding="utf-8")
    code, out, err = headwatch("check", "-c", config, "--input", empty, "--json")
    report = json.loads(out)
    assert code == 4
    assert report["error"] == f'--input = {empty}: has no sample; give JSONL lines as in {{"text": "..."}}'
    assert err == f"headwatch: {report['error']}\n"
    assert report["ok"] is False


def test_check_takes_the_window_to_the_baseline_that_stands(headwatch, config, tmp_path, tiny_classifier):
    config.write_text(f"model:\n  source: {tiny_classifier}\n", encoding="utf-8")
    log = tmp_path / "log.jsonl"
    log.write_text("".join(f'{{"text": "the film number {i} was fine"}}\n' for i in range(250)), "utf-8")
    code, _, err = headwatch(
        "baseline", "build", "--model", tiny_classifier, "--input", log, "--output", "headwatch.baseline"
    )
    assert code == 0, err
    code, out, err = headwatch("check", "-c", config)
    assert code == 0, err
    assert "a verdict on the window, against baseline" in out
    assert ", 250 samples" in out


def test_check_refuses_a_baseline_that_is_none(headwatch, config, tmp_path):
    Path("headwatch.baseline").write_bytes(b"rubbish")
    code, _, err = headwatch("check", "-c", config)
    assert code == 5
    assert err.startswith("headwatch: ")
    assert "Traceback" not in err


def test_check_shows_no_secret(headwatch, tiny_classifier, tmp_path, monkeypatch):
    config = tmp_path / "headwatch.yaml"
    config.write_text(f"model: {{source: {tiny_classifier}}}\nstate: {{file: {tmp_path}/state.sqlite}}\n")
    secret = "correct-horse-battery"
    for name in ("INGEST_TOKEN", "PRIVACY_KEY", "MLFLOW_TOKEN"):
        monkeypatch.setenv(f"HEADWATCH_{name}", secret)
    monkeypatch.setenv("HEADWATCH_NOTIFICATION_URLS", f"json://user:{secret}@127.0.0.1/{secret}")
    code, out, err = headwatch("check", "-c", config, "--json")
    assert code == 0, err
    assert secret not in out + err
