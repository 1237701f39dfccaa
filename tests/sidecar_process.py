"""A real ``headwatch run`` process for tests, and the few requests that tests send to it."""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.servers import Server, free_port, get_json


@dataclass(kw_only=True)
class Sidecar:
    """The process with both its addresses; it may be killed and started again."""

    server: Server
    ingest: str
    state: Path

    @property
    def operations(self) -> str:
        return self.server.url

    def send(self, samples: Sequence[Mapping[str, Any]], *, durable: bool = True) -> None:
        query = "?durable=true" if durable else ""
        request = urllib.request.Request(
            f"{self.ingest}/v1/samples{query}",
            data=json.dumps(list(samples)).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status == 200

    def verdicts(self, *, after: int = -1) -> list[dict[str, Any]]:
        """Those of all windows, or of those that come after the one with this index."""
        found: list[dict[str, Any]] = []
        while True:
            after = found[-1]["index"] if found else after
            answer = get_json(f"{self.operations}/v1/verdicts?after={after}")
            assert isinstance(answer, dict)
            if not answer["verdicts"]:
                return found
            found += answer["verdicts"]

    def status(self) -> dict[str, Any]:
        answer = get_json(f"{self.operations}/v1/status")
        assert isinstance(answer, dict)
        return answer

    def metrics(self) -> str:
        with urllib.request.urlopen(f"{self.operations}/metrics", timeout=10) as answer:
            return str(answer.read().decode())


def sidecar(folder: Path, *, model: Path, **sections: Mapping[str, Any]) -> Sidecar:
    """Not started yet. Windows of 40 requests, a live baseline of 200 samples, quick jobs."""
    folder.mkdir(parents=True, exist_ok=True)
    ingest, operations = free_port(), free_port()
    config: dict[str, Any] = {
        "model": {"source": str(model)},
        "ingest": {"listen": f"127.0.0.1:{ingest}"},
        "window": {"requests": 40, "samples": 40, "minimum_samples": 30},
        "analysis": {"attribution": {"samples": 1}},
        "baseline": {"duration": "0s", "samples": 200, "minimum_samples": 200},
        "drift": {"false_alarms": "1 per 8640 windows"},
        "schedule": {"profile": "100ms", "evaluation": "100ms", "export": "200ms", "attribution": "500ms"},
        "state": {"file": str(folder / "state.sqlite")},
        "exporters": {"prometheus": {"listen": f"127.0.0.1:{operations}"}},
    }
    for name, section in sections.items():
        config[name] = {**config.get(name, {}), **section}
    path = folder / "headwatch.yaml"
    path.write_text(yaml.safe_dump(config))
    server = Server(
        url=f"http://127.0.0.1:{operations}",
        command=[sys.executable, "-m", "monitor.cli", "run", "-c", str(path)],
        folder=folder,
        environment={
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(Path(__file__).parents[1]),
        },
        health="/-/ready",
    )
    return Sidecar(server=server, ingest=f"http://127.0.0.1:{ingest}", state=folder / "state.sqlite")
