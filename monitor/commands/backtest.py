"""``headwatch backtest``: a log judged as if it were live."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.commands.outputs import require_place, whole_file
from monitor.errors import ConfigError, InputError

if TYPE_CHECKING:
    from monitor.analyse import Analyser
    from monitor.records import Baseline

WINDOW_SECONDS = 300.0
SMALLEST_WINDOW = 30


def backtest(
    *,
    model: Annotated[str, typer.Option(help="Model directory or hub id.", show_default=False)],
    baseline: Annotated[
        Path,
        typer.Option(help="JSONL log of normal traffic, or a baseline file.", show_default=False),
    ],
    stream: Annotated[Path, typer.Option(help="JSONL log to judge.", show_default=False)],
    window: Annotated[int, typer.Option(help="Samples a window.")] = 200,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write every window's verdict there.", show_default=False)
    ] = None,
    false_alarms: Annotated[
        str, typer.Option(help="'1 per 30d' (windows of five minutes) or '1 per 100 windows'.")
    ] = "1 per 30d",
    gradient: Annotated[
        bool, typer.Option(help="Top-attributed words and head importance: one backward pass more.")
    ] = True,
    task: Annotated[str, typer.Option(help="auto, sequence-classification, causal-lm or encoder.")] = "auto",
    max_tokens: Annotated[
        int | None,
        typer.Option(help="Cut longer inputs; default: the model's own limit.", show_default=False),
    ] = None,
    threads: Annotated[int, typer.Option(help="Torch threads.", min=1)] = 1,
) -> None:
    """Judge a log window by window, as the sidecar would have, and say when it would have alarmed.

    Lines are {"id"?, "text"}; what is no such thing is counted, named and skipped.
    """
    from monitor.drift.settings import DriftSettings, mean_windows_between_false_alarms

    if window < SMALLEST_WINDOW:
        raise ConfigError(
            f"--window = {window}: must be at least {SMALLEST_WINDOW}; "
            "fewer samples cannot be told from noise"
        )
    try:
        settings = DriftSettings(false_alarms=false_alarms)
    except ValueError:
        raise ConfigError(
            f"--false-alarms = {false_alarms}: is not a rate; write it as in '1 per 30d' or "
            "'1 per 8640 windows'"
        ) from None
    if json_file is not None:
        require_place("--json", json_file)
    mean_windows = mean_windows_between_false_alarms(settings, WINDOW_SECONDS)

    from monitor.backtest import run_backtest
    from monitor.baseline import check_fits
    from monitor.commands.progress import progress
    from monitor.commands.samples import load_analyser, read_input
    from monitor.drift.detector import Detector
    from monitor.records import Verdict

    samples = read_input(stream)
    analyser = load_analyser(model, task=task, max_tokens=max_tokens, threads=threads, gradient=gradient)
    reference, probe_texts = _reference(baseline, analyser)
    check_fits(reference, analyser.model.identity, analyser.statistics)
    detector = Detector.fit(reference, settings, mean_windows=mean_windows)
    if len(reference.features) < _advised():
        print(
            f"the baseline has {len(reference.features)} samples: below {_advised()} only larger shifts "
            "are found",
            file=sys.stderr,
        )
    probe = analyser.probe(probe_texts) if probe_texts else None

    def told(verdict: Verdict) -> None:
        if verdict.raised or verdict.cleared:
            print(f"window {verdict.window}: {verdict.summary}", flush=True)

    with progress("judging", len(samples)) as done:
        result = run_backtest(
            samples,
            analyser=analyser,
            detector=detector,
            window=window,
            probe=probe,
            on_window=told,
            on_progress=done,
        )
    if json_file is not None:
        with whole_file("--json", json_file) as file:
            file.write(json.dumps(result.to_json(), indent=1, allow_nan=False).encode())
    alarms = sum(verdict.alarm for verdict in result.verdicts)
    print(
        f"{len(result.verdicts)} windows of {window}, {alarms} in alarm, first: "
        f"{'none' if result.first_alarm is None else result.first_alarm}; at most one false alarm in "
        f"{mean_windows:g} windows"
    )
    if result.left_over:
        print(f"{result.left_over} samples at the end are too few for a window and were not judged")
    if result.refused:
        print(f"{len(result.refused)} samples were refused by the model, first: {result.refused[0][1]}")


def _reference(path: Path, analyser: Analyser) -> tuple[Baseline, tuple[str, ...]]:
    """The baseline, from a log or a file, and the probe texts that go with it."""
    from monitor.baseline import load_baseline
    from monitor.commands.progress import progress
    from monitor.commands.samples import read_input
    from monitor.learn import baseline_from_samples
    from monitor.replay.probe_inputs import load_probe_texts

    texts = load_probe_texts(None)
    try:
        with path.open("rb") as file:
            is_archive = file.read(4) == b"PK\x03\x04"
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); give a JSONL file that exists"
        ) from None
    if is_archive:
        return load_baseline(path), texts
    samples = read_input(path)
    with progress("baseline", len(samples)) as done:
        reference, refused = baseline_from_samples(
            samples, analyser=analyser, probe_texts=texts, created=0.0, on_progress=done
        )
    if refused:
        print(
            f"{path}: {len(refused)} samples were refused by the model, first: {refused[0][1]}",
            file=sys.stderr,
        )
    return reference, texts


def _advised() -> int:
    from monitor.baseline import ADVISED

    return ADVISED
