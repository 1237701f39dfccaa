"""A real receiver on loopback over a real state file."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import pytest
import uvicorn

from monitor.ingest.http import build_ingest_app
from monitor.ingest.intake import Intake
from monitor.ingest.settings import IngestSettings
from monitor.state.settings import StateSettings, WindowSettings
from monitor.state.store import StateStore


@dataclass(frozen=True)
class Receiver:
    client: httpx.Client
    intake: Intake
    store: StateStore

    def samples(self):
        """What the state file holds, once the writer has caught up."""
        end = time.monotonic() + 5
        while self.intake.queue_length and time.monotonic() < end:
            time.sleep(0.01)
        self.intake.stop()
        return self.store.window_samples(0)


@contextmanager
def serve(app) -> Iterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        end = time.monotonic() + 10
        while not server.started and time.monotonic() < end:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@pytest.fixture
def store(tmp_path):
    window = WindowSettings(samples=1000, minimum_samples=10)
    opened = StateStore(tmp_path / "state.sqlite", settings=StateSettings(), window=window, clock=time.time)
    yield opened
    opened.close()


@pytest.fixture
def start_receiver(store):
    """Start a receiver: keyword arguments are ingest settings; ``sink`` replaces the state file."""
    running = []

    def start(*, sink=None, environment=None, **settings) -> Receiver:
        configured = IngestSettings(**settings)
        intake = Intake(store if sink is None else sink, settings=configured)
        numbers = itertools.count(1)
        app = build_ingest_app(
            intake,
            configured,
            id_factory=lambda: f"made-{next(numbers)}",
            clock=lambda: 1000.0,
            environment=environment or {},
        )
        context = serve(app)
        client = httpx.Client(base_url=context.__enter__(), timeout=15)
        running.append((context, client, intake))
        return Receiver(client=client, intake=intake, store=store)

    yield start
    for context, client, intake in running:
        client.close()
        context.__exit__(None, None, None)
        intake.stop()


@pytest.fixture
def receiver(start_receiver):
    return start_receiver()
