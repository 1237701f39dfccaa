"""What every reporting command writes, and where: 80 columns, JSON alone, pipes, terminals, completion."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from rich.progress import Progress

from benchmarks.detection.faults import damaged_head
from monitor.cli import main
from monitor.commands.head_table import HEADS_A_LINE
from monitor.commands.progress import TimeLeft
from tests.models import WORDS, save_tiny

ROOT = Path(__file__).parents[1]
PLAIN = [word for word in WORDS if word.isalpha()]
ANSI = re.compile(r"\x1b")
COLOURED = {"TERM": "xterm-256color", "COLUMNS": "80"}


def sentences(count: int, *, seed: int) -> list[str]:
    """Random ones that never have the last word."""
    draw = np.random.default_rng(seed)
    return [" ".join(draw.choice(PLAIN[:-1], draw.integers(3, 12))) for _ in range(count)]


def write_log(path: Path, texts: list[str]) -> Path:
    path.write_text("".join(json.dumps({"id": f"s{i}", "text": t}) + "\n" for i, t in enumerate(texts)))
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a tiny model, a damaged copy, logs, a baseline (built in pipes), a configuration."""
    folder = tmp_path_factory.mktemp("terminal")
    model = save_tiny("bert", folder / "model")
    shutil.copytree(model, folder / "damaged")
    damaged_head(0, 1, heads=4, damage="output_zeroed").files(folder / "damaged")
    write_log(folder / "normal.jsonl", sentences(220, seed=1))
    new_word = [f"{text} {PLAIN[-1]}" for text in sentences(60, seed=3)]
    write_log(folder / "stream.jsonl", [*sentences(60, seed=2), *new_word])
    (folder / "labels.jsonl").write_text('{"start": 60, "end": 120, "name": "a new word", "cause": "data"}\n')
    (folder / "headwatch.yaml").write_text(f"model:\n  source: {model}\n")
    built = ["baseline", "build", "--model", model, "--input", folder / "normal.jsonl",
             "--output", folder / "made.headwatch", "--attributions", 0]  # fmt: skip
    code, out, err = run(built, COLOURED)
    assert code == 0, err
    (folder / "piped.txt").write_text(out + err)
    return folder


def run(arguments: list[object], environment: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    """The command in a process of its own, its output in pipes."""
    done = subprocess.run(
        [sys.executable, "-m", "monitor.cli", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **(environment or {})},
    )
    return done.returncode, done.stdout, done.stderr


def reports(place: Path) -> dict[str, list[object]]:
    """Every command that reports, as somebody would call it."""
    model, normal, stream = place / "model", place / "normal.jsonl", place / "stream.jsonl"
    judged = ["backtest", "--model", model, "--baseline", place / "made.headwatch", "--stream", stream]
    return {
        "check": ["check", "--config", place / "headwatch.yaml"],
        "profile": ["profile", "--model", model, "--input", stream, "--output", place / "p.npz", "--heads"],
        "explain": ["explain", "--model", model, "--text", " ".join(PLAIN[:8]), "--also", "relevance"],
        "compare": ["compare", "--model", model, "--candidate", place / "damaged", "--input", stream],
        "backtest": [*judged, "--window", 60, "--no-gradient"],
        "backtest --labels": [*judged, "--window", 30, "--window", 60, "--labels", place / "labels.jsonl",
                              "--no-gradient"],
        "baseline build": ["baseline", "build", "--model", model, "--input", normal,
                           "--output", place / "again.headwatch", "--attributions", 0],
        "baseline list": ["baseline", "list", place],
        "baseline show": ["baseline", "show", place / "made.headwatch"],
        "baseline promote": ["baseline", "promote", place / "made.headwatch", place / "folder"],
    }  # fmt: skip


REPORTS = ("check", "profile", "explain", "compare", "backtest", "backtest --labels", "baseline build",
           "baseline list", "baseline show", "baseline promote")  # fmt: skip


@pytest.fixture
def here(capsys, monkeypatch):
    """``here(arguments, columns)``: a command in this process, in a terminal so wide."""

    def call(arguments, columns=None):
        if columns is None:
            monkeypatch.delenv("COLUMNS", raising=False)
        else:
            monkeypatch.setenv("COLUMNS", str(columns))
        with pytest.raises(SystemExit) as left:
            main([str(one) for one in arguments])
        return left.value.code, *capsys.readouterr()

    return call


# --- widths --------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("name", REPORTS)
def test_every_report_fits(here, place, name, columns):
    code, out, err = here(reports(place)[name], columns)
    assert code == 0, err
    long_ones = [line for line in out.splitlines() if len(line.rstrip()) > columns]
    # a path is never broken: cut in two it leads nowhere
    assert [line for line in long_ones if str(place) not in line] == []
    assert "…" not in out
    assert len(out.splitlines()) >= 1


def test_the_table_of_heads_is_as_wide_as_its_title_says():
    assert 5 + 6 * HEADS_A_LINE <= 80


def test_a_sentence_goes_on_where_it_began(here, place):
    _, out, _ = here(["check", "--config", place / "headwatch.yaml"], 80)
    lines = out.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("  statistics"))
    assert lines[start].startswith("  statistics        entropy, content_entropy,")
    assert re.fullmatch(r" {20}\S.*", lines[start + 1])


