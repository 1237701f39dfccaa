"""``headwatch compare``: two checkpoints on the same inputs, head by head."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from monitor.commands.completing import model_folders
from monitor.commands.model_options import MaxTokens, Task, Threads
from monitor.commands.outputs import STANDARD_OUTPUT, require_place, whole_file, write_json
from monitor.errors import ConfigError, HeadwatchError, InputError, ModelError

if TYPE_CHECKING:
    from monitor.comparing.comparison import Comparison
    from monitor.comparing.examples import Views
    from monitor.comparing.reading import ModelReading
    from monitor.reading.analyser import Analyser
    from monitor.records import Sample

DIFFERENT = 3
FEWEST_SAMPLES = 2
NOISE = "bfloat16"
SHOWN_REFUSALS = 10
_MODEL_OPTION = re.compile(r"(?<![\w-])--model(?![\w-])")


def compare(
    model: Annotated[
        str,
        typer.Option(
            "--model",
            help="Hugging Face directory or hub id.",
            show_default=False,
            autocompletion=model_folders,
        ),
    ],
    candidate: Annotated[
        str,
        typer.Option(
            "--candidate",
            help="The checkpoint to hold against it.",
            show_default=False,
            autocompletion=model_folders,
        ),
    ],
    source: Annotated[
        Path,
        typer.Option("--input", help='JSONL: {"id"?, "text" | "input_ids", ...} a line.', show_default=False),
    ],
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "--json",
            metavar="[FILE]",
            help="Write all of it there; without a file to standard output, instead of words.",
            show_default=False,
        ),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", help="A page to write: one file, no network.", show_default=False),
    ] = None,
    fail_on: Annotated[
        Literal["any", "important"] | None,
        typer.Option(
            "--fail-on",
            help="Leave with 3 on any difference, or where a head over the median head's importance changed.",
            show_default=False,
        ),
    ] = None,
    noise_samples: Annotated[
        int,
        typer.Option("--noise-samples", min=0, help="Samples for the noise floor (bfloat16); 0: none."),
    ] = 64,
    max_tokens: MaxTokens = None,
    task: Task = "auto",
    threads: Threads = 1,
) -> None:
    """Compare two checkpoints of one architecture on the same inputs, head by head.

    Says which heads moved and with which one it began, whether answers and attributions agree, and
    which weights differ. Leaves with 0 whatever it finds, unless --fail-on is given: then 3 means
    that they differ, and only that. Checkpoints that cannot be loaded or compared give 2.
    """
    for option, path in (("--json", output), ("--html", html)):
        if path is not None:
            require_place(option, path)
    options = {"task": task, "max_tokens": max_tokens, "threads": threads}
    looks: list[Views] | None = None if html is None else []
    with _unusable():
        found = _compared(
            model, candidate, source, options, fail_on=fail_on, noise_samples=noise_samples, looks=looks
        )
    _write(found, output, html, looks)
    if output != STANDARD_OUTPUT:
        from monitor.commands.compare_table import print_comparison

        print_comparison(found)
    written = [str(path) for path in (output, html) if path not in (None, STANDARD_OUTPUT)]
    if written:
        print(f"\n{', '.join(written)}", file=sys.stderr)
    if fail_on is not None and found.fails(fail_on):
        raise typer.Exit(DIFFERENT)


def _compared(
    model: str,
    candidate: str,
    source: Path,
    options: dict[str, Any],
    *,
    fail_on: str | None,
    noise_samples: int,
    looks: list[Views] | None,
) -> Comparison:
    """One checkpoint after the other: no two are in memory at once. ``looks`` takes each one's views."""
    from monitor.commands.samples import read_input
    from monitor.comparing.comparison import compare as compare_readings
    from monitor.comparing.comparison import floor_of

    samples = read_input(source)
    before = _of_model(model, samples, source, options, fail_on, looks)
    after = _of_candidate(candidate, before, options, looks)
    found = compare_readings(before, after)
    if not found.moved or not noise_samples:
        return found
    # only now: equal checkpoints need no floor to be told equal
    rounded = _rounded(model, before.samples[:noise_samples], options)
    return found if rounded is None else compare_readings(before, after, floor_of(before, rounded))


