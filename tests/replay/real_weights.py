"""What was seen of the real weights that packages ship, and the table in ``docs/models.md`` that says so.

``python -m tests.replay.real_weights`` writes the table; a slow test compares it with a fresh look.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import transformers as hf

from monitor.records import Sample
from tests.dinov2 import dinov2, photographs
from tests.families import Family
from tests.models import minilm, smollm2
from tests.replay.family_table import DOCS, TEXTS, Seen, compare, put_table, table_of

BEGIN, END = "<!-- real weights: written by tests/replay/real_weights.py -->", "<!-- real weights: end -->"
FOLDERS: Mapping[str, Callable[[], Path | None]] = MappingProxyType(
    {"minilm": minilm, "smollm2": smollm2, "dinov2": dinov2}
)


def _not_built() -> None:
    raise AssertionError("real weights are read, not made")


def _layers(projection: str, count: int) -> dict[str, Any]:
    names = tuple(projection.format(layer) for layer in range(count))
    return {"projections": names, "windows": (None,) * count}


REAL: Mapping[str, Family] = MappingProxyType(
    {
        "minilm": Family(
            title="MiniLM-L6",
            note="BERT, 22 million parameters",
            kind="encoder",
            build=_not_built,
            loader=hf.AutoModel,
            tier="tap",
            **_layers("encoder.layer.{}.attention.output.dense", 6),
        ),
        "smollm2": Family(
            title="SmolLM2-135M",
            note="Llama, 9 query heads on 3 key heads",
            kind="decoder",
            build=_not_built,
            loader=hf.AutoModelForCausalLM,
            tier="tap",
            **_layers("model.layers.{}.self_attn.o_proj", 30),
        ),
        "dinov2": Family(
            title="DINOv2 ViT-S/14",
            note="257 patches, no classifier on it",
            kind="image",
            build=_not_built,
            loader=hf.AutoModel,
            tier="tap",
            **_layers("encoder.layer.{}.attention.o_proj", 12),
        ),
    }
)


def samples_for(name: str) -> list[Sample]:
    """Texts of unlike length, or photographs."""
    if REAL[name].kind == "image":
        return [Sample(id=str(i), time=0.0, image=image) for i, image in enumerate(photographs())]
    return [Sample(id=text, time=0.0, text=text) for text in TEXTS]


def look_at_real(name: str) -> Seen | None:
    """Compare real weights with plain transformers and numpy; None where their package is missing."""
    folder = FOLDERS[name]()
    return None if folder is None else compare(name, REAL[name], folder, samples_for(name), explained=0)


def write_table() -> None:
    """Look at all of them and write the table into the docs."""
    seen = [one for one in map(look_at_real, REAL) if one is not None]
    if len(seen) < len(REAL):
        sys.exit("a package with weights is missing: run make setup")
    put_table(table_of(seen, REAL), BEGIN, END)


if __name__ == "__main__":
    write_table()
    sys.stdout.write(f"{DOCS}: table of {len(REAL)} models written\n")
