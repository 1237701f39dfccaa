"""Encoder-decoders: a head is named in whichever stack it was damaged, and layers count as they run."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from monitor.commands.samples import load_analyser
from monitor.comparing.comparison import Comparison, compare
from monitor.comparing.reading import ModelReading, read_model
from monitor.comparing.summary import sentences
from tests.comparing.conftest import SAMPLES
from tests.families import save_family

PAIRS = [
    replace(sample, text_pair=SAMPLES[-1 - place].text if place % 2 else None)
    for place, sample in enumerate(SAMPLES[:12])
]


def read(folder: Path) -> ModelReading:
    analyser = load_analyser(str(folder), task="auto", max_tokens=None, threads=1)
    return read_model(analyser, PAIRS)[0]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """``models(family)``: its folder and its reading."""

    @cache
    def made(family: str) -> tuple[Path, ModelReading]:
        folder = save_family(family, tmp_path_factory.mktemp(family))
        return folder, read(folder)

    return made


@pytest.fixture
def compared(models, tmp_path):
    """``compared(family, name, columns=...)``: with a copy whose head 2 is zeroed at this module."""

    def call(family: str, name: str, *, columns: bool) -> Comparison:
        (folder, before), copy = models(family), tmp_path / "copy"
        shutil.copytree(folder, copy)
        tensors = load_file(copy / "model.safetensors")
        span = slice(16, 24)
        tensors[f"{name}.weight"][(slice(None), span) if columns else (span,)] = 0.0
        if not columns and f"{name}.bias" in tensors:
            tensors[f"{name}.bias"][span] = 0.0
        save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
        return compare(before, read(copy))

    return call


T5 = ("encoder.block.{}.layer.0.SelfAttention", "decoder.block.{}.layer.0.SelfAttention",
      "decoder.block.{}.layer.1.EncDecAttention")  # fmt: skip
BART = ("model.encoder.layers.{}.self_attn", "model.decoder.layers.{}.self_attn",
        "model.decoder.layers.{}.encoder_attn")  # fmt: skip
PARTS = {"t5": ("q", "k", "v", "o"), "bart": ("q_proj", "k_proj", "v_proj", "out_proj")}


@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize("stack", range(3))
@pytest.mark.parametrize("family", ["t5", "bart"])
def test_a_head_is_named_in_every_stack_by_weights_and_by_behaviour(compared, family, stack, part):
    attention = (T5 if family == "t5" else BART)[stack].format(0)
    found = compared(family, f"{attention}.{PARTS[family][part]}", columns=part == 3)
    damaged = f"L{2 * stack}H2"
    assert [str(item.head) for item in found.origins] == [damaged]
    assert (found.changes.layers, found.changes.modules) == ((), ())
    assert str(found.begins) == damaged


def test_what_moved_is_told_from_the_layer_that_runs_first(compared):
    found = compared("t5", f"{T5[1].format(0)}.o", columns=True)
    # after self attention of block 0 (layer 2): cross of block 0 (4), self and cross of block 1 (3, 5)
    assert found.order == (0, 1, 2, 4, 3, 5)
    assert {item.head.layer for item in found.moved if item.role == "downstream"} == {4, 3, 5}
    assert any("from layer 4 on" in sentence for sentence in sentences(found))


def test_an_encoders_feed_forward_part_is_told_by_its_own_layer(compared):
    assert compared("bart", "model.encoder.layers.1.fc1", columns=False).changes.layers == (1,)
