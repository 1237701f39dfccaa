"""What the driver talks to: the inference server, the sidecar and Alertmanager's webhook."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import httpx

from examples.demo.processes import DemoError


class InferenceClient:
    """A user of the model, who knows nothing of monitoring."""

    def __init__(self, url: str, *, batch: int = 25) -> None:
        self._http = httpx.Client(base_url=url, timeout=60.0, trust_env=False)
        self._batch = batch

    def classify(self, texts: Sequence[str], *, on_progress: Callable[[int], None]) -> None:
        """Send ``texts`` in requests of a few; ``on_progress`` gets how many were answered."""
        for start in range(0, len(texts), self._batch):
            part = list(texts[start : start + self._batch])
            answer = self._http.post("/v1/models/sentiment:predict", json={"instances": part})
            if not answer.is_success or len(answer.json()["predictions"]) != len(part):
                raise DemoError(f"the inference server answered {answer.status_code}: {answer.text[:300]}")
            on_progress(start + len(part))

    def reload(self) -> None:
        """Tell the server that the model files are new, as a deployer does."""
        self._http.post("/reload").raise_for_status()

    def dropped(self) -> int:
        """Log entries that the server could not hand to the sidecar."""
        return int(self._http.get("/healthy").json()["log"]["dropped"])


class SidecarClient:
    """Reads what headwatch says; nothing is ever written to it here."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=20.0, trust_env=False)

    def status(self) -> dict[str, Any]:
        """``GET /v1/status``."""
        return self._get("/v1/status")

    def verdicts(self, *, after: int) -> list[dict[str, Any]]:
        """The verdicts of the windows behind ``after``, oldest first."""
        found: list[dict[str, Any]] = self._get(f"/v1/verdicts?after={after}")["verdicts"]
        return sorted(found, key=lambda verdict: int(verdict["index"]))

    def _get(self, path: str) -> dict[str, Any]:
        answer = self._http.get(path)
        if not answer.is_success:
            raise DemoError(f"the sidecar answered {answer.status_code} to {path}: {answer.text[:300]}")
        payload: dict[str, Any] = answer.json()
        return payload


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert of a webhook call. ``received`` in seconds since the epoch."""

    received: float
    firing: bool
    labels: dict[str, str]
    annotations: dict[str, str]


class AlertReceiver:
    """The webhook that Alertmanager calls: an HTTP server in a thread of the demo itself."""

    def __init__(self) -> None:
        self._alerts: list[Alert] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                receiver._take(json.loads(body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Silent: the terminal belongs to the view."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Where Alertmanager shall post."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/alerts"

    def received(self) -> tuple[Alert, ...]:
        """All alerts so far, in the order in which they came."""
        return tuple(self._alerts)

    def _take(self, call: dict[str, Any]) -> None:
        now = time.time()
        for alert in call.get("alerts", []):
            self._alerts.append(
                Alert(
                    received=now,
                    firing=alert.get("status") == "firing",
                    labels=dict(alert.get("labels", {})),
                    annotations=dict(alert.get("annotations", {})),
                )
            )
