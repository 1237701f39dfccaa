"""``headwatch profile``: what every head does on each line of a file, as an npz."""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from zipfile import BadZipFile

import numpy as np
import typer
from numpy.typing import NDArray

from monitor.commands.completing import model_folders
from monitor.commands.model_options import MaxTokens, Task, Threads
from monitor.commands.outputs import json_text, no_words, require_place, whole_file
from monitor.commands.samples import read_lines
from monitor.errors import InputError

if TYPE_CHECKING:
    from monitor.analysis.heads.means import HeadMeans
    from monitor.analysis.heads.survey import HeadSurvey
    from monitor.reading.analyser import Analyser
    from monitor.records import SampleAnalysis

SHOWN_PROBLEMS = 20


def profile(
    model: Annotated[
        str,
        typer.Option(
            "--model",
            help="Hugging Face directory or hub id.",
            show_default=False,
            autocompletion=model_folders,
        ),
    ],
    source: Annotated[
        Path,
        typer.Option("--input", help='JSONL: {"id"?, "text" | "input_ids", ...} a line.', show_default=False),
    ],
    output: Annotated[Path, typer.Option("--output", help="The npz file to write.", show_default=False)],
    *,
    max_tokens: MaxTokens = None,
    task: Task = "auto",
    threads: Threads = 1,
    heads: Annotated[
        bool, typer.Option("--heads", help="Print what each head does: roles, sinks, what could go.")
    ] = False,
    heads_json: Annotated[
        Path | None, typer.Option("--heads-json", help="Write that as JSON.", show_default=False)
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            "--against", help="Print role changes since an npz made with --heads.", show_default=False
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead, with what was skipped and why.")
    ] = False,
) -> None:
    """Write every head's statistics for each sample of a JSONL file.

    Arrays: `profile` (sample, layer, head, statistic), `statistics` (their names), `ids`, `rollout`
    (sample, token; padded with NaN) and `tokens` (padded with ''). With --heads also `roles` (layer,
    head, role), `role_names` and `role_moments` (count, sum and squares of the shares over samples).
    Lines that are no sample are named on stderr and skipped.
    """
    require_place("--output", output)
    if heads_json is not None:
        require_place("--heads-json", heads_json)
    before = None if against is None else read_roles(against)
    samples, problems = read_lines(source, "--input")
    _say_problems(problems, "of the lines skipped")
    if not samples:
        raise InputError(f"--input = {source}: has no sample; write one JSON object with a 'text' a line")

    from monitor.commands.progress import progress
    from monitor.commands.samples import load_analyser

    survey = _survey() if heads or heads_json is not None or before is not None else None
    analyser = load_analyser(model, task=task, max_tokens=max_tokens, threads=threads)
    _check_same_heads(before, analyser, against)
    for refusal in analyser.model.refusals:
        print(f"not available: {refusal}", file=sys.stderr)
    with progress("profiling", len(samples)) as advance:
        analysed = analyser.profile(samples, gradient=survey is not None, on_progress=advance, survey=survey)
    _say_problems([f"{id_}: {reason}" for id_, reason in analysed.refused], "of the samples skipped")
    if not analysed.analyses:
        raise InputError(f"--input = {source}: the model takes none of its samples; see above for why")
    roles = None if survey is None else survey.roles
    write_profile(output, analysed.analyses, analyser.statistics, roles)
    document: dict[str, Any] = {}
    if survey is not None:
        with no_words(as_json):
            document = _tell(survey, before, heads=heads, heads_json=heads_json)
    cut = sum(a.facts.truncated for a in analysed.analyses)
    if as_json:
        told = {
            "file": str(output),
            "samples": len(analysed.analyses),
            "cut": cut,
            "maximum_tokens": analyser.model.max_tokens,
            "layers": analyser.model.layers_seen,
            "heads": analyser.model.identity.heads,
            "statistics": list(analyser.statistics),
            "skipped": list(problems),
            "refused_samples": [{"id": id_, "reason": reason} for id_, reason in analysed.refused],
            "head_report": document or None,
        }
        print(json_text(told))
    note = f", {cut} of them cut to {analyser.model.max_tokens} tokens" if cut else ""
    print(f"{output}: {len(analysed.analyses)} samples profiled{note}", file=sys.stderr)


def _survey() -> HeadSurvey:
    from monitor.analysis.heads.survey import HeadSurvey
    from monitor.analysis.settings import ScheduledSettings

    return HeadSurvey(ScheduledSettings(roles=True, sinks=True, norm_weighted=True, redundancy=True))


