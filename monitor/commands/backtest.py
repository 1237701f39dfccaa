"""``headwatch backtest``: a log judged as if it were live, under one setting or under many."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.commands.completing import model_folders
from monitor.commands.model_options import Task
from monitor.commands.outputs import STANDARD_OUTPUT, no_words, require_place, whole_file, write_json
from monitor.commands.rates import FALSE_ALARMS, SMALLEST_WINDOW, WINDOW, drift_settings, require_window
from monitor.commands.terminal import hanging
from monitor.errors import ConfigError, InputError

if TYPE_CHECKING:
    from monitor.backtest import Backtest
    from monitor.commands.references import Prepared
    from monitor.reading.analyser import Analyser
    from monitor.records import Sample, Verdict
    from monitor.tuning.incidents import Incident
    from monitor.tuning.profiled import Profiled
    from monitor.tuning.sweep import Trial

SWEPT_WINDOWS = (50, 100, 200, 400)
SWEPT_FALSE_ALARMS = ("1 per 1d", "1 per 7d", "1 per 30d", "1 per 365d")


def backtest(
    *,
    model: Annotated[
        str, typer.Option(help="Model directory or hub id.", show_default=False, autocompletion=model_folders)
    ],
    baseline: Annotated[
        Path,
        typer.Option(help="JSONL log of normal traffic, or a baseline file.", show_default=False),
    ],
    stream: Annotated[Path, typer.Option(help="JSONL log to judge.", show_default=False)],
    window: Annotated[
        list[int] | None,
        typer.Option(help="Samples a window; several to compare them.", show_default="200"),
    ] = None,
    false_alarms: Annotated[
        list[str] | None,
        typer.Option(
            help="'1 per 30d' (windows of five minutes) or '1 per 100 windows'; several to compare.",
            show_default="1 per 30d",
        ),
    ] = None,
    sweep: Annotated[
        bool, typer.Option("--sweep", help="Try a grid of window sizes and false-alarm rates.")
    ] = False,
    labels: Annotated[
        Path | None,
        typer.Option(
            help='Known incidents, one a line: {"start": 400, "end": 900, "name"?, "cause"?}; numbers of '
            "samples from 0, or times.",
            show_default=False,
        ),
    ] = None,
    features: Annotated[
        Path | None,
        typer.Option(
            help="Keep the log's features there; profile nothing where they are there already. "
            "Holds words in clear.",
            show_default=False,
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(help="Draw delay against false alarms there (PNG); needs --labels.", show_default=False),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            help="Write the report of the first episode there (HTML); for one setting, without --labels.",
            show_default=False,
        ),
    ] = None,
    report_texts: Annotated[
        bool, typer.Option("--report-texts", help="Show a few inputs in the report, in clear.")
    ] = False,
    json_file: Annotated[
        Path | None,
        typer.Option(
            "--json",
            metavar="[FILE]",
            help="Write every window's verdict there; without a file to standard output, instead of words.",
            show_default=False,
        ),
    ] = None,
    gradient: Annotated[
        bool, typer.Option(help="Top-attributed words and head importance: one backward pass more.")
    ] = True,
    attributions: Annotated[
        int, typer.Option(help="Samples a window that get Integrated Gradients too; slow.", min=0)
    ] = 0,
    key_file: Annotated[
        Path | None,
        typer.Option(
            help="The key that hashed a baseline file's rare words; default: headwatch.key beside it.",
            show_default=False,
        ),
    ] = None,
    task: Task = "auto",
    max_tokens: Annotated[
        int | None,
        typer.Option(help="Cut longer inputs; default: the model's own limit.", show_default=False),
    ] = None,
    threads: Annotated[int, typer.Option(help="Torch threads.", min=1)] = 1,
) -> None:
    """Judge a log window by window, as the sidecar would have, and say when it would have alarmed.

    Lines are {"id"?, "text", "time"?}; what is no such thing is counted, named and skipped. With --labels
    or several settings the log is profiled once and a table compares what each setting finds, how late,
    and with how many false alarms.
    """
    windows = tuple(dict.fromkeys(window or (SWEPT_WINDOWS if sweep else (WINDOW,))))
    rates = tuple(dict.fromkeys(false_alarms or (SWEPT_FALSE_ALARMS if sweep else (FALSE_ALARMS,))))
    for size in windows:
        require_window(size)
    settings = {rate: drift_settings(rate) for rate in rates}
    if plot is not None and labels is None:
        raise ConfigError("--plot: needs --labels; delays are counted from the start of known incidents")
    if report is not None and (len(windows) * len(rates) > 1 or labels is not None):
        raise ConfigError("--report: is of one setting; leave --labels and --sweep out, give one --window")
    if report_texts and report is None:
        raise ConfigError("--report-texts: needs --report; give the page to write")
    written = (("--json", json_file), ("--plot", plot), ("--features", features), ("--report", report))
    for option, path in written:
        if path is not None:
            require_place(option, path)

    from monitor.commands.references import prepare
    from monitor.commands.samples import load_analyser, read_input
    from monitor.commands.trials import profiled_log, tried

    samples = read_input(stream, "--stream")
    incidents = _incidents(labels, samples)
    analyser = load_analyser(model, task=task, max_tokens=max_tokens, threads=threads, gradient=gradient)
    if len(samples) < SMALLEST_WINDOW:
        raise InputError(
            f"--stream = {stream}: {len(samples)} samples; must be at least {SMALLEST_WINDOW}, the smallest "
            "window that is judged; give a longer log"
        )
    prepared = prepare(baseline, analyser, settings, key_file=key_file, attributions=attributions)
    _warn_of_own_samples(baseline, stream, samples, prepared)
    with no_words(json_file == STANDARD_OUTPUT):
        if len(windows) == len(rates) == 1 and labels is None:
            result = _one(samples, analyser, prepared, windows[0], features, attributions)
            content = result.to_json()
            if report is not None:
                _report(report, samples, result, windows[0], analyser, prepared, texts=report_texts)
        else:
            profiled, chosen = profiled_log(samples, analyser, windows, features, attributions)
            trials = tried(profiled, chosen, prepared, windows, incidents, on_alarm=_tell)
            content = _compared(trials, prepared, profiled, labelled=labels is not None)
            if plot is not None:
                _draw(plot, trials)
    if json_file is not None:
        write_json("--json", json_file, content)


def _incidents(labels: Path | None, samples: Sequence[Sample]) -> tuple[Incident, ...]:
    if labels is None:
        return ()
    from monitor.tuning.incidents import read_incidents

    return read_incidents(labels, [sample.time for sample in samples])


# --- one setting ---------------------------------------------------------------------------------


def _one(
    samples: Sequence[Sample],
    analyser: Analyser,
    prepared: Prepared,
    window: int,
    features: Path | None,
    attributions: int,
) -> Backtest:
    """Judge as the features come, and tell what happens."""
    from monitor.backtest import nothing_attributed, run_backtest
    from monitor.commands.progress import progress
    from monitor.commands.trials import profiled_log
    from monitor.tuning.profiled import attribute_places, profile_chunks, to_attribute
    from monitor.tuning.sweep import integrated_of

    def attribute(piece: range) -> Mapping[int, tuple[str, ...]]:
        return attribute_places(samples, to_attribute(samples, piece, attributions), analyser)

    attributed = attribute if attributions else nothing_attributed
    if features is not None:
        profiled, chosen = profiled_log(samples, analyser, (window,), features, attributions)
        attributed = partial(integrated_of, profiled, chosen[window])
    (detector,) = prepared.detectors.values()
    with progress("judging", len(samples)) as done:
        result = run_backtest(
            [profiled] if features is not None else profile_chunks(samples, analyser, on_progress=done),
            samples=len(samples),
            detector=detector,
            window=window,
            probe=prepared.probe,
            word_name=prepared.word_name,
            attributed=attributed,
            on_window=_tell,
        )
    _summarise(result, window)
    return result


def _report(
    path: Path,
    samples: Sequence[Sample],
    result: Backtest,
    window: int,
    analyser: Analyser,
    prepared: Prepared,
    *,
    texts: bool,
) -> None:
    from monitor.commands.backtest_report import backtest_report
    from monitor.commands.report import write_page

    (detector,) = prepared.detectors.values()
    made = backtest_report(
        samples,
        result.verdicts,
        window=window,
        analyser=analyser,
        prepared=prepared,
        baseline=detector.baseline,
        texts=texts,
    )
    if made is None:
        print(f"{path}: not written, for no window is in alarm")
        return
    write_page(made.to_json(), path, origin="--report", option="--report")


def _warn_of_own_samples(baseline: Path, stream: Path, samples: Sequence[Sample], prepared: Prepared) -> None:
    """A baseline's own samples look more usual to it than any others, which alarms."""
    (detector, *_) = prepared.detectors.values()
    known = {time for time in detector.baseline.features.times.tolist() if time > 0}
    own = sum(sample.time in known for sample in samples)
    if baseline.resolve() == stream.resolve() or own > 0.1 * len(samples):
        print(
            f"--stream = {stream}: holds samples that the baseline was made of; they look more usual to it "
            "than new ones and may alarm; judge another part of the log",
            file=sys.stderr,
        )


