"""The demo's servers: all ended with it, and a clear message when one fails."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

import httpx
import pytest

from examples.demo.clients import AlertReceiver
from examples.demo.processes import Child, Children, DemoError, free_ports


def start(children: Children, folder: Path, code: str, *, url: str = "http://127.0.0.1:9/") -> Child:
    return children.start(
        "server", [sys.executable, "-c", code], ready=url, environment={"GREETING": "hello"}, folder=folder
    )


def runs(pid: int) -> bool:
    """Whether the process lives; one that nobody has waited for yet is dead all the same."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False


def test_a_child_is_ready_when_it_answers_and_gone_afterwards(tmp_path: Path) -> None:
    [port] = free_ports(1)
    code = f"import http.server as h; h.test(h.SimpleHTTPRequestHandler, port={port}, bind='127.0.0.1')"
    with Children(tmp_path) as children:
        child = start(children, tmp_path, code, url=f"http://127.0.0.1:{port}/")
        children.wait_ready(child, seconds=20)
        children.check()
    assert not runs(child.process.pid)


def test_a_child_that_ignores_the_signal_is_killed_with_its_own_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("examples.demo.processes.GRACE", 0.3)
    code = (
        "import signal, subprocess, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print(subprocess.Popen(['sleep', '600']).pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    with Children(tmp_path) as children:
        child = start(children, tmp_path, code)
        deadline = time.monotonic() + 10
        while not child.log.read_text(encoding="utf-8").strip() and time.monotonic() < deadline:
            time.sleep(0.02)
    grandchild = int(child.log.read_text(encoding="utf-8"))
    assert child.process.returncode == -signal.SIGKILL
    deadline = time.monotonic() + 10
    while runs(grandchild) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not runs(grandchild)


def test_a_child_that_dies_is_told_with_its_last_lines_and_their_file(tmp_path: Path) -> None:
    code = "import os; print(os.environ['GREETING'], flush=True); os._exit(3)"
    with Children(tmp_path) as children:
        child = start(children, tmp_path, code)
        with pytest.raises(DemoError) as error:
            children.wait_ready(child, seconds=20)
    log = tmp_path / "server.log"
    assert str(error.value) == f"server ended with exit code 3; the last lines of {log}:\n    hello"


def test_a_child_that_never_answers_is_given_up(tmp_path: Path) -> None:
    with Children(tmp_path) as children:
        child = start(children, tmp_path, "import time; time.sleep(600)")
        with pytest.raises(DemoError) as error:
            children.wait_ready(child, seconds=0.5)
    log = tmp_path / "server.log"
    assert str(error.value) == (
        f"server did not answer http://127.0.0.1:9/ in 0.5 s; the last lines of {log}:\n    (empty)"
    )


def test_free_ports_are_all_different() -> None:
    assert len(set(free_ports(20))) == 20


def test_the_webhook_keeps_what_alertmanager_posts() -> None:
    alerts = [{"status": "firing", "labels": {"alertname": "A"}, "annotations": {"summary": "s"}}]
    with AlertReceiver() as receiver:
        httpx.post(receiver.url, json={"version": "4", "alerts": alerts}, trust_env=False).raise_for_status()
        [alert] = receiver.received()
    assert alert.firing
    assert alert.labels == {"alertname": "A"}
    assert alert.annotations == {"summary": "s"}