def _check_same_heads(before: HeadMeans | None, analyser: Analyser, against: Path | None) -> None:
    """Before the long work: a survey is of the encoder's heads, where there is a decoder too."""
    finding = analyser.model.finding
    layers = finding.stacks.count("encoder") or finding.layer_count
    if before is not None and before.count.shape[:2] != (layers, finding.head_count):
        raise InputError(f"--against = {against}: is of a model with other heads; profile this one anew")


def _tell(
    survey: HeadSurvey,
    before: HeadMeans | None,
    *,
    heads: bool,
    heads_json: Path | None,
) -> dict[str, Any]:
    """Print and write what was asked for; gives the report that ``--heads-json`` writes."""
    from monitor.analysis.heads.role_changes import role_changes
    from monitor.commands.head_table import describe_changes, describe_heads

    document = survey.to_json()
    if heads:
        print(describe_heads(survey))
    if before is not None and survey.roles is not None:
        changes = role_changes(before, survey.roles)
        document["role_changes"] = [{**asdict(item), "head": str(item.head)} for item in changes]
        print(f"\n{describe_changes(changes)}" if heads else describe_changes(changes))
    if heads_json is not None:
        with whole_file("--heads-json", heads_json) as file:
            file.write(json.dumps(document, indent=2).encode())
    return document


def read_roles(path: Path) -> HeadMeans:
    """The role shares that ``profile --heads`` of this version wrote; raises ``InputError``."""
    from monitor.analysis.heads.means import HeadMeans
    from monitor.analysis.heads.roles import ROLES

    anew = "make it anew with `headwatch profile --heads`"
    try:
        moments, names = _role_arrays(path)
    except OSError as error:
        raise InputError(
            f"--against = {path}: cannot be read ({error.strerror or 'it is no npz file'}); "
            "give an npz made by `headwatch profile --heads`"
        ) from None
    except (EOFError, BadZipFile, RuntimeError, zlib.error):
        raise InputError(f"--against = {path}: is cut short or damaged; {anew}") from None
    except (KeyError, TypeError, ValueError):
        raise InputError(f"--against = {path}: has no head roles; {anew}") from None
    if names != ROLES or moments.ndim != 4 or moments.shape[::3] != (3, len(ROLES)):
        raise InputError(f"--against = {path}: has other head roles than this version; {anew}")
    count, total, squares = moments
    return HeadMeans(measures=names, count=count, total=total, squares=squares)


def _role_arrays(path: Path) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    # Opened here: numpy leaves a file open that it cannot read.
    with path.open("rb") as file:
        arrays = np.load(file, allow_pickle=False)
        if isinstance(arrays, np.ndarray):
            raise KeyError("role_moments")
        moments = arrays["role_moments"].astype(np.float64, casting="safe")
        return moments, tuple(str(name) for name in np.atleast_1d(arrays["role_names"]))


def write_profile(
    path: Path,
    analyses: Sequence[SampleAnalysis],
    statistics: Sequence[str],
    roles: HeadMeans | None = None,
) -> None:
    """Write the npz as a whole or not at all; raises ``ConfigError`` where it cannot be written."""
    width = max(len(a.tokens) for a in analyses)
    rollout = np.full((len(analyses), width), np.nan, dtype=np.float32)
    for number, analysis in enumerate(analyses):
        rollout[number, : len(analysis.tokens)] = analysis.rollout.row
    tokens = [[*a.tokens, *[""] * (width - len(a.tokens))] for a in analyses]
    more: dict[str, NDArray[Any]] = {}
    if roles is not None:
        more = {
            "roles": roles.mean.astype(np.float32),
            "role_names": np.array(roles.measures, dtype=np.str_),
            "role_moments": np.stack([roles.count, roles.total, roles.squares]),
        }
    with whole_file("--output", path) as file:
        np.savez_compressed(
            file,
            allow_pickle=False,
            profile=np.stack([a.profile for a in analyses]).astype(np.float32),
            statistics=np.array(statistics, dtype=np.str_),
            ids=np.array([a.id for a in analyses], dtype=np.str_),
            rollout=rollout,
            tokens=np.array(tokens, dtype=np.str_),
            **more,
        )


def _say_problems(problems: Sequence[str], what: str) -> None:
    for problem in problems[:SHOWN_PROBLEMS]:
        print(problem, file=sys.stderr)
    if len(problems) > SHOWN_PROBLEMS:
        print(f"... and {len(problems) - SHOWN_PROBLEMS} more", file=sys.stderr)
    if problems:
        print(f"{len(problems)} {what}", file=sys.stderr)
