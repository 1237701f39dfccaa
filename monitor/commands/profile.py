"""``headwatch profile``: what every head does on each line of a file, as an npz."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from monitor.commands.outputs import require_place, whole_file
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
        int | None,
        typer.Option(
            "--max-tokens",
            min=2,
            help="Cut longer inputs; default: the model's own limit.",
            show_default=False,
        ),
    ] = None,
    task: Annotated[str, typer.Option(help="auto, sequence-classification, causal-lm or encoder.")] = "auto",
    threads: Annotated[int, typer.Option("--threads", min=1, help="Torch threads.")] = 1,
) -> None:
    """Write every head's statistics for each sample of a JSONL file.

    Arrays: `profile` (sample, layer, head, statistic), `statistics` (their names), `ids`, `rollout`
    (sample, token; padded with NaN) and `tokens` (padded with ''). Lines that are no sample are
    named on stderr and skipped.
    """
    require_place("--output", output)
    samples, problems = read_samples(source)
    _say_problems(problems, "of the lines skipped")
    if not samples:
        raise InputError(f"--input = {source}: has no sample; write one JSON object with a 'text' a line")

    from monitor.commands.progress import progress
    from monitor.commands.samples import load_analyser

    analyser = load_analyser(model, task=task, max_tokens=max_tokens, threads=threads)
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
    """Write the npz as a whole or not at all; raises ``ConfigError`` where it cannot be written."""
    width = max(len(a.tokens) for a in analyses)
    rollout = np.full((len(analyses), width), np.nan, dtype=np.float32)
    for number, analysis in enumerate(analyses):
        rollout[number, : len(analysis.tokens)] = analysis.rollout.row
    tokens = [[*a.tokens, *[""] * (width - len(a.tokens))] for a in analyses]
    with whole_file("--output", path) as file:
        np.savez_compressed(
            file,
            profile=np.stack([a.profile for a in analyses]).astype(np.float32),
            statistics=np.array(statistics, dtype=np.str_),
            ids=np.array([a.id for a in analyses], dtype=np.str_),
            rollout=rollout,
            tokens=np.array(tokens, dtype=np.str_),
        )


def _say_problems(problems: Sequence[str], what: str) -> None:
    for problem in problems[:SHOWN_PROBLEMS]:
        print(problem, file=sys.stderr)
    if len(problems) > SHOWN_PROBLEMS:
        print(f"... and {len(problems) - SHOWN_PROBLEMS} more", file=sys.stderr)
    if problems:
        print(f"{len(problems)} {what}", file=sys.stderr)