def _of_model(
    model: str,
    samples: Sequence[Sample],
    source: Path,
    options: dict[str, Any],
    fail_on: str | None,
    looks: list[Views] | None,
) -> ModelReading:
    """The model's reading of the samples that it takes and answers in numbers; the others are named."""
    from monitor.commands.samples import load_analyser

    analyser = load_analyser(model, **options)
    if not analyser.model.layers_seen:
        raise ConfigError(
            f"--model = {model}: has no attention that can be read, so there is no head to compare; "
            "`headwatch explain` still works"
        )
    if fail_on == "important" and not analyser.model.takes_gradient:
        raise ConfigError(
            f"--fail-on = important: {model} takes no input embeddings, so no head's importance is known; "
            "use --fail-on any"
        )
    reading, refused = _run(analyser, samples, "model")
    finite = reading.finite
    broken = [
        (reading.samples[place].id, "the model's numbers are not finite for this input")
        for place in (~finite).nonzero()[0]
    ]
    left_out = [*refused, *broken]
    for id_, reason in left_out[:SHOWN_REFUSALS]:
        print(f"skipped: {id_}: {reason}", file=sys.stderr)
    if left_out:
        print(f"{source}: {len(left_out)} of {len(samples)} samples skipped", file=sys.stderr)
    if finite.sum() < FEWEST_SAMPLES:
        count = "1 sample" if finite.any() else "no sample"
        raise InputError(
            f"--input = {source}: gives the model {count}; at least {FEWEST_SAMPLES} are needed to know a "
            "spread, and some dozens to know it well"
        )
    reading = reading if finite.all() else reading.take(finite.nonzero()[0])
    _look(analyser, reading, looks)
    return reading


def _of_candidate(
    candidate: str, before: ModelReading, options: dict[str, Any], looks: list[Views] | None
) -> ModelReading:
    from monitor.commands.samples import load_analyser
    from monitor.comparing.comparable import mismatch, reading_mismatch

    with _named_as_candidate():
        analyser = load_analyser(candidate, **options)
    problem = mismatch(before.identity, analyser.model.identity)
    if not problem:
        reading, _ = _run(analyser, before.samples, "candidate")
        problem = reading_mismatch(before, reading)
    if problem:
        raise ConfigError(f"--candidate = {candidate}: {problem}")
    _look(analyser, before, looks)
    return reading


def _look(analyser: Analyser, reading: ModelReading, looks: list[Views] | None) -> None:
    """Add where this checkpoint's heads look on a few of the samples, if a page is to show it."""
    if looks is not None:
        from monitor.comparing.examples import read_examples

        looks.append(read_examples(analyser, reading.samples))


def _rounded(model: str, samples: Sequence[Sample], options: dict[str, Any]) -> ModelReading | None:
    """The model in a lower precision, or None where it does not run in that."""
    from monitor.commands.samples import load_analyser

    try:
        analyser = load_analyser(model, **options, dtype=NOISE)
    except ModelError as error:
        print(f"no noise floor: the model does not run in {NOISE} ({error})", file=sys.stderr)
        return None
    return _run(analyser, samples, "noise floor", gradient=False)[0]


def _run(
    analyser: Analyser, samples: Sequence[Sample], title: str, *, gradient: bool = True
) -> tuple[ModelReading, tuple[tuple[str, str], ...]]:
    from monitor.commands.progress import progress
    from monitor.comparing.reading import read_model

    with progress(title, len(samples)) as advance:
        return read_model(analyser, samples, gradient=gradient, on_progress=advance)


@contextmanager
def _unusable() -> Iterator[None]:
    """A checkpoint that cannot be loaded is wrong usage here: 3 must mean nothing but a difference."""
    try:
        yield
    except ModelError as error:
        raise ConfigError(str(error)) from error


@contextmanager
def _named_as_candidate() -> Iterator[None]:
    """Errors in the block name ``--candidate`` where they would name ``--model``."""
    try:
        yield
    except HeadwatchError as error:
        error.args = (_MODEL_OPTION.sub("--candidate", str(error)), *error.args[1:])
        raise


def _write(found: Comparison, output: Path | None, html: Path | None, looks: Sequence[Views] | None) -> None:
    from monitor.comparing.examples import side_by_side
    from monitor.comparing.page import page
    from monitor.comparing.summary import to_json

    if output is not None:
        write_json("--json", output, to_json(found))
    if html is not None:
        with whole_file("--html", html) as file:
            file.write(page(found, side_by_side(found, *looks) if looks else None).encode())
