"""The running sidecar as its neighbours feel it: a whole cycle, ingest beside it, and a scrape.

    python -m benchmarks.cycle.bench [--smoke]

A real ``headwatch run`` process watches the demo's sentiment model. Measured from outside: samples a
second from the close of a window to its verdict, requests a second and latency of POST /v1/samples
with and without a cycle running beside it, and how long /metrics takes to answer.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from benchmarks.machine import machine
from examples.sentiment.assemble import assemble
from examples.sentiment.texts import rotten_tomatoes

RESULTS = Path(__file__).parents[1] / "results" / "cycle.json"
WINDOW = 200


def main() -> None:
    """Run, print a table, store the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="a run of seconds that stores nothing")
    options = parser.parse_args()
    windows, baseline, scrapes = (1, 200, 5) if options.smoke else (5, 1000, 50)
    with tempfile.TemporaryDirectory() as folder, sidecar(Path(folder), baseline=baseline) as ports:
        result = measure(ports, windows=windows, baseline=baseline, scrapes=scrapes)
    for name, value in result.items():
        print(f"{name:44} {value:10.4g}")
    if not options.smoke:
        RESULTS.parent.mkdir(parents=True, exist_ok=True)
        RESULTS.write_text(json.dumps({"machine": machine(), "result": result}, indent=2) + "\n")


def measure(ports: tuple[int, int], *, windows: int, baseline: int, scrapes: int) -> dict[str, float]:
    """Feed a baseline, then windows; all figures are medians over windows or requests."""
    ingest, operations = ports
    texts = [text.text for text in rotten_tomatoes().held_out]
    feed = Feed(ingest, texts)
    for _ in range(baseline // WINDOW):
        feed.send_window()
        wait_for_verdicts(operations, feed.windows)
    idle = load(ingest, seconds=2.0)
    seconds: list[float] = []
    busy: list[float] = []
    busy_rates: list[float] = []
    for _ in range(windows):
        feed.send_window()
        started = time.perf_counter()
        during = LoadBeside(ingest)
        wait_for_verdicts(operations, feed.windows)
        seconds.append(time.perf_counter() - started)
        latencies, rate = during.stop()
        busy += latencies
        busy_rates.append(rate)
    scrape_seconds, size = scrape(operations, scrapes)
    return {
        "cycle_seconds_per_window": statistics.median(seconds),
        "cycle_samples_per_second": WINDOW / statistics.median(seconds),
        "ingest_requests_per_second_idle": len(idle) / 2.0,
        "ingest_p99_seconds_idle": quantile(idle, 0.99),
        "ingest_requests_per_second_beside_a_cycle": statistics.median(busy_rates),
        "ingest_p99_seconds_beside_a_cycle": quantile(busy, 0.99),
        "scrape_median_seconds": statistics.median(scrape_seconds),
        "scrape_p99_seconds": quantile(scrape_seconds, 0.99),
        "scrape_bytes": float(size),
    }


class Feed:
    """Sends windows of real sentences, each with a new id."""

    def __init__(self, port: int, texts: list[str]) -> None:
        self.windows = 0
        self._port = port
        self._texts = texts
        self._sent = 0

    def send_window(self) -> None:
        """One window's requests in one durable post."""
        batch = [
            {"id": f"w{i}", "text": self._texts[i % len(self._texts)]}
            for i in range(self._sent, self._sent + WINDOW)
        ]
        self._sent += WINDOW
        self.windows += 1
        status, body = request(self._port, "POST", "/v1/samples?durable=true", json.dumps(batch))
        if status != 200:
            raise SystemExit(f"the sidecar answered {status}: {body!r}")


class LoadBeside:
    """One client that posts single requests while a cycle runs."""

    def __init__(self, port: int) -> None:
        self._stop = threading.Event()
        self._latencies: list[float] = []
        self._port = port
        self._started = time.perf_counter()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> tuple[list[float], float]:
        """Latencies in seconds, and requests a second."""
        self._stop.set()
        self._thread.join()
        return self._latencies, len(self._latencies) / (time.perf_counter() - self._started)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._latencies += load(self._port, seconds=0.2)


def load(port: int, *, seconds: float) -> list[float]:
    """Latencies of back-to-back posts over one kept-alive connection.

    The body repeats one id, so that it is received, parsed and queued but fills no window.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    body = json.dumps({"id": "same", "text": "the same request again and again"})
    latencies: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        started = time.perf_counter()
        connection.request("POST", "/v1/samples", body, {"Content-Type": "application/json"})
        connection.getresponse().read()
        latencies.append(time.perf_counter() - started)
    connection.close()
    return latencies


def scrape(port: int, times: int) -> tuple[list[float], int]:
    """Seconds that each scrape of /metrics took, and the size of the last one in bytes."""
    seconds, size = [], 0
    for _ in range(times):
        started = time.perf_counter()
        status, body = request(port, "GET", "/metrics")
        seconds.append(time.perf_counter() - started)
        size = len(body)
        if status != 200:
            raise SystemExit(f"/metrics answered {status}")
    return seconds, size


def wait_for_verdicts(port: int, count: int, *, timeout: float = 120.0) -> None:
    """Until so many windows are judged."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        _, body = request(port, "GET", f"/v1/verdicts?after={count - 2}")
        verdicts = json.loads(body)["verdicts"]
        if verdicts and verdicts[-1]["index"] >= count - 1:
            return
        time.sleep(0.02)
    raise SystemExit(f"window {count - 1} was not judged within {timeout:g} s")


def quantile(values: list[float], share: float) -> float:
    """The empirical quantile."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def request(port: int, method: str, path: str, body: str | None = None) -> tuple[int, bytes]:
    """One request on its own connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def sidecar(folder: Path, *, baseline: int) -> Iterator[tuple[int, int]]:
    """A running ``headwatch run`` that is ready; its ingest and operations ports."""
    ingest, operations = free_port(), free_port()
    config: dict[str, Any] = {
        "model": {"source": str(assemble(folder / "sentiment"))},
        "ingest": {"listen": f"127.0.0.1:{ingest}"},
        "window": {"requests": WINDOW, "samples": WINDOW},
        "baseline": {"duration": "0s", "samples": baseline, "minimum_samples": 200},
        "drift": {"false_alarms": "1 per 8640 windows"},
        "schedule": {"profile": "100ms", "evaluation": "100ms"},
        "state": {"file": str(folder / "state.sqlite")},
        "exporters": {"prometheus": {"listen": f"127.0.0.1:{operations}"}},
    }
    path = folder / "headwatch.yaml"
    path.write_text(yaml.safe_dump(config))
    process = subprocess.Popen(
        [sys.executable, "-m", "monitor.cli", "run", "-c", str(path)],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    try:
        wait_until_ready(operations, process)
        yield ingest, operations
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


def wait_until_ready(port: int, process: subprocess.Popen[bytes], *, timeout: float = 120.0) -> None:
    """Until /-/ready says yes."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if process.poll() is not None:
            raise SystemExit(f"headwatch ended with exit code {process.returncode}")
        with contextlib.suppress(OSError):
            if request(port, "GET", "/-/ready")[0] == 200:
                return
        time.sleep(0.1)
    raise SystemExit(f"headwatch was not ready within {timeout:g} s")


if __name__ == "__main__":
    main()
