"""``headwatch profile``: what every head does on each line of a file, as an npz."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from monitor.errors import InputError
from monitor.ingest.jsonl import read_samples

if TYPE_CHECKING:
    from monitor.records import SampleAnalysis

SHOWN_PROBLEMS = 20


def profile(
    model: Annotated[
        str, typer.Option("--model", help="Hugging Face directory or hub id.", show_default=False)
    ],
    source: Annotated[
        Path,
        typer.Option("--input", help='JSONL: {"id"?, "text" | "input_ids", ...} a line.', show_default=False),
    ],
    output: Annotated[Path, typer.Option("--output", help="The npz file to write.", show_default=False)],
    *,
    max_tokens: Annotated[
        int | None, typer.Option("--max-tokens", min=2, help="Cut inputs here [default: the model's limit].")
    ] = None,
    threads: Annotated[int, typer.Option("--threads", min=1, help="Torch threads.")] = 1,
) -> None:
    """Write every head's statistics for each sample of a JSONL file.

    Arrays: `profile` (sample, layer, head, statistic), `statistics` (their names), `ids`, `rollout`
    (sample, token; padded with NaN) and `tokens` (padded with ''). Lines that are no sample are
    named on stderr and skipped.
    """
    _require_folder(output)
    samples, problems = read_samples(source)
    _say_problems(problems, "of the lines skipped")
    if not samples:
        raise InputError(f"--input = {source}: has no sample; write one JSON object with a 'text' a line")

    from monitor.analyse import Analyser
    from monitor.analysis.settings import AnalysisSettings
    from monitor.commands.progress import progress
    from monitor.replay.model import load_model
    from monitor.replay.settings import ModelSettings

    analyser = Analyser(
        load_model(ModelSettings(source=model, max_tokens=max_tokens, threads=threads)), AnalysisSettings()
    )
    for refusal in analyser.model.refusals:
        print(f"not available: {refusal}", file=sys.stderr)
    with progress("profiling", len(samples)) as advance:
        analysed = analyser.profile(samples, gradient=False, on_progress=advance)
    _say_problems([f"{id_}: {reason}" for id_, reason in analysed.refused], "of the samples skipped")
    if not analysed.analyses:
        raise InputError(f"--input = {source}: the model takes none of its samples; see above for why")
    write_profile(output, analysed.analyses, analyser.statistics)
    cut = sum(a.facts.truncated for a in analysed.analyses)
    note = f", {cut} of them cut to {analyser.model.max_tokens} tokens" if cut else ""
    print(f"{output}: {len(analysed.analyses)} samples profiled{note}", file=sys.stderr)


def write_profile(path: Path, analyses: Sequence[SampleAnalysis], statistics: Sequence[str]) -> None:
    """Write the npz as a whole or not at all; raises ``InputError`` where it cannot be written."""
    width = max(len(a.tokens) for a in analyses)
    rollout = np.full((len(analyses), width), np.nan, dtype=np.float32)
    for number, analysis in enumerate(analyses):
        rollout[number, : len(analysis.tokens)] = analysis.rollout.row
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with partial.open("wb") as file:
            np.savez_compressed(
                file,
                profile=np.stack([a.profile for a in analyses]).astype(np.float32),
                statistics=np.array(statistics, dtype=np.str_),
                ids=np.array([a.id for a in analyses], dtype=np.str_),
                rollout=rollout,
                tokens=np.array(
                    [[*a.tokens, *[""] * (width - len(a.tokens))] for a in analyses], dtype=np.str_
                ),
            )
        partial.replace(path)
    except OSError as error:
        raise InputError(f"--output = {path}: cannot be written ({error.strerror})") from None
    finally:
        partial.unlink(missing_ok=True)


def _require_folder(output: Path) -> None:
    if output.is_dir() or not output.absolute().parent.is_dir():
        raise InputError(f"--output = {output}: must be a file in a folder that exists")


def _say_problems(problems: Sequence[str], what: str) -> None:
    for problem in problems[:SHOWN_PROBLEMS]:
        print(problem, file=sys.stderr)
    if len(problems) > SHOWN_PROBLEMS:
        print(f"... and {len(problems) - SHOWN_PROBLEMS} more", file=sys.stderr)
    if problems:
        print(f"{len(problems)} {what}", file=sys.stderr)
