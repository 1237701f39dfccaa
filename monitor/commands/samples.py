"""What commands over a log share: its samples with the bad lines named, and the model."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from monitor.errors import ConfigError, HeadwatchError, InputError, ModelError
from monitor.records import Sample
from monitor.replay.settings import Task

if TYPE_CHECKING:
    from monitor.reading.analyser import Analyser

SHOWN_PROBLEMS = 10
TASKS = get_args(Task)
# Keys of the configuration -> the options that stand for them in commands that read none.
_OPTIONS = {
    "model.source": "--model",
    "model.task": "--task",
    "model.max_tokens": "--max-tokens",
    "probe.file": "--probe-file",
    "exporters.mlflow.tracking_uri": "--tracking-uri",
    "exporters.mlflow.experiment": "--experiment",
    "mlflow.tracking_uri": "--tracking-uri",
    "exporters.mlflow.token_file": "MLFLOW_TRACKING_TOKEN",
}
_KEY = re.compile(rf"(?<![\w./-])({'|'.join(map(re.escape, _OPTIONS))})(?![\w/-])")


EXAMPLE = '{"text": "..."}'


def read_lines(path: Path, option: str) -> tuple[list[Sample], list[str]]:
    """The samples of a JSONL file and what is wrong with its other lines; InputError names the option."""
    from monitor.ingest.jsonl import read_samples

    try:
        return read_samples(path)
    except InputError as error:
        raise InputError(f"{option} = {error}") from None


def read_input(path: Path, option: str = "--input") -> list[Sample]:
    """The samples of a JSONL file; bad lines are named on stderr. InputError if there is no sample."""
    samples, problems = read_lines(path, option)
    for problem in problems[:SHOWN_PROBLEMS]:
        print(f"skipped: {problem}", file=sys.stderr)
    if problems:
        print(f"{path}: {len(problems)} lines skipped, {len(samples)} samples read", file=sys.stderr)
    if not samples:
        raise InputError(f"{option} = {path}: has no sample; give JSONL lines as in {EXAMPLE}")
    return samples


def load_analyser(
    source: str,
    *,
    task: str,
    max_tokens: int | None,
    threads: int,
    gradient: bool = True,
    name: str | None = None,
    dtype: str = "float32",
) -> Analyser:
    """The model with what is computed on it; ConfigError or ModelError say which option to change."""
    if task not in TASKS:
        raise ConfigError(f"--task = {task}: must be one of {', '.join(TASKS)}")
    if max_tokens is not None and max_tokens < 2:
        raise ConfigError(f"--max-tokens = {max_tokens}: must be at least 2")
    if source.startswith("models:/"):
        raise ModelError(
            f"--model = {source}: is in a model registry, which only `headwatch run` and `headwatch check` "
            "read; give a Hugging Face directory"
        )

    from monitor.analysis.settings import AnalysisSettings
    from monitor.reading.analyser import Analyser
    from monitor.replay.model import load_model
    from monitor.replay.settings import ModelSettings

    settings = ModelSettings.model_validate(
        {
            "source": source,
            "name": name,
            "task": task,
            "max_tokens": max_tokens,
            "threads": threads,
            "dtype": dtype,
        }
    )
    from monitor.commands.progress import working

    with named_as_options(), working("loading the model"):
        return Analyser(load_model(settings), AnalysisSettings(gradient_attribution=gradient))


@contextmanager
def named_as_options() -> Iterator[None]:
    """Errors in the block name the command's options where they would name keys of a configuration."""
    try:
        yield
    except HeadwatchError as error:
        text = _KEY.sub(lambda key: _OPTIONS[key[0]], str(error))
        error.args = (text, *error.args[1:])
        raise
