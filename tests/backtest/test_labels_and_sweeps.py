"""``headwatch backtest`` with known incidents and several settings: one profile, one table, one plot."""

from __future__ import annotations

import io
import json
import random
import stat
from pathlib import Path

import pytest
from matplotlib.image import imread

from monitor.baselines.file_format import load_baseline
from monitor.errors import ConfigError, InputError
from tests.models import WORDS

START = 1_769_860_800.0


def texts(count, *, seed, words=None):
    draw = random.Random(seed)
    known = words or [word for word in WORDS if word.isalpha()][:12]
    return [" ".join(draw.choices(known, k=draw.randint(4, 12))) for _ in range(count)]


def write(path: Path, lines, *, since=None):
    timed = [
        {"text": text} if since is None else {"text": text, "time": since + 3 * i}
        for i, text in enumerate(lines)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in timed), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def story(model, tmp_path_factory):
    """A log of 1,010 samples with two incidents, and the options that judge it."""
    folder = tmp_path_factory.mktemp("story")
    odd = [word for word in WORDS if word.isalpha()][12:]
    lines = [
        *texts(300, seed=2), *texts(150, seed=3, words=odd), *texts(250, seed=4),
        *texts(100, seed=5, words=odd), *texts(210, seed=6),
    ]  # fmt: skip
    write(folder / "stream.jsonl", lines, since=START)
    write(folder / "ref.jsonl", texts(400, seed=1))
    (folder / "labels.jsonl").write_text(
        '{"start": 300, "end": 450, "name": "words lost", "cause": "data"}\n'
        '{"start": "2026-01-31T12:35:00Z", "end": "2026-01-31T12:40:00Z", "cause": "model"}\n'
    )
    return folder


def options(folder, model, *more):
    return (
        "backtest", "--model", model, "--baseline", folder / "ref.jsonl", "--stream", folder / "stream.jsonl",
        "--labels", folder / "labels.jsonl", *more,
    )  # fmt: skip


def test_several_settings_are_compared_on_one_profile_in_eighty_columns(command, model, story, tmp_path):
    out, plot, features = tmp_path / "out.json", tmp_path / "plot.png", tmp_path / "features.npz"
    grid = (
        "--window",
        50,
        "--window",
        100,
        "--false-alarms",
        "1 per 100 windows",
        "--false-alarms",
        "1 per 30d",
    )
    ran = command(*options(story, model, *grid, "--json", out, "--plot", plot, "--features", features))
    assert ran.exit_code == 0, ran.output
    lines = ran.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    rows = [line.split() for line in lines if line.strip()[:3] in ("50 ", "100")]
    assert [row[:3] for row in rows] == [
        ["50", "100", "20"], ["50", "8640", "20"], ["100", "100", "10"], ["100", "8640", "10"]
    ]  # fmt: skip
    assert "windows of 50: 10 samples at the end are too few and were not judged" in lines
    result = json.loads(out.read_text())
    assert (result["schema"], result["baseline_samples"], result["labelled"]) == (1, 400, True)
    settings = result["settings"]
    assert [(one["window"], one["false_alarms"]) for one in settings] == [
        (50, "1 per 100 windows"), (50, "1 per 30d"), (100, "1 per 100 windows"), (100, "1 per 30d")
    ]  # fmt: skip
    assert [one["score"]["found"] for one in settings] == [2, 2, 2, 2]
    strict = settings[3]
    assert [window["index"] for window in strict["windows"]] == list(range(10))
    first, second = strict["score"]["incidents"]
    assert (first["name"], first["window"], first["delay"], first["cause_right"]) == (
        "words lost",
        3,
        1,
        True,
    )
    # from sample 300 to the last of window 3, and from 12:35 to the last of window 7; 3 s a sample
    assert (first["delay_seconds"], second["delay_seconds"]) == (99 * 3.0, 99 * 3.0)
    assert (second["name"], second["cause_right"]) == ("line 2", False)
    assert "channels" in strict["windows"][3], "the whole verdict where an alarm rose"
    assert "channels" not in strict["windows"][0]
    assert imread(io.BytesIO(plot.read_bytes()), format="png").shape[2] == 4
    assert stat.S_IMODE(features.stat().st_mode) == 0o600


def test_features_that_are_there_already_give_the_same_verdicts_without_a_profile(
    command, model, story, tmp_path, monkeypatch
):
    features, one, two = tmp_path / "features.npz", tmp_path / "one.json", tmp_path / "two.json"
    assert command(*options(story, model, "--features", features, "--json", one)).exit_code == 0
    before = features.read_bytes()

    def never(*_: object, **__: object) -> None:
        raise AssertionError("profiled again")

    monkeypatch.setattr("monitor.commands.trials.profile_log", never)
    ran = command(*options(story, model, "--features", features, "--json", two))
    assert ran.exit_code == 0, ran.output
    assert one.read_text() == two.read_text()
    assert features.read_bytes() == before


