"""The whole story, as `make demo DEMO=--exit` plays it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "examples.demo", "--keep", str(folder / "run")]
    command += ["--summary", str(folder / "summary.json"), *options]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8"
    )


def processes_of(folder: Path) -> Iterator[str]:
    """Command lines of the processes that were started for a run in ``folder``."""
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
        except OSError:  # ended meanwhile
            continue
        if str(folder).encode() in words and int(entry.name) != os.getpid():
            yield words.replace(b"\0", b" ").decode()


@pytest.mark.slow
def test_the_demo_keeps_every_promise_and_leaves_nothing_running(tmp_path: Path) -> None:
    demo = start(tmp_path, "--exit", "--seed", "17")
    output, _ = demo.communicate(timeout=900)
    summary = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert summary["failed"] == [], output
    assert demo.returncode == 0
    assert summary["passed"]
    assert [act["act"] for act in summary["acts"]] == ["domain", "trigger", "fault"]
    assert list(processes_of(tmp_path)) == []


@pytest.mark.slow
def test_ctrl_c_in_the_middle_ends_every_server(tmp_path: Path) -> None:
    demo = start(tmp_path, "--seed", "1")
    sidecar = tmp_path / "run" / "sidecar.log"
    deadline = time.monotonic() + 120
    while not sidecar.exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    time.sleep(3)
    assert list(processes_of(tmp_path))
    demo.send_signal(signal.SIGINT)
    output, _ = demo.communicate(timeout=180)
    assert demo.returncode == 130
    assert output.splitlines()[-1] == "interrupted; all servers were ended"
    assert list(processes_of(tmp_path)) == []


def test_a_folder_that_is_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").touch()
    demo = start(tmp_path, "--exit")
    output, _ = demo.communicate(timeout=180)
    assert demo.returncode == 1
    assert output == f"--keep {tmp_path / 'run'}: the folder is not empty; name another one\n"
