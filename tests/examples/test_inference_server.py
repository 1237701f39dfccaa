"""The example's inference server over real HTTP, with a tiny random model."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

import httpx
import pytest
import torch
import uvicorn
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from examples.sentiment.server import Classifier, SampleLog, Server

WORDS = ["[PAD]", "[UNK]", "good", "bad", "film", "a", "very", "long", "story"]
TEXTS = ["good film", "a very long bad story", "bad", "a film"]


def write_model(folder: Path, *, seed: int) -> Path:
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=64,
        initializer_range=1.0,
        id2label={0: "negative", 1: "positive"},
        label2id={"negative": 0, "positive": 1},
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]")
    tokenizer.save_pretrained(folder)
    return folder


@contextmanager
def serving(model: Path, log: SampleLog) -> Iterator[httpx.Client]:
    config = uvicorn.Config(Server(model, log).app(), port=0, log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20, trust_env=False) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()


class Receiver:
    """Stands where the sidecar stands; ``seconds`` is how long it takes over each answer."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.samples: list[dict] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                time.sleep(seconds)
                receiver.samples += json.loads(body)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1/samples"

    def __enter__(self) -> Self:
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def wait_for(self, count: int) -> None:
        deadline = time.monotonic() + 10
        while len(self.samples) < count and time.monotonic() < deadline:
            time.sleep(0.01)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"), seed=1)


def predict(client: httpx.Client, texts: list[str], **options) -> httpx.Response:
    return client.post("/v1/models/sentiment:predict", json={"instances": texts}, **options)


def test_a_list_is_answered_in_its_order_as_if_each_text_had_come_alone(model: Path) -> None:
    classifier = Classifier(model)
    together = classifier.predict(TEXTS)
    for text, answer in zip(TEXTS, together, strict=True):
        [alone] = classifier.predict([text])
        assert answer.label == alone.label
        assert answer.probability == pytest.approx(alone.probability, abs=1e-5)


def test_what_was_served_reaches_the_sidecar_in_order_under_shared_ids(model: Path) -> None:
    with Receiver() as receiver, serving(model, SampleLog(receiver.url)) as client:
        answer = predict(client, TEXTS, headers={"X-Request-Id": "r1"})
        assert answer.headers["x-request-id"] == "r1"
        second = predict(client, ["good"])
        receiver.wait_for(5)
        predictions = [*answer.json()["predictions"], *second.json()["predictions"]]
        assert [sample["text"] for sample in receiver.samples] == [*TEXTS, "good"]
        assert [sample["prediction"] for sample in receiver.samples] == predictions
        assert [sample["id"] for sample in receiver.samples] == [
            *(f"r1-{i}" for i in range(4)),
            f"{second.headers['x-request-id']}-0",
        ]
        assert abs(receiver.samples[0]["time"] - time.time()) < 60


def test_a_sidecar_that_is_slow_delays_no_answer(model: Path) -> None:
    with Receiver(seconds=1.0) as receiver, serving(model, SampleLog(receiver.url)) as client:
        predict(client, ["good"])
        started = time.monotonic()
        for _ in range(5):
            predict(client, ["bad"])
        assert time.monotonic() - started < 0.9


def test_a_full_queue_drops_what_is_new_and_counts_it(model: Path) -> None:
    with Receiver(seconds=0.5) as receiver, serving(model, SampleLog(receiver.url, limit=4)) as client:
        for _ in range(3):
            assert predict(client, ["good", "bad"]).is_success
        assert client.get("/healthy").json() == {
            "served": 6,
            "log": {"waiting": 4, "sent": 0, "dropped": 2},
        }


def test_a_sidecar_that_is_away_costs_entries_and_no_answer(model: Path) -> None:
    with serving(model, SampleLog("http://127.0.0.1:9/v1/samples")) as client:
        assert predict(client, TEXTS).is_success
        deadline = time.monotonic() + 10
        while client.get("/healthy").json()["log"]["dropped"] == 0 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert client.get("/healthy").json()["log"] == {"waiting": 0, "sent": 0, "dropped": 4}


def test_changed_files_are_served_after_a_reload_and_not_before(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model", seed=1)
    with serving(folder, SampleLog(None)) as client:
        before = predict(client, TEXTS).json()
        other = write_model(tmp_path / "other", seed=2)
        (other / "model.safetensors").replace(folder / "model.safetensors")
        assert predict(client, TEXTS).json() == before
        assert client.post("/reload").is_success
        assert predict(client, TEXTS).json() != before


@pytest.mark.parametrize(
    "body, message",
    [
        (b"[1", "the body is no JSON: Expecting ',' delimiter: line 1 column 3 (char 2)"),
        (
            b"\xff",
            "the body is no JSON: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte",
        ),
        (b"{}", 'the body must be {"instances": ["text", ...]}, with one text at least'),
        (b'{"instances": []}', 'the body must be {"instances": ["text", ...]}, with one text at least'),
        (b'{"instances": [1]}', 'the body must be {"instances": ["text", ...]}, with one text at least'),
        (
            json.dumps({"instances": ["a"] * 257}).encode(),
            "instances: 257 texts; send at most 256 in one request",
        ),
    ],
)
def test_a_request_that_cannot_be_served_is_told_why(model: Path, body: bytes, message: str) -> None:
    with serving(model, SampleLog(None)) as client:
        answer = client.post("/v1/models/sentiment:predict", content=body)
    assert (answer.status_code, answer.json()) == (400, {"error": message})
