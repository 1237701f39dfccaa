"""Real servers for tests: each on a free loopback port, ended by its own process."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

REQUIRED = "HEADWATCH_REQUIRE_SERVERS"


def need(*programs: str) -> None:
    """Skip the test where a program is missing; fail instead where the environment forbids it."""
    missing = [name for name in programs if shutil.which(name) is None]
    if not missing:
        return
    message = (
        f"not installed: {', '.join(missing)} (Debian packages prometheus, prometheus-alertmanager, chromium)"
    )
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"{message}, and {REQUIRED}=1 forbids to skip")
    pytest.skip(message)


def free_port() -> int:
    """A port that no server has, and that nobody else takes before a server of the test does.

    It lies below those that the system deals out: one of these would be anybody's again until then.
    """
    while True:
        port = next(_PORTS)
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port


def _ports() -> Iterator[int]:
    """20000 to 31999 in turn, from any of them on, for each worker of pytest-xdist a thousand."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    lowest = 20_000 + 1_000 * (worker % 12)
    start = random.SystemRandom().randrange(1_000)
    return (lowest + (start + count) % 1_000 for count in itertools.count())


_PORTS = _ports()


def get_json(url: str) -> object:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return json.load(answer)


def wait_for(what: str, check: Callable[[], object], *, seconds: float, every: float = 0.1) -> object:
    """The first true value that ``check`` returns; fails with ``what`` when time is up."""
    end = time.monotonic() + seconds
    while True:
        try:
            value = check()
        except (OSError, urllib.error.URLError):
            value = None
        if value:
            return value
        if time.monotonic() > end:
            pytest.fail(f"waited {seconds:g} s in vain: {what}")
        time.sleep(every)


@dataclass(kw_only=True)
class Server:
    """A server process with its address; ``log`` is where its output goes."""

    url: str
    command: Sequence[str]
    folder: Path
    environment: dict[str, str]
    health: str
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    def start(self, *, seconds: float = 180) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.environment},
                # A server with workers is a group of its own, so that all of it ends with it.
                start_new_session=True,
            )
        wait_for(f"{self.url}{self.health} answers; see {self.log}", self._healthy, seconds=seconds)

    def stop(self, *, kill: bool = False) -> None:
        if self.process is None:
            return
        group = self.process.pid
        try:
            os.killpg(group, 9 if kill else 15)
            self.process.wait(timeout=15)
        except ProcessLookupError:
            pass
        except subprocess.TimeoutExpired:
            os.killpg(group, 9)
            self.process.wait(timeout=15)
        self.process = None

    def _healthy(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            pytest.fail(
                f"{self.command[0]} ended with {self.process.returncode}:\n{self.log.read_text()[-2000:]}"
            )
        with urllib.request.urlopen(f"{self.url}{self.health}", timeout=2) as answer:
            return bool(answer.status == 200)


@contextmanager
def running(server: Server) -> Iterator[Server]:
    try:
        server.start()
        yield server
    finally:
        server.stop()


@contextmanager
def outage(server: Server) -> Iterator[None]:
    """A running server is killed, and starts again with its data when this ends."""
    server.stop(kill=True)
    try:
        yield
    finally:
        server.start()


def start_prometheus(
    folder: Path, *, targets: dict[str, str], alertmanager: str, rules: dict[str, object], interval: str
) -> Server:
    """Prometheus that scrapes ``targets`` (job name -> host:port) and evaluates ``rules``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rules.yml").write_text(yaml.safe_dump(rules))
    config = {
        "global": {"scrape_interval": interval, "evaluation_interval": interval, "scrape_timeout": interval},
        "rule_files": ["rules.yml"],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [target]}]} for job, target in targets.items()
        ],
        "alerting": {
            "alertmanagers": [{"static_configs": [{"targets": [alertmanager.removeprefix("http://")]}]}]
        },
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    command = [
        "prometheus",
        "--config.file=prometheus.yml",
        "--storage.tsdb.path=data",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
        # Alerts expire at Alertmanager after four resend delays; a test cannot wait for a minute.
        "--rules.alert.resend-delay=1s",
    ]
    return Server(
        url=f"http://127.0.0.1:{port}", command=command, folder=folder, environment={}, health="/-/ready"
    )


def start_alertmanager(folder: Path, *, config: dict[str, object]) -> Server:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "alertmanager.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    command = [
        "prometheus-alertmanager",
        "--config.file=alertmanager.yml",
        "--storage.path=data",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
        "--log.level=warn",
    ]
    return Server(
        url=f"http://127.0.0.1:{port}", command=command, folder=folder, environment={}, health="/-/ready"
    )


def start_mlflow(folder: Path) -> Server:
    """An MLflow server on SQLite that keeps its data in ``folder`` over restarts."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        f"--backend-store-uri=sqlite:///{folder}/mlflow.db",
        f"--artifacts-destination={folder}/artifacts",
        "--host=127.0.0.1",
        f"--port={port}",
        "--workers=1",
    ]
    environment = {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "OMP_NUM_THREADS": "1",
    }
    return Server(
        url=f"http://127.0.0.1:{port}",
        command=command,
        folder=folder,
        environment=environment,
        health="/health",
    )


@contextmanager
def http_server(
    *, get: Callable[[str, str], tuple[bytes, str]] | None = None, post: Callable[[bytes], int] | None = None
) -> Iterator[str]:
    """A tiny web server: ``get(path, accept)`` gives body and type, ``post(body)`` the status code."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body, content_type = (
                get(self.path, self.headers.get("Accept", "")) if get else (b"", "text/plain")
            )
            self._answer(200, body, content_type)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self._answer(post(body) if post else 200, b"", "text/plain")

        def _answer(self, status: int, body: bytes, content_type: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Tests read what arrived, not a log of it."""

    with serving(Handler) as url:
        yield url


@contextmanager
def proxy(
    target: str, *, lost: Callable[[], bool] = lambda: False, unknown: str | None = None
) -> Iterator[str]:
    """Passes every request on to ``target``, but for the faults that are asked for.

    ``lost``, asked once for each request: whether its answer is. ``unknown``: paths with this in them are
    answered by 404.
    """
    address = target.removeprefix("http://").split(":")

    class Handler(BaseHTTPRequestHandler):
        def handle_one_request(self) -> None:
            self.raw_requestline = self.rfile.readline()
            if not self.raw_requestline or not self.parse_request():
                self.close_connection = True
                return
            loses = lost()
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if unknown is not None and unknown in self.path:
                self.close_connection = True
                self.send_error(404)
                return
            onward = http.client.HTTPConnection(address[0], int(address[1]), timeout=30)
            headers = {**self.headers, "Host": ":".join(address), "Connection": "close"}
            onward.request(self.command, self.path, body, headers)
            answer = onward.getresponse()
            content = answer.read()
            onward.close()
            self.close_connection = True
            if loses:
                return
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.headers.get("Content-Type", "text/plain"))
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """The test reads what arrived."""

    with serving(Handler) as url:
        yield url


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """The address of a server on a thread, on a free port of this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
