"""A change of one head's parameters changes that head's hash and no other, in every family."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from monitor.records import ModelIdentity
from monitor.replay.model import load_model
from monitor.replay.settings import ModelSettings
from monitor.replay.weights import tokenizer_hash
from tests.models import TINY, save_tiny, word_piece_tokenizer

HEADS, DIM = 4, 8
HIDDEN = HEADS * DIM


def identity_of(folder: Path, **settings: Any) -> ModelIdentity:
    return load_model(ModelSettings(source=str(folder), **settings)).identity


@pytest.fixture
def changed(tiny_folder: Callable[[str], Path], tmp_path: Path) -> Callable[..., set[str]]:
    """``changed(family, tensor, place)``: the parts whose hash another number at that place changes."""

    def change(family: str, name: str, place: tuple[int, ...]) -> set[str]:
        folder = tmp_path / family
        if not folder.exists():
            shutil.copytree(neox(tmp_path) if family == "neox" else tiny_folder(family), folder)
        before = identity_of(folder)
        path = folder / "model.safetensors"
        tensors = load_file(path)
        kept = tensors[name].clone()
        tensors[name][place] += 0.5
        save_file(tensors, path, metadata={"format": "pt"})
        after = identity_of(folder)
        tensors[name] = kept
        save_file(tensors, path, metadata={"format": "pt"})
        return parts_that_differ(before, after)

    return change


def neox(folder: Path) -> Path:
    """Query, key and value in one projection, head by head."""
    torch.manual_seed(0)
    config = GPTNeoXConfig(
        vocab_size=64,
        hidden_size=HIDDEN,
        num_hidden_layers=2,
        num_attention_heads=HEADS,
        intermediate_size=48,
        max_position_embeddings=64,
    )
    where = folder / "made" / "neox"
    GPTNeoXForCausalLM(config).save_pretrained(where)
    word_piece_tokenizer(decoder=True).save_pretrained(where)
    return where


def parts_that_differ(one: ModelIdentity, other: ModelIdentity) -> set[str]:
    found = {
        f"L{layer}H{head}"
        for layer, heads in enumerate(one.head_hashes)
        for head, value in enumerate(heads)
        if other.head_hashes[layer][head] != value
    }
    found |= {f"layer {n}" for n, value in enumerate(one.layer_hashes) if other.layer_hashes[n] != value}
    return found | {name for name, value in one.other_hashes.items() if other.other_hashes[name] != value}


ATTENTION = "bert.encoder.layer.1.attention"


@pytest.mark.parametrize(
    "family, name, place, expected",
    [
        ("bert", f"{ATTENTION}.self.query.weight", (17, 3), {"L1H2"}),
        ("bert", f"{ATTENTION}.self.key.bias", (31,), {"L1H3"}),
        ("bert", f"{ATTENTION}.self.value.weight", (0, 31), {"L1H0"}),
        ("bert", f"{ATTENTION}.output.dense.weight", (3, 9), {"L1H1"}),
        ("bert", f"{ATTENTION}.output.dense.bias", (3,), {"layer 1"}),
        ("bert", "bert.encoder.layer.2.intermediate.dense.weight", (3, 9), {"layer 2"}),
        ("bert", "bert.embeddings.word_embeddings.weight", (7, 9), {"bert.embeddings.word_embeddings"}),
        ("bert", "classifier.bias", (1,), {"classifier"}),
        ("gpt2", "transformer.h.0.attn.c_attn.weight", (5, HIDDEN + 17), {"L0H2"}),
        ("gpt2", "transformer.h.0.attn.c_attn.bias", (2 * HIDDEN,), {"L0H0"}),
        ("gpt2", "transformer.h.2.attn.c_proj.weight", (25, 2), {"L2H3"}),
        ("llama", "model.layers.1.self_attn.q_proj.weight", (17, 3), {"L1H2"}),
        ("llama", "model.layers.1.self_attn.k_proj.weight", (3, 3), {"L1H0", "L1H1"}),
        ("llama", "model.layers.2.self_attn.v_proj.weight", (15, 3), {"L2H2", "L2H3"}),
        ("llama", "model.layers.0.self_attn.o_proj.weight", (3, 31), {"L0H3"}),
        ("mistral", "model.layers.0.self_attn.q_proj.weight", (8, 0), {"L0H1"}),
        ("deberta", "deberta.encoder.layer.0.attention.self.query_proj.weight", (17, 3), {"L0H2"}),
        ("deberta", "deberta.encoder.layer.2.attention.output.dense.weight", (3, 9), {"L2H1"}),
        ("neox", "gpt_neox.layers.1.attention.query_key_value.weight", (3 * DIM + 2, 3), {"L1H1"}),
        ("neox", "gpt_neox.layers.1.attention.query_key_value.bias", (9 * DIM + 2 * DIM,), {"L1H3"}),
    ],
)
def test_one_number_changes_the_hash_of_its_own_part(
    changed: Callable[..., set[str]], family: str, name: str, place: tuple[int, ...], expected: set[str]
) -> None:
    assert changed(family, name, place) == expected


@pytest.mark.parametrize("family", [*TINY])
def test_every_parameter_is_in_some_hash(tiny_folder: Callable[[str], Path], family: str) -> None:
    model = load_model(ModelSettings(source=str(tiny_folder(family))))
    assert len(model.identity.head_hashes) == model.identity.layers
    assert {len(layer) for layer in model.identity.head_hashes} == {model.identity.heads}
    assert len(model.identity.layer_hashes) == model.identity.layers
    assert model.identity.other_hashes
    assert all("layers." not in name and "layer." not in name for name in model.identity.other_hashes)


def test_the_hashes_are_those_of_the_numbers_and_not_of_the_files(tmp_path: Path) -> None:
    one = identity_of(save_tiny("bert", tmp_path / "one"))
    other_folder = save_tiny("bert", tmp_path / "other")
    config = other_folder / "config.json"
    config.write_text(config.read_text() + "\n")
    other = identity_of(other_folder)
    assert one.weights_hash != other.weights_hash
    assert parts_that_differ(one, other) == set()
    assert one.tokenizer_hash == other.tokenizer_hash


def test_reading_a_models_heads_leaves_the_model_as_it_was(tmp_path: Path) -> None:
    model = load_model(ModelSettings(source=str(save_tiny("bert", tmp_path / "bert"))))
    hooks = [
        hook
        for module in model.network.modules()
        for hook in (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
    ]
    assert not any(hook.__module__ == "monitor.replay.parameters" for hook in hooks)
    assert not any(parameter.requires_grad for parameter in model.network.parameters())


def test_another_tokenizer_has_another_hash_and_the_same_weights(tmp_path: Path) -> None:
    folder = save_tiny("bert", tmp_path / "bert")
    before = identity_of(folder)
    path = folder / "tokenizer.json"
    path.write_text(
        path.read_text().replace('"cat"', '"@@"').replace('"dog"', '"cat"').replace('"@@"', '"dog"')
    )
    after = identity_of(folder)
    assert before.tokenizer_hash != after.tokenizer_hash == tokenizer_hash(folder)
    assert before.weights_hash != after.weights_hash
    assert parts_that_differ(before, after) == set()


def test_the_pipeline_is_told_in_words(tmp_path: Path) -> None:
    folder = save_tiny("bert", tmp_path / "bert")
    word_piece_tokenizer(padding_side="left").save_pretrained(folder)
    pipeline = identity_of(folder, max_tokens=40).pipeline
    assert len(pipeline["words"]) == 8
    assert {name: value for name, value in pipeline.items() if name != "words"} == {
        "padding side": "left",
        "truncation side": "right",
        "most tokens": "40",
        "special tokens added": "[CLS] [SEP]",
        "lower-casing": "yes",
    }


def test_a_shuffled_vocabulary_leaves_the_words_and_kept_capitals_do_not(tmp_path: Path) -> None:
    folder = save_tiny("bert", tmp_path / "bert")
    path = folder / "tokenizer.json"
    whole = path.read_text()
    before = identity_of(folder).pipeline["words"]
    path.write_text(whole.replace('"cat"', '"@@"').replace('"dog"', '"cat"').replace('"@@"', '"dog"'))
    assert identity_of(folder).pipeline["words"] == before
    path.write_text(whole.replace('"type": "Lowercase"', '"type": "NFC"'))
    assert identity_of(folder).pipeline["words"] != before


def test_an_identity_survives_json(tmp_path: Path) -> None:
    identity = identity_of(save_tiny("bert", tmp_path / "bert"))
    assert ModelIdentity.from_json(identity.to_json()) == identity
