"""Checkpoints of known difference from the demo's model, each a folder of its own while it is looked at."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch

from benchmarks.detection.faults import Fault, Tensors, changed_weights, checkpoints, damaged_head

LAYERS, HEADS = 6, 12
DRAWS = range(100, 112)
"""Other draws than the 24 on which ``FLOOR_FACTOR`` was chosen."""
SIGNIFICANT_BITS = 8


@contextmanager
def made(folder: Path, fault: Fault) -> Iterator[Path]:
    """A copy of the model's folder with the fault in its files; it goes afterwards."""
    copy = folder.with_name(f"{folder.name}-candidate")
    shutil.copytree(folder, copy, copy_function=os.link)
    try:
        if fault.files is not None:
            fault.files(copy)
        yield copy
    finally:
        shutil.rmtree(copy)


def damaged(damage: str) -> Iterator[tuple[str, Fault]]:
    """Every head of the model, and the checkpoint in which that one is damaged."""
    for layer in range(LAYERS):
        for head in range(HEADS):
            yield f"L{layer}H{head}", damaged_head(layer, head, heads=HEADS, damage=damage)


def rounded() -> dict[str, Fault]:
    """Checkpoints that differ by rounding alone: nothing, casts, and random errors of a cast's size."""
    return {
        "the same files": Fault(),
        "cast to bfloat16": Fault(files=changed_weights(partial(_each, _cast(torch.bfloat16)))),
        "cast to float16": Fault(files=changed_weights(partial(_each, _cast(torch.float16)))),
        **{
            f"random rounding {draw}": Fault(files=changed_weights(partial(_each, _random(draw))))
            for draw in DRAWS
        },
    }


def retrained() -> dict[str, Fault]:
    """The same training from other seeds, for less long, and the encoder before it."""
    return checkpoints()


def _each(change: Callable[[torch.Tensor], torch.Tensor], tensors: Tensors) -> None:
    for name, tensor in tensors.items():
        if tensor.is_floating_point():
            tensors[name] = change(tensor)


def _cast(dtype: torch.dtype) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda tensor: tensor.to(dtype).to(tensor.dtype)


def _random(seed: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """Errors drawn evenly within half a unit of bfloat16's last place, as its rounding makes them."""
    draw = torch.Generator().manual_seed(seed)

    def change(tensor: torch.Tensor) -> torch.Tensor:
        exponent = torch.frexp(tensor).exponent - SIGNIFICANT_BITS
        unit = torch.ldexp((tensor != 0).to(tensor.dtype), exponent)
        return tensor + (torch.rand(tensor.shape, generator=draw) - 0.5) * unit

    return change
