"""Child processes: started with a log file each, watched, and ended by their own process id."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import httpx

LAST_LINES = 15
GRACE = 10.0


class DemoError(Exception):
    """Something that ends the demo; the message is for the person at the terminal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """One running server. ``url`` answers 2xx once it is ready."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    url: str


class Children:
    """The servers of one run; use it as a context, so that none outlives it."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._children: list[Child] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def start(
        self, name: str, command: Sequence[str], *, ready: str, environment: Mapping[str, str], folder: Path
    ) -> Child:
        """Start ``command`` in ``folder``; its output goes to ``<logs>/<name>.log``."""
        log = self._logs / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                list(command),
                cwd=folder,
                env={**_clean_environment(), **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches the demo only, which ends the others in order
            )
        child = Child(name=name, process=process, log=log, url=ready)
        self._children.append(child)
        return child

    def check(self) -> None:
        """Raise if a child has died."""
        for child in self._children:
            code = child.process.poll()
            if code is not None:
                raise DemoError(f"{child.name} ended with exit code {code}; {last_lines(child.log)}")

    def wait_ready(self, child: Child, *, seconds: float) -> None:
        """Return once ``child`` answers."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.check()
            with suppress(httpx.TransportError):
                if httpx.get(child.url, timeout=2.0, trust_env=False).is_success:
                    return
            time.sleep(0.2)
        raise DemoError(f"{child.name} did not answer {child.url} in {seconds:g} s; {last_lines(child.log)}")

    def end(self) -> None:
        """Ask all to end, wait, then kill what is left, children of children included."""
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must leave no orphan
        try:
            self._end()
        finally:
            signal.signal(signal.SIGINT, before)

    def _end(self) -> None:
        for child in reversed(self._children):
            if child.process.poll() is None:
                child.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + GRACE
        for child in self._children:
            with suppress(subprocess.TimeoutExpired):
                child.process.wait(timeout=max(0.1, deadline - time.monotonic()))
            with suppress(ProcessLookupError):  # its session, in which it was the first process
                os.killpg(child.process.pid, signal.SIGKILL)
            child.process.wait()
        self._children.clear()


def _clean_environment() -> dict[str, str]:
    """Ours without what would configure the servers behind the demo's back, or proxy loopback."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("HEADWATCH_", "MLFLOW_"))}
    return {**kept, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}


def last_lines(log: Path) -> str:
    """The end of a log file with its path, for an error message."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:]
    return "\n".join((f"the last lines of {log}:", *(f"    {line}" for line in lines or ["(empty)"])))


def free_ports(count: int) -> list[int]:
    """Loopback ports that could be bound a moment ago, all different."""
    with ExitStack() as held:
        ports = []
        for _ in range(count):
            listener = held.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            ports.append(int(listener.getsockname()[1]))
        return ports
