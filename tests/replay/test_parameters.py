"""A change of one head's parameters changes that head's hash and no other, in every family."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from monitor.records import ModelIdentity, Sample
from monitor.replay.batches import Batch
from monitor.replay.call import arguments
from monitor.replay.head_parts import head_shares
from monitor.replay.images import self_test_images
from monitor.replay.model import ReplayModel, load_model
from monitor.replay.parameters import layer_parameters
from monitor.replay.settings import ModelSettings
from monitor.replay.weights import tokenizer_hash
from tests.families import FAMILIES
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


def parts_after(folder: Path, copy: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> set[str]:
    """The parts that differ once a copy's tensors were changed."""
    shutil.copytree(folder, copy)
    tensors = load_file(copy / "model.safetensors")
    change(tensors)
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    return parts_that_differ(identity_of(folder), identity_of(copy))


ROWS, COLUMNS = (slice(16, 24),), (slice(None), slice(16, 24))
FUSED = {
    part: (slice(None), slice(place * HIDDEN + 16, place * HIDDEN + 24))
    for place, part in enumerate(("query", "key", "value"))
}


@pytest.mark.parametrize(
    "family, name, place, expected",
    [
        *(
            ("bert", f"{ATTENTION}.self.{part}", ROWS, {"L1H2"})
            for part in ("query", "key", "value")
        ),
        ("bert", f"{ATTENTION}.output.dense", COLUMNS, {"L1H2"}),
        *(("gpt2", "transformer.h.1.attn.c_attn", place, {"L1H2"}) for place in FUSED.values()),
        ("gpt2", "transformer.h.1.attn.c_proj", ROWS, {"L1H2"}),
        ("llama", "model.layers.1.self_attn.q_proj", ROWS, {"L1H2"}),
        ("llama", "model.layers.1.self_attn.k_proj", (slice(8, 16),), {"L1H2", "L1H3"}),
        ("llama", "model.layers.1.self_attn.v_proj", (slice(8, 16),), {"L1H2", "L1H3"}),
        *(
            ("neox", "gpt_neox.layers.1.attention.query_key_value", (slice(start, start + DIM),), {"L1H2"})
            for start in range(6 * DIM, 9 * DIM, DIM)
        ),
        ("deberta", "deberta.encoder.layer.1.attention.self.value_proj", ROWS, {"L1H2"}),
        ("qwen3", "model.layers.1.self_attn.k_norm", (), {"layer 1"}),
        ("qwen3", "model.layers.1.self_attn.q_norm", (), {"layer 1"}),
    ],
)  # fmt: skip
def test_a_part_that_is_zeroed_stays_in_its_own_head(
    tiny_folder: Callable[[str], Path],
    tiny_family: Callable[[str], Path],
    tmp_path: Path,
    family: str,
    name: str,
    place: tuple[slice, ...],
    expected: set[str],
) -> None:
    made = tiny_folder(family) if family in TINY else None
    folder = neox(tmp_path) if family == "neox" else made or tiny_family(family)

    def zero(tensors: dict[str, torch.Tensor]) -> None:
        tensors[f"{name}.weight"][place] = 0.0
        bias = tensors.get(f"{name}.bias")
        if bias is not None and "c_proj" not in name and "dense" not in name:
            bias[place[-1]] = 0.0

    assert parts_after(folder, tmp_path / "copy", zero) == expected