def test_in_a_pipe_a_sentence_stays_one_line(here, place):
    _, out, _ = here(["check", "--config", place / "headwatch.yaml"])
    assert any(
        line.startswith("  statistics") and line.endswith("readout_special") for line in out.splitlines()
    )


# --- JSON ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REPORTS)
def test_json_is_one_document_and_nothing_else(here, place, name):
    code, out, err = here([*reports(place)[name], "--json"])
    assert code == 0, err
    assert isinstance(json.loads(out), dict | list)
    assert out.endswith(("}\n", "]\n"))
    assert out.isascii()


def test_json_into_a_file_leaves_the_words_where_they_are(here, place):
    arguments = reports(place)["backtest"]
    _, plain, _ = here(arguments)
    _, beside, _ = here([*arguments, "--json", place / "out.json"])
    _, alone, _ = here([*arguments, "--json", "-"])
    assert beside == plain
    assert json.loads(alone) == json.loads((place / "out.json").read_text())


def test_a_bare_json_does_not_swallow_the_next_option(here, place):
    code, out, err = here(["compare", "--json", *reports(place)["compare"][1:], "--noise-samples", 0])
    assert code == 0, err
    assert json.loads(out)["differs"] is True


def test_what_json_says_is_what_the_words_say(here, place):
    _, out, _ = here([*reports(place)["baseline build"], "--json"])
    built = json.loads(out)
    assert (built["samples"], built["file"]) == (220, str(place / "again.headwatch"))
    _, out, _ = here([*reports(place)["profile"], "--json"])
    profiled = json.loads(out)
    assert (profiled["samples"], profiled["skipped"], profiled["refused_samples"]) == (120, [], [])
    assert profiled["head_report"]["samples"] == 120
    _, out, _ = here([*reports(place)["baseline promote"], "--json"])
    version = json.loads(out)["version"]
    assert (place / "folder" / "current.headwatch").resolve().name == f"{version}.headwatch"


# --- pipes and terminals -------------------------------------------------------------------------


def test_check_does_not_show_the_verdict_on_its_own_test_inputs_as_an_alarm(place, tmp_path):
    file = tmp_path / "headwatch.yaml"
    file.write_text(
        f"model:\n  source: {place / 'model'}\nbaseline:\n  file: {place / 'made.headwatch'}\n"
        f"state:\n  file: {tmp_path / 'state.sqlite'}\n"
    )
    code, out, err = run(["check", "--config", file])
    assert (code, err) == (0, "")
    assert "a verdict on the window, against baseline" in out


@pytest.fixture(scope="module")
def foreign_in_a_pipe(place):
    """A real ``explain`` of words that its output cannot encode, started from a terminal with colours."""
    arguments = ["explain", "--model", place / "model", "--text", "größe ☃"]
    return run(arguments, {**COLOURED, "PYTHONIOENCODING": "ascii"})


def test_nothing_is_coloured_or_drawn_in_a_pipe(place, foreign_in_a_pipe):
    code, out, err = foreign_in_a_pipe
    assert code == 0, err
    assert not ANSI.search(out + err)
    built = (place / "piped.txt").read_text()
    assert "220 samples" in built
    assert not ANSI.search(built)


