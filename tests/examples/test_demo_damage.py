"""The damage of one head, and its repair."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from examples.demo.damage import damage_head, damaged
from examples.demo.plan import DAMAGES, Damage, Fault

HEADS, HIDDEN, LAYERS = 4, 16, 2


def tiny_model(folder: Path) -> Path:
    """The attention tensors of a BERT of 2 layers x 4 heads, as files."""
    torch.manual_seed(3)
    tensors = {}
    for layer in range(LAYERS):
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            name = f"bert.encoder.layer.{layer}.attention.{part}"
            tensors[f"{name}.weight"] = torch.randn(HIDDEN, HIDDEN)
            tensors[f"{name}.bias"] = torch.randn(HIDDEN)
    folder.mkdir()
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    (folder / "config.json").write_text(json.dumps({"num_attention_heads": HEADS}), encoding="utf-8")
    return folder


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def head_outputs(tensors: dict[str, torch.Tensor], layer: int, states: torch.Tensor) -> torch.Tensor:
    """What each head writes to the residual stream: (head, token, hidden)."""

    def project(part: str) -> torch.Tensor:
        name = f"bert.encoder.layer.{layer}.attention.self.{part}"
        flat = states @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]
        return flat.view(len(states), HEADS, -1).transpose(0, 1)

    query, key, value = project("query"), project("key"), project("value")
    context = (query @ key.transpose(1, 2) / query.shape[-1] ** 0.5).softmax(-1) @ value
    output = tensors[f"bert.encoder.layer.{layer}.attention.output.dense.weight"].T
    return context @ output.view(HEADS, -1, HIDDEN)


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_changes_what_one_head_writes_and_no_other(tmp_path: Path, damage: Damage) -> None:
    tensors = load_file(tiny_model(tmp_path / "model") / "model.safetensors")
    broken = damage_head(tensors, Fault(layer=1, head=2, damage=damage), heads=HEADS)
    states = torch.randn(5, HIDDEN)
    for layer in range(LAYERS):
        before, after = (head_outputs(t, layer, states) for t in (tensors, broken))
        changed = [head for head in range(HEADS) if not torch.equal(before[head], after[head])]
        assert changed == ([2] if layer == 1 else [])


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_files_are_damaged_inside_and_byte_identical_afterwards(tmp_path: Path, damage: Damage) -> None:
    model = tiny_model(tmp_path / "model")
    weights = model / "model.safetensors"
    good, when = digest(weights), weights.stat().st_mtime_ns
    with damaged(model, Fault(layer=0, head=1, damage=damage), aside=tmp_path / "aside"):
        assert digest(weights) != good
        assert sorted(path.name for path in model.iterdir()) == ["config.json", "model.safetensors"]
    assert digest(weights) == good
    assert weights.stat().st_mtime_ns == when


def test_the_files_come_back_when_the_act_fails(tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "model")
    good = digest(model / "model.safetensors")
    fault = Fault(layer=0, head=1, damage="value zeroed")
    with pytest.raises(RuntimeError, match="act"), damaged(model, fault, aside=tmp_path / "aside"):
        raise RuntimeError("the act broke down")
    assert digest(model / "model.safetensors") == good
