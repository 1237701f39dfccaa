"""The tap and the self-test that decides whether it serves."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AttentionMaskInterface
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

from monitor.records import Sample
from monitor.replay import tap
from monitor.replay.model import load_model
from monitor.replay.reference import MatrixCollector
from monitor.replay.settings import ModelSettings
from monitor.replay.weights import weights_hash, weights_stamp

TAPPED = ("bert", "encoder", "roberta", "gpt2", "llama", "mistral")


@pytest.mark.parametrize("family", TAPPED)
def test_the_tap_serves_models_of_the_attention_interface(
    family: str, tiny_folder: Callable[[str], Path]
) -> None:
    model = load_model(ModelSettings(source=str(tiny_folder(family))))
    assert (model.tier, model.layers_seen, model.refusals) == ("tap", 3, ())
    assert model.causal == (family in ("gpt2", "llama", "mistral"))
    assert ("separator" in model.statistics) != model.causal
    assert len(model.projections or ()) == 3


def _without_mask(module: Any, query: Any, key: Any, value: Any, mask: Any, **options: Any) -> Any:
    return tap.tapped_attention(module, query, key, value, None, **options)


def _swapped(module: Any, query: Any, key: Any, value: Any, mask: Any, **options: Any) -> Any:
    return tap.tapped_attention(module, query, key.flip(1), value, mask, **options)


def _scaled(module: Any, query: Any, key: Any, value: Any, mask: Any, **options: Any) -> Any:
    return tap.tapped_attention(module, query, key, value, mask, **{**options, "scaling": 0.2})


@pytest.mark.parametrize(
    ("fault", "family"), [(_without_mask, "bert"), (_swapped, "llama"), (_scaled, "llama"), (_scaled, "bert")]
)
def test_the_self_test_refuses_a_faulty_tap(
    fault: Callable[..., Any],
    family: str,
    tiny_folder: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def register() -> None:
        tap.AttentionInterface.register(tap.TAP, fault)
        AttentionMaskInterface.register(tap.TAP, tap.sdpa_mask)

    monkeypatch.setattr("monitor.replay.model.register_tap", register)
    model = load_model(ModelSettings(source=str(tiny_folder(family))))
    assert model.tier == "module eager"
    assert model.finding.refused == (("tap", "its outputs differ from eager attention"),)


def test_the_mask_function_is_registered_with_the_tap() -> None:
    tap.register_tap()
    assert ALL_MASK_ATTENTION_FUNCTIONS[tap.TAP] is tap.sdpa_mask


def test_a_tap_without_a_listener_gives_plain_attention(tiny_folder: Callable[[str], Path]) -> None:
    model = load_model(ModelSettings(source=str(tiny_folder("llama"))))
    rows = [model.encoder.encode(Sample(id=t, time=0.0, text=t)) for t in ("the dog ran", "a cat")]
    tapped = model.run(model.batch(rows)).answers
    model.network.set_attn_implementation("sdpa")
    torch.testing.assert_close(model.run(model.batch(rows)).answers, tapped, atol=0, rtol=0)


@pytest.mark.parametrize(("queries", "keys"), [(3, 7), (1, 5)])
def test_fewer_queries_than_keys_follow_the_mask_or_the_upper_left(queries: int, keys: int) -> None:
    torch.manual_seed(0)
    query, key, value = torch.randn(2, 4, queries, 8), torch.randn(2, 2, keys, 8), torch.randn(2, 2, keys, 8)
    module = torch.nn.Module()
    module.is_causal = True  # type: ignore[assignment]
    module.num_key_value_groups = 2  # type: ignore[assignment]
    collector = MatrixCollector()
    with tap.listening(tap.Sink(reducer=collector, names={})):
        output, _ = tap.tapped_attention(module, query, key, value, None, scaling=0.3)
    repeated = value.repeat_interleave(2, dim=1)
    expected = (collector.matrices()[0] @ repeated).transpose(1, 2)
    torch.testing.assert_close(output, expected, atol=1e-6, rtol=0)


def test_half_precision_passes_the_self_test(tiny_folder: Callable[[str], Path]) -> None:
    model = load_model(ModelSettings(source=str(tiny_folder("bert")), dtype="bfloat16"))
    assert (model.tier, model.identity.dtype) == ("tap", "bfloat16")


def test_the_stamp_and_the_hash_change_with_the_weights(
    tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_folder("bert"), tmp_path / "model"))
    stamp, content = weights_stamp(folder), weights_hash(folder)
    assert (weights_stamp(folder), weights_hash(folder)) == (stamp, content)
    file = folder / "model.safetensors"
    damaged = bytearray(file.read_bytes())
    damaged[-1] ^= 1
    (folder / "new").write_bytes(damaged)
    os.replace(folder / "new", file)  # noqa: PTH105
    assert weights_stamp(folder) != stamp
    assert weights_hash(folder) != content
