from __future__ import annotations

import json
import random

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from monitor.backtest import cut, judge_stream
from monitor.commands import backtest, baseline
from monitor.errors import ConfigError, InputError
from tests.drift.synthetic import draw_baseline, draw_features, fit, judge
from tests.models import WORDS, save_tiny


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_tiny("bert", tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def command():
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command("backtest")(backtest.backtest)
    app.add_typer(baseline.app, name="baseline")

    def run(*arguments):
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return run


def log(path, count, *, seed, words=None, extra=()):
    draw = random.Random(seed)
    known = words or [word for word in WORDS if word.isalpha()][:12]
    lines = [json.dumps({"text": " ".join(draw.choices(known, k=draw.randint(4, 12)))}) for _ in range(count)]
    path.write_text("\n".join([*lines, *extra]) + "\n", encoding="utf-8")
    return path


def test_windows_are_cut_in_order_and_a_small_rest_is_left_over():
    windows, left_over = cut(list(range(229)), 100, minimum=30)
    assert ([len(window) for window in windows], left_over) == ([100, 100], 29)
    windows, left_over = cut(list(range(230)), 100, minimum=30)
    assert ([len(window) for window in windows], left_over) == ([100, 100, 30], 0)


def test_backtest_and_a_live_detector_give_the_same_verdicts_to_the_last_bit():
    rng = np.random.default_rng(0)
    detector = fit(draw_baseline(rng, 300))
    windows = [draw_features(rng, 100, head_shift=index / 3) for index in range(6)]
    state, live = detector.start(), []
    for index, features in enumerate(windows):
        state, verdict = judge(detector, state, features, index)
        live.append(verdict)
    tested = [verdict for _, verdict in judge_stream(detector, windows)]
    assert [verdict.evidence for verdict in tested] == [verdict.evidence for verdict in live]
    assert [verdict.channels for verdict in tested] == [verdict.channels for verdict in live]


def test_a_log_that_shifts_alarms_in_the_file_that_scripts_read(command, model, tmp_path):
    reference = log(tmp_path / "ref.jsonl", 300, seed=1)
    stream = log(tmp_path / "stream.jsonl", 200, seed=2)
    shifted = log(tmp_path / "shifted.jsonl", 210, seed=3, words=["red", "slowly", "and", "walk"])
    stream.write_text(stream.read_text() + shifted.read_text() + "no json\n")
    out = tmp_path / "out.json"
    ran = command(
        "backtest",
        "--model",
        model,
        "--baseline",
        reference,
        "--stream",
        stream,
        "--window",
        100,
        "--json",
        out,
    )
    assert ran.exit_code == 0, ran.output
    result = json.loads(out.read_text())
    assert result["schema"] == 1
    assert result["baseline_samples"] == 300
    assert result["mean_windows_between_false_alarms"] == 8640
    assert [window["index"] for window in result["windows"]] == [0, 1, 2, 3]
    assert [window["samples"] for window in result["windows"]] == [100] * 4
    assert result["first_alarm"] == 2
    assert result["left_over_samples"] == 10
    first = result["windows"][2]
    assert (first["alarm"], first["cause"]) == (True, "data")
    assert first["severity"] in ("page", "ticket", "note")
    assert set(first["channels"]["heads"]) >= {"alarm", "evidence", "limit", "top"}
    assert set(first["channels"]["heads"]["top"][0]) >= {
        "layer", "head", "statistic", "evidence", "before", "after", "effect"
    }  # fmt: skip
    assert first["channels"]["tokens"]["alarm"]
    assert "slowly" in first["channels"]["tokens"]["gained"]
    assert isinstance(first["channels"]["tokens"]["lost"], list)
    assert "stream.jsonl line 411" in ran.output
    assert "4 windows of 100, 2 in alarm, first: 2" in ran.output


def test_a_baseline_file_is_built_shown_listed_promoted_and_used(command, model, tmp_path):
    reference = log(tmp_path / "ref.jsonl", 300, seed=1)
    folder = tmp_path / "baselines"
    built = command(
        "baseline",
        "build",
        "--model",
        model,
        "--input",
        reference,
        "--output",
        folder / "b.headwatch",
        "--no-gradient",
    )
    assert built.exit_code == 0, built.output
    assert "of 300 samples" in built.output
    shown = json.loads(command("baseline", "show", folder / "b.headwatch", "--json").output)
    assert (shown["samples"], shown["attributed"], shown["model"]) == (300, 0, "tiny")
    assert "entropy" in command("baseline", "show", folder / "b.headwatch").output
    promoted = command("baseline", "promote", folder / "b.headwatch")
    assert f"is now baseline {shown['version']}" in promoted.output
    assert (folder / "current.headwatch").resolve().name == f"{shown['version']}.headwatch"
    rows = json.loads(command("baseline", "list", folder, "--json").output)
    assert {row["file"]: row["alias"] for row in rows} == {
        "b.headwatch": "", f"{shown['version']}.headwatch": "current"
    }  # fmt: skip
    stream = log(tmp_path / "stream.jsonl", 100, seed=2)
    ran = command(
        "backtest", "--model", model, "--baseline", folder / "current.headwatch", "--stream", stream,
        "--window", 50, "--false-alarms", "1 per 100 windows", "--no-gradient",
    )  # fmt: skip
    assert ran.exit_code == 0, ran.output
    assert "2 windows of 50, 0 in alarm, first: none; at most one false alarm in 100 windows" in ran.output


@pytest.mark.parametrize(
    "changes, kind, message",
    [
        (
            {"--window": 29},
            ConfigError,
            "--window = 29: must be at least 30; fewer samples cannot be told from noise",
        ),
        (
            {"--false-alarms": "never"},
            ConfigError,
            "--false-alarms = never: is not a rate; write it as in '1 per 30d' or '1 per 8640 windows'",
        ),
        (
            {"--stream": "missing.jsonl"},
            InputError,
            "missing.jsonl: cannot be read (No such file or directory); give a JSONL file that exists",
        ),
    ],
)
def test_mistakes_on_the_command_line_are_named(command, model, tmp_path, changes, kind, message):
    reference = log(tmp_path / "ref.jsonl", 5, seed=1)
    options = {"--model": model, "--baseline": reference, "--stream": reference, **changes}
    ran = command("backtest", *[part for option in options.items() for part in option])
    assert isinstance(ran.exception, kind)
    assert str(ran.exception) == message