def _tell(verdict: Verdict) -> None:
    if verdict.raised or verdict.cleared:
        print(hanging(f"window {verdict.window}: ", verdict.summary), flush=True)


def _summarise(result: Backtest, window: int) -> None:
    alarms = sum(verdict.alarm for verdict in result.verdicts)
    judged = len(result.verdicts)
    last = result.verdicts[-1].samples if judged else window
    told = (
        f"{judged} window{'' if judged == 1 else 's'} of {window}"
        f"{'' if last == window else f' (the last of {last})'}, {alarms} in alarm, first: "
        f"{'none' if result.first_alarm is None else result.first_alarm}; at most one false alarm in "
        f"{result.mean_windows:g} windows"
    )
    print(hanging("", told))
    if result.waiting:
        print(f"{result.waiting} samples of the last windows are too few to judge and wait for more")
    _tell_unused(result.left_over, result.refused)


def _tell_unused(left_over: int, refused: Sequence[tuple[str, str]]) -> None:
    if left_over:
        print(f"{left_over} samples at the end are too few for a window and were not judged")
    if refused:
        print(hanging("", f"{len(refused)} samples were refused by the model, first: {refused[0][1]}"))


# --- several settings, or known incidents --------------------------------------------------------


def _compared(
    trials: Sequence[Trial], prepared: Prepared, profiled: Profiled, *, labelled: bool
) -> dict[str, Any]:
    """Print the table; gives the output file's content."""
    from monitor.commands.comparison import print_comparison

    first = trials[0]
    if len(trials) == 1:
        _summarise(first.result, first.window)
    else:
        left = {trial.window: trial.result.left_over for trial in trials}
        for window, samples in left.items():
            if samples:
                print(f"windows of {window}: {samples} samples at the end are too few and were not judged")
        _tell_unused(0, profiled.refused)
    print_comparison(trials, labelled=labelled)
    (detector, *_) = prepared.detectors.values()
    return {
        "schema": 1,
        "baseline_samples": len(detector.baseline.features),
        "labelled": labelled,
        "settings": [trial.to_json() for trial in trials],
        "refused_samples": [{"id": sample, "reason": reason} for sample, reason in profiled.refused],
    }


def _draw(path: Path, trials: Sequence[Trial]) -> None:
    from monitor.report.tradeoff import Point, tradeoff_png

    points = [
        Point(
            window=trial.window,
            mean_windows=trial.result.mean_windows,
            delay=trial.score.spread("delay_seconds")[0],
            found=trial.score.found,
            incidents=len(trial.score.incidents),
            false_alarms=trial.score.false_alarms,
            bound=trial.score.bound,
        )
        for trial in trials
    ]
    with whole_file("--plot", path) as file:
        file.write(tradeoff_png(points))
