"""A small inference server for the sentiment model: Starlette on uvicorn, KServe V1 JSON.

    python -m examples.sentiment.server --model DIRECTORY --port 8000 --log-to http://127.0.0.1:8080/v1/samples

    POST /v1/models/sentiment:predict   {"instances": ["text", ...]} -> {"predictions": [...]}
    POST /reload                        read the model directory again (the deployer's signal)
    GET  /healthy                       how many texts were served, logged and dropped

This is all the integration that headwatch needs: once a request was answered, a background task
posts its texts and the served predictions to the sidecar. The queue in between is bounded, so a
sidecar that is slow or away costs log entries (counted), never an answer.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import socket
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import torch
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from transformers import AutoModelForSequenceClassification, AutoTokenizer

MAX_INSTANCES = 256
MAX_TOKENS = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One prediction as it goes over the wire; ``probability`` is that of ``label``."""

    label: str
    probability: float

    def to_json(self) -> dict[str, object]:
        """The object that both the client and the sidecar get."""
        return {"label": self.label, "probability": self.probability}


class Classifier:
    """A Hugging Face sequence classifier on one torch thread."""

    def __init__(self, directory: Path) -> None:
        torch.set_num_threads(1)
        self._tokenizer = AutoTokenizer.from_pretrained(directory)
        self._model = AutoModelForSequenceClassification.from_pretrained(directory).eval()
        self._labels: dict[int, str] = self._model.config.id2label

    def predict(self, texts: Sequence[str]) -> list[Served]:
        """Classify ``texts`` in one padded forward pass; the order of the answers is theirs."""
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        encoded = self._tokenizer(
            [texts[i] for i in order],
            padding=True,
            truncation=True,
            max_length=MAX_TOKENS,
            return_tensors="pt",
        )
        with torch.inference_mode():
            best = self._model(**encoded).logits.softmax(-1).max(-1)
        answers = zip(order, best.values.tolist(), best.indices.tolist(), strict=True)
        return [
            Served(label=self._labels[label], probability=probability)
            for _, probability, label in sorted(answers)
        ]


class SampleLog:
    """Sends what was served to the sidecar, in order, from a bounded queue."""

    def __init__(self, url: str | None, *, limit: int = 10_000) -> None:
        self._url = url
        self._queue: asyncio.Queue[list[dict[str, object]]] = asyncio.Queue()
        self._limit = limit
        self.waiting = 0
        self.sent = 0
        self.dropped = 0

    def put(self, samples: list[dict[str, object]]) -> None:
        """Queue ``samples`` without ever waiting; what does not fit is dropped and counted."""
        if self._url is None:
            return
        if self.waiting + len(samples) > self._limit:
            self.dropped += len(samples)
            return
        self.waiting += len(samples)
        self._queue.put_nowait(samples)

    async def run(self) -> None:
        """Post batches until cancelled; one that cannot be delivered in three tries is dropped."""
        if self._url is None:
            return
        async with httpx.AsyncClient(timeout=10.0, trust_env=False) as client:
            while True:
                samples = await self._queue.get()
                delivered = await self._deliver(client, self._url, samples)
                self.waiting -= len(samples)
                self.sent += len(samples) if delivered else 0
                self.dropped += 0 if delivered else len(samples)

    @staticmethod
    async def _deliver(client: httpx.AsyncClient, url: str, samples: list[dict[str, object]]) -> bool:
        for pause in (0.2, 1.0, 0.0):
            try:
                if (await client.post(url, json=samples)).is_success:
                    return True
            except httpx.TransportError:
                pass
            await asyncio.sleep(pause)
        return False


class Server:
    """The routes, and the model behind them; ``/reload`` swaps the model between two batches."""

    def __init__(self, directory: Path, log: SampleLog) -> None:
        self._directory = directory
        self._log = log
        self._classifier = Classifier(directory)
        self._torch = ThreadPoolExecutor(max_workers=1, thread_name_prefix="torch")
        self._served = 0

    def app(self) -> Starlette:
        """The ASGI application; its lifespan runs the log's background task."""
        return Starlette(
            routes=[
                Route("/v1/models/sentiment:predict", self.predict, methods=["POST"]),
                Route("/reload", self.reload, methods=["POST"]),
                Route("/healthy", self.healthy),
            ],
            lifespan=self._lifespan,
        )

    async def predict(self, request: Request) -> Response:
        """KServe V1 predict; sample ``i`` of the request is logged as ``<request id>-<i>``."""
        texts = _instances(await request.body())
        if isinstance(texts, str):
            return JSONResponse({"error": texts}, status_code=400)
        request_id = request.headers.get("x-request-id") or uuid.uuid4().hex
        loop = asyncio.get_running_loop()
        served = await loop.run_in_executor(self._torch, self._classify, texts)
        self._served += len(texts)
        now = time.time()
        self._log.put(
            [
                {"id": f"{request_id}-{i}", "time": now, "text": text, "prediction": answer.to_json()}
                for i, (text, answer) in enumerate(zip(texts, served, strict=True))
            ]
        )
        return JSONResponse(
            {"predictions": [answer.to_json() for answer in served]},
            headers={"x-request-id": request_id},
        )

    async def reload(self, _: Request) -> Response:
        """Read the model directory again; requests that wait are answered by the new model."""
        await asyncio.get_running_loop().run_in_executor(self._torch, self._load)
        return JSONResponse({"reloaded": str(self._directory)})

    async def healthy(self, _: Request) -> Response:
        """Counts since the start."""
        counts = {"waiting": self._log.waiting, "sent": self._log.sent, "dropped": self._log.dropped}
        return JSONResponse({"served": self._served, "log": counts})

    def _classify(self, texts: list[str]) -> list[Served]:
        return self._classifier.predict(texts)

    def _load(self) -> None:
        self._classifier = Classifier(self._directory)

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        task = asyncio.create_task(self._log.run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            self._torch.shutdown(cancel_futures=True)


def _instances(body: bytes) -> list[str] | str:
    """The texts of a request, or what is wrong with it."""
    try:
        payload: Any = json.loads(body)
    except ValueError as error:
        return f"the body is no JSON: {error}"
    texts = payload.get("instances") if isinstance(payload, dict) else None
    if not isinstance(texts, list) or not texts or not all(isinstance(t, str) for t in texts):
        return 'the body must be {"instances": ["text", ...]}, with one text at least'
    if len(texts) > MAX_INSTANCES:
        return f"instances: {len(texts)} texts; send at most {MAX_INSTANCES} in one request"
    return texts


def main() -> None:
    """Bind first, so that a taken port is told before the model is loaded; then serve."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True, help="a Hugging Face model directory")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--log-to", metavar="URL", help="the sidecar's POST /v1/samples")
    options = parser.parse_args()
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((options.host, options.port))
        except OSError as error:
            raise SystemExit(f"--port {options.port}: {error.strerror}; choose another port") from error
        app = Server(options.model, SampleLog(options.log_to)).app()
        uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])


if __name__ == "__main__":
    main()