def test_two_layers_whose_values_are_all_zero_keep_their_own_heads(
    tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    def zero(tensors: dict[str, torch.Tensor]) -> None:
        for layer in (1, 2):
            tensors[f"model.layers.{layer}.self_attn.v_proj.weight"] *= 0.0

    found = parts_after(tiny_folder("llama"), tmp_path / "copy", zero)
    assert found == {f"L{layer}H{head}" for layer in (1, 2) for head in range(HEADS)}


SLICED = [
    name for name, family in FAMILIES.items() if family.projections and family.tier != "attribution only"
]


@pytest.mark.parametrize("family", SLICED)
@pytest.mark.parametrize("value", [0.0, 0.02])
def test_which_numbers_are_a_heads_does_not_depend_on_them(
    tiny_family: Callable[[str], Path], family: str, value: float
) -> None:
    model = load_model(ModelSettings(source=str(tiny_family(family))))
    batch = self_test_batch(model)

    def slices() -> list[dict[str, list[int]]]:
        call = arguments(model.network, batch, None, positions=False)
        heads = model.finding.head_count
        shares = head_shares(model.network, model.projections, heads, lambda: model.network(**call))
        assert shares is not None
        return [
            {f"{s.name} {s.side}": s.chosen.nonzero().flatten().tolist() for s in head}
            for layer in shares
            for head in layer
        ]

    drawn = slices()
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.fill_(value)
    assert slices() == drawn
    assert len({str(head) for head in drawn[: model.finding.head_count]}) == model.finding.head_count


def self_test_batch(model: ReplayModel) -> Batch:
    """One row without padding."""
    if model.reads_images:
        sample = Sample(id="", time=0.0, image=self_test_images()[0])
    else:
        sample = Sample(id="", time=0.0, text="the cat sat on a red mat quickly", text_pair=None)
        if model.finding.stacks:
            sample = replace(sample, text_pair="a small dog ran")
    return model.batch([model.encoder.encode(sample)])


T5_BLOCK, BART_BLOCK = "decoder.block.1.layer", "model.decoder.layers.1"


@pytest.mark.parametrize(
    "family, name, place, expected",
    [
        ("t5", "encoder.block.1.layer.0.SelfAttention.v", ROWS, {"L1H2"}),
        ("t5", f"{T5_BLOCK}.0.SelfAttention.q", ROWS, {"L3H2"}),
        ("t5", f"{T5_BLOCK}.0.SelfAttention.o", COLUMNS, {"L3H2"}),
        ("t5", f"{T5_BLOCK}.1.EncDecAttention.k", ROWS, {"L5H2"}),
        ("t5", f"{T5_BLOCK}.1.EncDecAttention.o", COLUMNS, {"L5H2"}),
        ("t5", "encoder.block.1.layer.1.DenseReluDense.wo", (), {"layer 1"}),
        ("t5", f"{T5_BLOCK}.0.layer_norm", (), {"layer 3"}),
        ("t5", f"{T5_BLOCK}.1.layer_norm", (), {"layer 5"}),
        ("t5", f"{T5_BLOCK}.2.DenseReluDense.wo", (), {"layer 5"}),
        ("t5", "decoder.final_layer_norm", (), {"decoder.final_layer_norm"}),
        ("bart", "model.encoder.layers.0.self_attn.k_proj", ROWS, {"L0H2"}),
        ("bart", f"{BART_BLOCK}.self_attn.v_proj", ROWS, {"L3H2"}),
        ("bart", f"{BART_BLOCK}.self_attn.out_proj", COLUMNS, {"L3H2"}),
        ("bart", f"{BART_BLOCK}.encoder_attn.q_proj", ROWS, {"L5H2"}),
        ("bart", f"{BART_BLOCK}.encoder_attn.out_proj", COLUMNS, {"L5H2"}),
        ("bart", "model.encoder.layers.0.fc1", (), {"layer 0"}),
        ("bart", f"{BART_BLOCK}.fc1", (), {"layer 5"}),
    ],
)
def test_in_an_encoder_decoder_every_stacks_parts_are_its_own(
    tiny_family: Callable[[str], Path],
    tmp_path: Path,
    family: str,
    name: str,
    place: tuple[slice, ...],
    expected: set[str],
) -> None:
    def damage(tensors: dict[str, torch.Tensor]) -> None:
        tensors[f"{name}.weight"][place] *= 0.0 if place else 0.5

    assert parts_after(tiny_family(family), tmp_path / "copy", damage) == expected


def test_a_decoder_of_one_block_keeps_its_two_attentions_apart() -> None:
    outputs = ["e.0.self.o", "d.0.self.o", "d.0.cross.o"]
    parameters = ["e.0.self.o.w", "e.0.fc.w", "d.0.self.o.w", "d.0.cross.o.w", "d.0.fc.w", "head.w"]
    assert layer_parameters(parameters, outputs, ["encoder", "decoder", "cross"]) == [
        ["e.0.self.o.w", "e.0.fc.w"],
        ["d.0.self.o.w"],
        ["d.0.cross.o.w", "d.0.fc.w"],
    ]


def test_layers_that_share_one_module_share_its_parameters() -> None:
    assert layer_parameters(["group.0.o.w", "top.w"], ["group.0.o"] * 3, []) == [["group.0.o.w"]] * 3


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
    assert not any(hook.__module__.startswith(("monitor.replay.parameters", "monitor.replay.head_parts"))
                   for hook in hooks)  # fmt: skip
    stored = load_file(tmp_path / "bert" / "model.safetensors")
    assert all(torch.equal(tensor, stored[name]) for name, tensor in model.network.state_dict().items())
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