def test_the_end_of_the_reader_ends_the_writer_without_a_word(place):
    call = f"{sys.executable} -m monitor.cli baseline show {place}/made.headwatch"
    shell = f"{call} | head -0; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", shell], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "141\n"
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_a_token_that_the_output_cannot_encode_is_no_failure(foreign_in_a_pipe):
    code, out, err = foreign_in_a_pipe
    assert code == 0, err
    assert out.isascii()
    assert "Driving it most: 'gr??e', '?'." in out


def seen_by_terminal(arguments: list[object], *, stdout: object, **environment: str) -> tuple[int, str]:
    """Run it with stderr on a terminal of its own; gives the exit code and what was drawn there."""
    outer, inner = pty.openpty()
    inherited = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS")}
    process = subprocess.Popen(
        [sys.executable, "-m", "monitor.cli", *map(str, arguments)],
        cwd=ROOT,
        stdin=inner,
        stdout=inner if stdout is None else stdout,
        stderr=inner,
        env={**inherited, "TERM": "xterm", "COLUMNS": "80", **environment},
    )
    os.close(inner)
    drawn = b""
    while select.select([outer], [], [], 120)[0]:
        try:
            drawn += os.read(outer, 65536)
        except OSError:
            break
    os.close(outer)
    return process.wait(timeout=60), drawn.decode()


@pytest.fixture
def beside_a_terminal(monkeypatch):
    """``beside_a_terminal(arguments, file)``: as ``seen_by_terminal``, but in this process: that is quick."""

    def call(arguments: list[object], out: Path, **environment: str) -> tuple[int, str]:
        outer, inner = pty.openpty()
        drawn = bytearray()
        reader = threading.Thread(target=_read, args=(outer, drawn))
        reader.start()
        with os.fdopen(inner, "w") as terminal, out.open("w") as file, monkeypatch.context() as patch:
            for name, value in {"TERM": "xterm", "COLUMNS": "80", **environment}.items():
                patch.setenv(name, value)
            patch.delenv("NO_COLOR", raising=False)
            patch.setattr(sys, "stderr", terminal)
            patch.setattr(sys, "stdout", file)
            with pytest.raises(SystemExit) as left:
                main([str(one) for one in arguments])
        reader.join()
        os.close(outer)
        return left.value.code, drawn.decode()

    return call


def _read(outer: int, drawn: bytearray) -> None:
    """All that is drawn, until nobody has the terminal open any more."""
    with contextlib.suppress(OSError):
        while found := os.read(outer, 65536):
            drawn += found


@pytest.mark.parametrize(
    ("name", "title", "seen"),
    [
        ("baseline build", "profiling", r"about \d+:\d\d left"),
        ("profile", "profiling", r"about \d+:\d\d left"),
        ("compare", "candidate", r"about \d+:\d\d left"),
        # so short a log is judged in one piece
        ("backtest", "judging", r"120/120"),
    ],
)
def test_long_work_shows_its_progress_on_a_terminal(place, tmp_path, beside_a_terminal, name, title, seen):
    arguments = reports(place)[name]
    if "about" in seen:  # an estimate takes half a second: the logs of the other tests are done before
        long = write_log(tmp_path / "long.jsonl", sentences(1500, seed=4))
        short = (place / "normal.jsonl", place / "stream.jsonl")
        arguments = [long if item in short else item for item in arguments]
    code, drawn = beside_a_terminal(arguments, tmp_path / "out")
    assert code == 0, drawn
    assert title in drawn
    assert re.search(seen, drawn)
    assert "about" not in (tmp_path / "out").read_text()


def test_a_check_shows_its_progress_on_a_terminal(place, tmp_path):
    with (tmp_path / "out").open("wb") as out:
        code, drawn = seen_by_terminal(reports(place)["check"], stdout=out)
    assert code == 0, drawn
    assert "model" in drawn
    assert re.search(r"about \d+:\d\d left", drawn)
    assert "about" not in (tmp_path / "out").read_text()


def test_a_bar_says_about_how_long_the_rest_takes_once_there_is_something_to_reckon_from():
    now = 0.0
    bar = Progress(TimeLeft(), get_time=lambda: now)
    number = bar.add_task("profiling", total=200)
    (task,) = bar.tasks
    said = []
    for now, done in ((0.0, 0), (1.0, 1), (2.0, 2), (60.0, 200)):  # noqa: B007 (the clock of the bar)
        bar.update(number, completed=done)
        said.append(TimeLeft().render(task).plain)
    assert said == ["", "", "about 3:18 left", ""]


