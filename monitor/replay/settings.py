"""Settings of the model that is replayed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field

from monitor.settings import Settings

Task = Literal[
    "auto",
    "sequence-classification",
    "token-classification",
    "question-answering",
    "causal-lm",
    "encoder-decoder",
    "encoder",
    "image-classification",
]


class ModelSettings(Settings):
    """Which model to load and how to run it.

    ``source`` is a Hugging Face directory or hub id (a ``models:/`` address is resolved to a folder
    by the caller). ``token_budget`` bounds a batch, rows times the longest row:
    about a thousand tokens stay in cache and were faster than more. ``threads`` is the
    number of torch threads: one leaves the rest of the machine to the server that is watched.
    ``memory_share`` bounds this process's part of a GPU's memory; where that is full, batches are
    halved, and a row that does not fit alone moves the model to the CPU.
    """

    source: str
    name: str | None = None
    revision: str | None = None
    task: Task = "auto"
    device: str = "cpu"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    max_tokens: int | None = Field(default=None, ge=2)
    threads: int = Field(default=1, ge=1)
    token_budget: int = Field(default=1024, ge=16)
    memory_share: float | None = Field(default=None, gt=0.0, le=1.0)

    @property
    def watched_name(self) -> str:
        """What metrics, verdicts, runs, baselines and messages call the model."""
        return self.name or name_of(self.source)


def name_of(source: str) -> str:
    """The last part of ``source`` as it is written, or the registered model's name.

    A link keeps its own name wherever it points: a deployment that turns ``/models/current`` to another
    folder changes the weights of one model.

    >>> name_of("/models/sentiment/"), name_of("org/sentiment"), name_of("models:/sentiment@champion")
    ('sentiment', 'sentiment', 'sentiment')
    """
    registered = re.match(r"models:/+([^@/]+)", source)
    if registered is not None:
        return registered[1]
    folder = Path(source).absolute()
    return (folder.resolve() if folder.name == ".." else folder).name or source