def test_one_setting_with_labels_tells_each_incident(command, model, story):
    ran = command(*options(story, model, "--window", 100))
    assert ran.exit_code == 0, ran.output
    lines = ran.stdout.splitlines()
    assert lines[0].startswith("window 3: Since 2026-01-31 12:15 UTC (window 3): ")
    assert "10 samples at the end are too few for a window and were not judged" in lines
    incidents = [line for line in lines if line.startswith(("words lost", "line 2"))]
    assert incidents[0].split() == ["words", "lost", "3", "1,", "5m", "data", "1"]
    assert "data (is model)" in incidents[1]


def test_labels_do_not_change_what_a_setting_says(command, model, story, tmp_path):
    plain, labelled = tmp_path / "plain.json", tmp_path / "labelled.json"
    bare = (
        "backtest", "--model", model, "--baseline", story / "ref.jsonl", "--stream", story / "stream.jsonl",
        "--window", 100, "--json",
    )  # fmt: skip
    assert command(*bare, plain).exit_code == 0
    assert command(*options(story, model, "--window", 100, "--json", labelled)).exit_code == 0
    one = json.loads(plain.read_text())["windows"]
    other = json.loads(labelled.read_text())["settings"][0]["windows"]
    for whole, row in zip(one, other, strict=True):
        assert {key: whole[key] for key in row} == row


def test_integrated_gradients_of_a_log_come_with_its_features(command, model, story, tmp_path):
    features = tmp_path / "features.npz"
    more = ("--window", 100, "--attributions", 2, "--features", features)
    ran = command(*options(story, model, *more))
    assert ran.exit_code == 0, ran.output
    again = command(*options(story, model, *more))
    assert again.stdout == ran.stdout
    refused = command(*options(story, model, "--window", 100, "--attributions", 3, "--features", features))
    assert isinstance(refused.exception, InputError)
    assert str(refused.exception) == (
        f"--features = {features}: lacks Integrated Gradients of 10 samples; delete it to profile the log "
        "again, or leave --attributions out"
    )


def test_a_sweep_without_labels_counts_every_alarm_as_a_false_one(command, model, story):
    ran = command(
        "backtest", "--model", model, "--baseline", story / "ref.jsonl", "--stream", story / "stream.jsonl",
        "--sweep", "--window", 100, "--no-gradient",
    )  # fmt: skip
    assert ran.exit_code == 0, ran.output
    rows = [line.split() for line in ran.stdout.splitlines() if line.strip().startswith("100 ")]
    assert [row[1] for row in rows] == ["288", "2016", "8640", "105120"]
    assert all(int(row[3]) >= 1 for row in rows)
    assert "Without --labels every alarm counts as a false one." in " ".join(ran.stdout.split())


def test_a_plot_without_labels_is_refused(command, model, story, tmp_path):
    ran = command(
        "backtest", "--model", model, "--baseline", story / "ref.jsonl", "--stream", story / "stream.jsonl",
        "--plot", tmp_path / "x.png",
    )  # fmt: skip
    assert isinstance(ran.exception, ConfigError)
    assert (
        str(ran.exception) == "--plot: needs --labels; delays are counted from the start of known incidents"
    )


def test_a_baseline_file_with_hashed_words_is_judged_as_the_sidecar_would(command, model, story, tmp_path):
    """Rare words of the baseline are known again by their hash: with the key nothing is new that is not."""
    folder = tmp_path / "baselines"
    file = folder / "b.headwatch"
    built = command(
        "baseline", "build", "--model", model, "--input", story / "ref.jsonl", "--output", file,
        "--attributions", 20,
    )  # fmt: skip
    assert built.exit_code == 0, built.output
    assert load_baseline(file).integrated_requests == 20
    judge = (
        "backtest", "--model", model, "--baseline", file, "--stream", story / "stream.jsonl",
        "--window", 100,
    )  # fmt: skip
    with_key = command(*judge)
    assert with_key.exit_code == 0, with_key.output
    assert "hashed with a key" not in with_key.stderr
    (folder / "headwatch.key").rename(tmp_path / "kept.key")
    without = command(*judge)
    assert without.stderr.splitlines()[0] == (
        f"{file}: its rare words are hashed with a key that is not here, so new words are "
        "noticed later; name the key with --key-file"
    )
    named = command(*judge, "--key-file", tmp_path / "kept.key")
    assert (named.exit_code, named.stdout) == (0, with_key.stdout)
    (tmp_path / "other.key").write_bytes(b"x" * 32)
    wrong = command(*judge, "--key-file", tmp_path / "other.key")
    assert str(wrong.exception) == (
        f"--key-file = {tmp_path / 'other.key'}: is not the key of {file}; give the one it was made with"
    )