def test_what_is_printed_beside_a_bar_still_lands_in_the_file(here, place, tmp_path):
    arguments = reports(place)["backtest"]
    with (tmp_path / "out").open("wb") as out:
        _, drawn = seen_by_terminal(arguments, stdout=out)
    assert "judging" in drawn
    _, piped, _ = here(arguments, 80)
    assert (tmp_path / "out").read_text() == piped
    assert "window 1: " in piped


def test_a_dumb_terminal_gets_no_bar(place, tmp_path, beside_a_terminal):
    code, drawn = beside_a_terminal(reports(place)["profile"], tmp_path / "out", TERM="dumb")
    assert code == 0
    assert "120 samples profiled" in drawn
    assert not ANSI.search(drawn)


# --- errors --------------------------------------------------------------------------------------


def test_an_unreadable_input_is_named_with_its_option(here, place):
    absent, empty, binary = place / "absent.jsonl", place / "empty.jsonl", place / "binary.jsonl"
    empty.write_text("")
    binary.write_bytes(bytes(range(256)))
    model = place / "model"
    for option, head in (
        ("--input", ["profile", "--model", model, "--output", place / "x.npz"]),
        ("--input", ["compare", "--model", model, "--candidate", model]),
        ("--input", ["baseline", "build", "--model", model, "--output", place / "x.headwatch"]),
        ("--input", ["check", "--config", place / "headwatch.yaml"]),
        ("--stream", ["backtest", "--model", model, "--baseline", place / "made.headwatch"]),
    ):
        for file, said in (
            (absent, "cannot be read (No such file or directory)"),
            (place, "cannot be read (Is a directory)"),
            (empty, "has no sample"),
            (binary, "has no sample"),
        ):
            code, out, err = here([*head, option, file])
            last = err.splitlines()[-1]
            assert (code, last.startswith(f"headwatch: {option} = {file}: {said}; ")) == (4, True), last
            assert "  ok  " in out or out == ""


# --- completion ----------------------------------------------------------------------------------


def installed(folder: Path) -> dict[str, str]:
    """An environment in which a shell finds ``headwatch``."""
    program = folder / "headwatch"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m monitor.cli "$@"\n')
    program.chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (
            "headwatch baseline p",
            '"promote":"Make another baseline the current one; the one before stays beside',
        ),
        ("headwatch status --w", "--watch"),
        ("headwatch run --config ", "headwatch.yaml"),
        ("headwatch profile --task tok", "token-classification"),
    ],
)
def test_zsh_is_offered_commands_options_and_files(place, tmp_path, typed, offered):
    environment = {
        **installed(tmp_path),
        "_TYPER_COMPLETE_ARGS": typed,
        "_HEADWATCH_COMPLETE": "complete_zsh",
    }
    # what the function that `--show-completion` gives zsh evaluates
    done = subprocess.run(
        [tmp_path / "headwatch"], cwd=place, env=environment, capture_output=True, text=True, check=True
    )
    assert offered in done.stdout


def test_bash_completes_commands_options_files_and_folders(place, tmp_path):
    script = tmp_path / "try.sh"
    script.write_text(
        'eval "$(_HEADWATCH_COMPLETE=source_bash headwatch)"\n'
        "try() {\n"
        '  COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 )); COMPREPLY=()\n'
        '  _headwatch_completion headwatch; echo "${COMPREPLY[*]}"\n'
        "}\n"
        "try headwatch ba\n"
        "try headwatch baseline p\n"
        "try headwatch status --w\n"
        'try headwatch run --config ""\n'
        "try headwatch explain --model m\n"
        f"try headwatch compare --candidate {place}/dam\n"
        "try headwatch profile --task tok\n"
        "try headwatch compare --fail-on i\n"
        "try headwatch check --config nothing-like-it\n"
        "complete -p headwatch\n"
    )
    done = subprocess.run(
        ["bash", "--norc", str(script)],
        cwd=place,
        env=installed(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "backtest baseline",
        "promote",
        "--watch",
        "headwatch.yaml",
        "model",
        f"{place}/damaged",
        "token-classification",
        "important",
        "",
        # where nothing of ours fits, the shell offers files as ever
        "complete -o default -F _headwatch_completion headwatch",
    ]
