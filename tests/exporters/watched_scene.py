"""A real sidecar in alarm, scraped by a real Prometheus that evaluates the real rules.

A small random classifier learns its baseline from sentences, sees quiet windows, and then a fault: a
word that it does not know and longer inputs, a little of it at first, then much. Everything that a
dashboard shows comes from this, over HTTP; nothing is put into Prometheus by hand.
"""

from __future__ import annotations

import random
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from exporters.alerts.rules import alert_rules
from tests.exporters.promql_server import Promql
from tests.models import spread, word_piece_tokenizer
from tests.servers import running, start_prometheus, wait_for
from tests.sidecar_process import Sidecar, sidecar

LABELS = ("complaint", "question", "praise")
QUIET = (
    "the a cat dog sat ran on under mat house river small old red slowly quickly and but it was very".split()
)
LEARNING, CALM, MILD, STRONG = 5, 4, 4, 4
JOB = "headwatch"
MLFLOW = "https://mlflow.example"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """The Prometheus to ask, the sidecar behind it, and the time (seconds) at which the scene began."""

    prometheus: Promql
    watch: Sidecar
    began: float


@contextmanager
def drifting(folder: Path) -> Iterator[Scene]:
    """The scene, a few scrapes after its alarm rose; it takes about a minute."""
    model = _classifier(folder / "support-tickets")
    watch = sidecar(
        folder / "run",
        model=model,
        privacy={"minimum_requests": 3},
        analysis={
            "attribution": {"samples": 4},
            "watch_lists": {"animals": ["cat", "dog"], "places": ["house", "river"]},
        },
        exporters={
            "mlflow": {
                "tracking_uri": f"sqlite:///{folder}/mlflow.db",
                "public_url": MLFLOW,
                "registry": False,
            }
        },
    )
    target = watch.operations.removeprefix("http://")
    with (
        running(watch.server),
        running(
            start_prometheus(
                folder / "prometheus",
                targets={JOB: target},
                alertmanager="http://127.0.0.1:9",
                rules=alert_rules(5.0, fast=True),
                interval="1s",
            )
        ) as server,
    ):
        began = time.time()
        prometheus = Promql(server.url, model.name)
        _play(watch, prometheus, _served_labels(model))
        wait_for(
            "the alarm fires and the evidence is delivered",
            lambda: _arrived(prometheus),
            seconds=180,
        )
        yield Scene(prometheus=prometheus, watch=watch, began=began)


def _classifier(folder: Path) -> Path:
    """A random BERT of 6 x 4 heads and three labels."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=64,
        max_position_embeddings=64,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=6,
        num_attention_heads=4,
        id2label=dict(enumerate(LABELS)),
        label2id={label: index for index, label in enumerate(LABELS)},
    )
    spread(BertForSequenceClassification(config)).save_pretrained(folder)
    word_piece_tokenizer().save_pretrained(folder)
    return folder


def _arrived(prometheus: Promql) -> bool:
    """Whether alert, episode and attribution have reached Prometheus, three scrapes ago or longer."""
    asked = (
        'count_over_time(headwatch_state{state="alarm"}[1m]) >= 3',
        'ALERTS{alertname="HeadwatchTokenDrift", alertstate="firing"}',
        "headwatch_heads_drifted > 0",
        'headwatch_episode_info{run_url!=""}',
        "headwatch_attribution_faithfulness",
        "count_over_time(headwatch_fidelity_ratio[1m]) >= 3",
    )
    return all(prometheus.instant(expression) for expression in asked)


def _play(watch: Sidecar, prometheus: Promql, label_of: Callable[[list[str]], list[str]]) -> None:
    draw = random.Random(5)
    # The share of inputs with the new word, and how many more words each has: window by window.
    plan = [(0.0, 0)] * (LEARNING + CALM) + [(0.3, 2)] * MILD + [(0.7, 6)] * STRONG
    for window, (share, longer) in enumerate(plan):
        texts = [_sentence(draw, share, longer) for _ in range(40)]
        labels = label_of(texts)
        labels[0] = LABELS[(LABELS.index(labels[0]) + 1) % 3]  # once in a window the server differs
        if window % 3 == 1:
            _send_rubbish(watch)
        watch.send(
            [
                {"id": f"{window}-{i}", "text": text, "prediction": {"label": label}}
                for i, (text, label) in enumerate(zip(texts, labels, strict=True))
            ]
        )
        wait_for(
            f"window {window} is judged",
            lambda judged=window + 1: len(watch.verdicts()) >= judged,
            seconds=180,
        )
        if window >= LEARNING:
            # Windows of traffic lie minutes apart; here each of them gets a scrape.
            end = watch.verdicts(after=window - 1)[0]["end"]
            wait_for(
                f"window {window} is scraped",
                lambda end=end: prometheus.instant(f"headwatch_window_end_timestamp_seconds >= {end!r}"),
                seconds=30,
            )


def _sentence(draw: random.Random, share: float, longer: int) -> str:
    words = [draw.choice(QUIET) for _ in range(draw.randint(4, 12) + longer)]
    if draw.random() < share:
        words[len(words) // 2] = "refund"
    elif draw.random() < 0.3:
        words.append("please")
    return " ".join(words)


def _served_labels(model: Path) -> Callable[[list[str]], list[str]]:
    """What an inference server with these files answers."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    network = AutoModelForSequenceClassification.from_pretrained(model).eval()

    def labels(texts: list[str]) -> list[str]:
        with torch.inference_mode():
            logits = network(**tokenizer(texts, padding=True, return_tensors="pt")).logits
        return [LABELS[index] for index in logits.argmax(dim=-1).tolist()]

    return labels


def _send_rubbish(watch: Sidecar) -> None:
    """A body that no reader takes: it is counted as dropped."""
    request = urllib.request.Request(
        f"{watch.ingest}/v1/samples", data=b"{", headers={"Content-Type": "application/json"}
    )
    try:
        urllib.request.urlopen(request, timeout=10).close()
    except urllib.error.HTTPError as error:
        assert error.code == 400, error
