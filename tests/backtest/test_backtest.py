from __future__ import annotations

import json
import random

import numpy as np
import pytest

from monitor.backtest import cut, judge_stream
from monitor.baselines.file_format import save_baseline
from monitor.errors import ConfigError, InputError, ModelError
from tests.drift.synthetic import draw_baseline, draw_features, fit, judge
from tests.models import WORDS

# Enough of them that requests differ: a burst of near-identical ones would be thinned.
OTHERS = [word for word in WORDS if word.isalpha()][12:]


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
    shifted = log(tmp_path / "shifted.jsonl", 210, seed=3, words=OTHERS)
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
    assert built.stderr == (
        "warning: 300 samples: below 2000 only larger shifts are found\n"
        "warning: 10 time blocks of 30 samples, fewer than 20: how much clean windows differ is known "
        "poorly; give more samples, over more time\n"
        "warning: times unknown: whether it holds days, nights and weekends cannot be told; "
        "give lines with a time\n"
    )
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


PLACE = "choose a place that this user may write to"
BAD_PLACES = {
    "folder": ("", "is a folder; name a file in it"),
    "in a file": ("ref.jsonl/out", f"cannot be written (Not a directory); {PLACE}"),
    "long name": ("x" * 300, f"cannot be written (File name too long); {PLACE}"),
}


@pytest.mark.parametrize("name, said", BAD_PLACES.values(), ids=BAD_PLACES)
def test_a_place_that_cannot_be_written_is_refused_before_the_work_begins(command, tmp_path, name, said):
    reference = log(tmp_path / "ref.jsonl", 5, seed=1)
    out = tmp_path / name
    model = "/no/such/model"  # would be told first if work had begun
    judged = command(
        "backtest", "--model", model, "--baseline", reference, "--stream", reference, "--json", out
    )
    built = command("baseline", "build", "--model", model, "--input", reference, "--output", out)
    for ran, option in ((judged, "--json"), (built, "--output")):
        assert isinstance(ran.exception, ConfigError)
        assert str(ran.exception) == f"{option} = {out}: {said}"
    assert list(tmp_path.iterdir()) == [reference]


def test_backtest_makes_no_folder_and_says_so(command, tmp_path):
    reference = log(tmp_path / "ref.jsonl", 5, seed=1)
    out = tmp_path / "none" / "out.json"
    ran = command("backtest", "--model", "m", "--baseline", reference, "--stream", reference, "--json", out)
    assert str(ran.exception) == f"--json = {out}: its folder does not exist; make it or choose another"


def test_promote_takes_the_folder_that_it_is_given_the_current_one_too(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = draw_baseline(np.random.default_rng(0), 200)
    save_baseline(made, tmp_path / "sub" / "one.headwatch")
    ran = command("baseline", "promote", "sub/one.headwatch", ".")
    assert ran.output == f"current.headwatch is now baseline {made.version}\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["current.headwatch", f"{made.version}.headwatch", "sub"]
    )
    ran = command("baseline", "promote", "sub/one.headwatch")
    assert ran.output == f"sub/current.headwatch is now baseline {made.version}\n"


@pytest.mark.parametrize(
    "folder, said",
    [
        ("log.jsonl", "log.jsonl: is no folder; give the one that holds the baseline files"),
        ("log.jsonl/in", "log.jsonl/in: is no folder; give the one that holds the baseline files"),
        ("x" * 300, f"{'x' * 300}: cannot be written (File name too long); {PLACE}"),
    ],
    ids=["file", "in a file", "long name"],
)
def test_promote_says_what_is_wrong_with_its_folder(command, tmp_path, monkeypatch, folder, said):
    monkeypatch.chdir(tmp_path)
    save_baseline(draw_baseline(np.random.default_rng(0), 200), tmp_path / "one.headwatch")
    log(tmp_path / "log.jsonl", 5, seed=1)
    ran = command("baseline", "promote", "one.headwatch", folder)
    assert isinstance(ran.exception, ConfigError)
    assert str(ran.exception) == said


