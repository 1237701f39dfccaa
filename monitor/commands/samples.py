"""What commands over a log share: its samples with the bad lines named, and the model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from monitor.errors import ConfigError, InputError
from monitor.records import Sample

if TYPE_CHECKING:
    from monitor.analyse import Analyser

SHOWN_PROBLEMS = 10


def read_input(path: Path) -> list[Sample]:
    """The samples of a JSONL file; bad lines are named on stderr. InputError if there is no sample."""
    from monitor.ingest.jsonl import read_samples

    samples, problems = read_samples(path)
    for problem in problems[:SHOWN_PROBLEMS]:
        print(f"skipped: {problem}", file=sys.stderr)
    if problems:
        print(f"{path}: {len(problems)} lines skipped, {len(samples)} samples read", file=sys.stderr)
    if not samples:
        raise InputError(f'{path}: has no sample; give JSONL lines as in {{"text": "..."}}')
    return samples


def load_analyser(
    source: str, *, task: str, max_tokens: int | None, threads: int, gradient: bool, name: str | None = None
) -> Analyser:
    """The model with what is computed on it; ConfigError or ModelError say what to change."""
    from monitor.analyse import Analyser
    from monitor.analysis.settings import AnalysisSettings
    from monitor.replay.model import load_model
    from monitor.replay.settings import ModelSettings

    tasks = ("auto", "sequence-classification", "causal-lm", "encoder")
    if task not in tasks:
        raise ConfigError(f"--task = {task}: must be one of {', '.join(tasks)}")
    if max_tokens is not None and max_tokens < 2:
        raise ConfigError(f"--max-tokens = {max_tokens}: must be at least 2")
    settings = ModelSettings.model_validate(
        {"source": source, "name": name, "task": task, "max_tokens": max_tokens, "threads": threads}
    )
    return Analyser(load_model(settings), AnalysisSettings(gradient_attribution=gradient))
