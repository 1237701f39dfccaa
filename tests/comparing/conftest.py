"""Small checkpoints of known difference, and how they are read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.detection.faults import Fault, damaged_head
from monitor.commands.samples import load_analyser
from monitor.comparing.reading import ModelReading, read_model
from monitor.reading.analyser import Analyser
from monitor.records import Sample
from tests.models import WORDS, save_tiny

LAYERS, HEADS = 3, 4
PLAIN = [word for word in WORDS if word.isalpha()]
TEXTS = tuple(
    " ".join(PLAIN[(7 * number + 3 * place) % len(PLAIN)] for place in range(3 + number % 9))
    for number in range(24)
)
SAMPLES = [Sample(id=f"s{number}", time=0.0, text=text) for number, text in enumerate(TEXTS)]


def zeroed(layer: int, head: int) -> Fault:
    return damaged_head(layer, head, heads=HEADS, damage="output_zeroed")


def read(folder: Path, dtype: str = "float32", *, task: str = "auto") -> ModelReading:
    return read_model(analyser_of(folder, dtype, task=task), SAMPLES)[0]


def analyser_of(folder: Path, dtype: str = "float32", *, task: str = "auto") -> Analyser:
    return load_analyser(str(folder), task=task, max_tokens=None, threads=1, dtype=dtype)


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny("bert", tmp_path_factory.mktemp("compared") / "model")


@pytest.fixture(scope="session")
def bert_reading(bert: Path) -> ModelReading:
    return read(bert)


@pytest.fixture
def candidate(bert: Path, tmp_path: Path) -> Callable[..., Path]:
    """``candidate(fault)``: a copy of the model with the fault in its files."""

    def make(fault: Fault, name: str = "candidate") -> Path:
        copy = tmp_path / name
        shutil.copytree(bert, copy)
        if fault.files is not None:
            fault.files(copy)
        return copy

    return make


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("inputs") / "in.jsonl"
    path.write_text("".join(json.dumps({"id": s.id, "text": s.text}) + "\n" for s in SAMPLES))
    return path