def test_the_list_of_baselines_has_column_heads(command, tmp_path):
    made = draw_baseline(np.random.default_rng(0), 200)
    save_baseline(made, tmp_path / "one.headwatch")
    (tmp_path / "two.headwatch").write_text("{}")
    ran = command("baseline", "list", tmp_path)
    assert ran.stdout.splitlines() == [
        "file           version       model  revision  samples  created                  alias",
        f"one.headwatch  {made.version}  small  1         200      1970-01-01 00:00:01 UTC",
    ]
    assert ran.stderr == (
        f"two.headwatch: baseline = {tmp_path / 'two.headwatch'}: is not a baseline file; "
        "give one made by `headwatch baseline build`\n"
    )


@pytest.mark.parametrize(
    "changes, kind, message",
    [
        (
            {"--model": "/no/such/model"},
            ModelError,
            "--model = /no/such/model: is no directory; give a Hugging Face model directory",
        ),
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
            {"--false-alarms": "1 per 3s"},
            ConfigError,
            (
                "--false-alarms = 1 per 3s: asks for one in 0.01 windows; must be at least 2 windows, as in "
                "'1 per 2 windows'"
            ),
        ),
        (
            {},
            InputError,
            (
                "--stream = REFERENCE: 5 samples; must be at least 30, the smallest window that is judged; "
                "give a longer log"
            ),
        ),
        (
            {"--stream": "missing.jsonl"},
            InputError,
            (
                "--stream = missing.jsonl: cannot be read (No such file or directory); "
                "give a JSONL file that exists"
            ),
        ),
    ],
)
def test_mistakes_on_the_command_line_are_named(command, model, tmp_path, changes, kind, message):
    reference = log(tmp_path / "ref.jsonl", 5, seed=1)
    options = {"--model": model, "--baseline": reference, "--stream": reference, **changes}
    ran = command("backtest", *[part for option in options.items() for part in option])
    assert isinstance(ran.exception, kind)
    assert str(ran.exception) == message.replace("REFERENCE", str(reference))


def test_a_stream_that_holds_the_baselines_own_samples_is_warned_of(command, model, tmp_path):
    reference = log(tmp_path / "ref.jsonl", 120, seed=1)
    ran = command("backtest", "--model", model, "--baseline", reference, "--stream", reference)
    assert ran.exit_code == 0
    assert ran.stderr.splitlines()[-1] == (
        f"--stream = {reference}: holds samples that the baseline was made of; they look more usual to it "
        "than new ones and may alarm; judge another part of the log"
    )


def test_a_baseline_that_is_not_there_is_told_with_both_kinds_that_could_be(command, model, tmp_path):
    stream = log(tmp_path / "stream.jsonl", 60, seed=1)
    ran = command("backtest", "--model", model, "--baseline", tmp_path / "nope.headwatch", "--stream", stream)
    assert str(ran.exception) == (
        f"--baseline = {tmp_path / 'nope.headwatch'}: cannot be read (No such file or directory); give a "
        "JSONL file of inputs, or a baseline made by `headwatch baseline build`"
    )


def test_small_windows_wait_for_each_other_and_those_that_wait_at_the_end_are_told(command, model, tmp_path):
    reference = log(tmp_path / "ref.jsonl", 300, seed=1)
    # Of windows of 40 the model takes 40, 20, 20 and 20.
    whole = log(tmp_path / "stream.jsonl", 100, seed=2).read_text().splitlines()
    refused = ['{"input_ids": [999999]}'] * 20
    stream = tmp_path / "stream.jsonl"
    lines = [*whole[:60], *refused, *whole[60:80], *refused, *whole[80:], *refused]
    stream.write_text("\n".join(lines) + "\n")
    out = tmp_path / "out.json"
    ran = command(
        "backtest", "--model", model, "--baseline", reference, "--stream", stream,
        "--window", 40, "--json", out,
    )  # fmt: skip
    assert ran.exit_code == 0, ran.output
    result = json.loads(out.read_text())
    assert [(window["state"], window["received"]) for window in result["windows"]] == [
        ("quiet", 40), ("too_few_samples", 40), ("quiet", 40), ("too_few_samples", 40)
    ]  # fmt: skip
    assert (result["waiting_samples"], result["left_over_samples"]) == (20, 0)
    assert "20 samples of the last windows are too few to judge and wait for more" in ran.stdout
