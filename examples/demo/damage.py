"""A deployment fault: one attention head of the model files is damaged, and later put back.

The files are replaced by renaming, as a careful deployer does: a process that has the old file
mapped keeps it, and nobody reads half a file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from examples.demo.plan import Fault

WEIGHTS = "model.safetensors"


@contextmanager
def damaged(model: Path, fault: Fault, *, aside: Path) -> Iterator[None]:
    """Deploy the damaged weights; on leaving, put the very file of before back.

    ``aside`` is a folder on the same disk, outside ``model``, where the good file waits.
    """
    weights = model / WEIGHTS
    aside.mkdir(parents=True, exist_ok=True)
    intact, broken = aside / WEIGHTS, aside / f"damaged-{WEIGHTS}"
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    tensors = load_file(weights)
    save_file(damage_head(tensors, fault, heads=config["num_attention_heads"]), broken, {"format": "pt"})
    intact.unlink(missing_ok=True)
    os.link(weights, intact)
    broken.replace(weights)
    try:
        yield
    finally:
        intact.replace(weights)


def damage_head(tensors: dict[str, torch.Tensor], fault: Fault, *, heads: int) -> dict[str, torch.Tensor]:
    """A copy of ``tensors`` in which one head of one BERT layer is broken, and nothing else."""
    attention = f"bert.encoder.layer.{fault.layer}.attention"
    damaged = dict(tensors)
    if fault.damage == "output zeroed":
        name = f"{attention}.output.dense.weight"
        columns = _head_slice(tensors[name].shape[1], heads, fault.head)
        damaged[name] = tensors[name].clone()
        damaged[name][:, columns] = 0.0
        return damaged
    part = "value" if fault.damage == "value zeroed" else "query"
    for kind in ("weight", "bias"):
        name = f"{attention}.self.{part}.{kind}"
        rows = _head_slice(tensors[name].shape[0], heads, fault.head)
        damaged[name] = tensors[name].clone()
        if part == "value":
            damaged[name][rows] = 0.0
        else:  # rolled by one: every query dimension meets the wrong key dimension
            damaged[name][rows] = tensors[name][rows].roll(1, dims=0)
    return damaged


def _head_slice(width: int, heads: int, head: int) -> slice:
    size = width // heads
    return slice(head * size, (head + 1) * size)
