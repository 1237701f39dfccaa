"""POST /v1/samples on loopback, idle and beside a computation in the same process.

    python -m benchmarks.ingest.bench [--smoke] [--beside MODULE:FUNCTION]

The receiver, its writer and a state file run in this process, the sender in another. Each scenario
is measured as fast as it goes (8 connections) and at a steady rate; p99 counts from when a request
was due. FUNCTION takes a ``threading.Event`` and computes until it is set; by default it multiplies
matrices on one thread, as a replay with one torch thread would.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn

from monitor.ingest.http import build_ingest_app
from monitor.ingest.intake import Intake
from monitor.ingest.settings import IngestSettings
from monitor.state.settings import StateSettings, WindowSettings
from monitor.state.store import StateStore

RESULTS = Path(__file__).parents[1] / "results" / "ingest.json"
CONNECTIONS = 8
STEADY_RATE = 200
Beside = Callable[[threading.Event], None]


def main() -> None:
    """Run, print a table, store the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="a run of seconds that stores nothing")
    parser.add_argument("--beside", metavar="MODULE:FUNCTION", help="what to compute beside the receiver")
    options = parser.parse_args()
    seconds = 1.0 if options.smoke else 10.0
    beside = _load(options.beside) if options.beside else multiply_matrices
    result = measure(beside, seconds=seconds)
    for scenario, numbers in result.items():
        print(f"{scenario:24}", "  ".join(f"{name} {value:10.4g}" for name, value in numbers.items()))
    if not options.smoke:
        RESULTS.parent.mkdir(parents=True, exist_ok=True)
        content = {"machine": _machine(), "connections": CONNECTIONS, "result": result}
        RESULTS.write_text(json.dumps(content, indent=2) + "\n")


def measure(beside: Beside, *, seconds: float) -> dict[str, dict[str, float]]:
    """Both scenarios, alternately, so that the ratio between them is of the same minutes."""
    result: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder, receiver(Path(folder)) as (port, intake):
        _send(port, seconds=min(1.0, seconds), rate=0)
        for rate, name in ((0, "full"), (STEADY_RATE, "steady")):
            before = time.process_time()
            idle = _summarise(_send(port, seconds=seconds, rate=rate))
            spent = time.process_time() - before
            idle["cpu_seconds_per_request"] = spent / (idle["requests_per_second"] * seconds)
            result[f"{name}_idle"] = idle
            stop = threading.Event()
            load = threading.Thread(target=beside, args=(stop,))
            load.start()
            try:
                result[f"{name}_beside_compute"] = _summarise(_send(port, seconds=seconds, rate=rate))
            finally:
                stop.set()
                load.join()
        result["dropped"] = {"samples": float(sum(intake.dropped.values()))}
    return result


def multiply_matrices(stop: threading.Event) -> None:
    """Float32 products of the size of a small encoder's batch; numpy lets other threads run inside."""
    rng = np.random.default_rng(0)
    left, right = (rng.standard_normal((512, 512), dtype=np.float32) for _ in range(2))
    while not stop.is_set():
        np.matmul(left, right)


@contextlib.contextmanager
def receiver(folder: Path) -> Iterator[tuple[int, Intake]]:
    """The receiver over a real state file, served by uvicorn in a thread."""
    window = WindowSettings(duration=10.0)
    store = StateStore(folder / "state.sqlite", settings=StateSettings(), window=window, clock=time.time)
    settings = IngestSettings()
    intake = Intake(store, settings=settings)
    app = build_ingest_app(intake, settings, id_factory=lambda: "made", clock=time.time, environment={})
    listener = socket.create_server(("127.0.0.1", 0))
    # asyncio sets this only on sockets it opened itself; without it every answer waits 40 ms for an ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield listener.getsockname()[1], intake
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
        intake.stop()
        store.close()


def _send(port: int, *, seconds: float, rate: float) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.ingest.client"]
    arguments = [str(port), str(CONNECTIONS), str(seconds), str(rate)]
    done = subprocess.run([*command, *arguments], check=True, capture_output=True, text=True)
    sent: dict[str, Any] = json.loads(done.stdout)
    return sent


def _summarise(sent: dict[str, Any]) -> dict[str, float]:
    latencies = np.array(sent["latencies"])
    return {
        "requests_per_second": len(latencies) / sent["seconds"],
        "p50_seconds": float(np.quantile(latencies, 0.5)),
        "p99_seconds": float(np.quantile(latencies, 0.99)),
        "failures": float(sent["failures"]),
    }


def _load(name: str) -> Beside:
    module, _, function = name.partition(":")
    loaded: Beside = getattr(importlib.import_module(module), function)
    return loaded


def _machine() -> dict[str, object]:
    try:
        from benchmarks.machine import machine
    except ImportError:
        return {}
    return dict(machine())


if __name__ == "__main__":
    main()
