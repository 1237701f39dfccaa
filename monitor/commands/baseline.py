"""``headwatch baseline``: build the frozen reference, list and show what there is, promote one."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.commands.completing import model_folders
from monitor.commands.help_text import epilog, first_sentence, prose
from monitor.commands.model_options import Task
from monitor.commands.outputs import REMEDY, json_text, require_place
from monitor.commands.promote import CURRENT, promote
from monitor.commands.rates import FALSE_ALARMS, WINDOW, drift_settings, mean_windows, require_window
from monitor.commands.terminal import hanging, room
from monitor.errors import ConfigError, InputError

if TYPE_CHECKING:
    from monitor.records import Baseline

app = typer.Typer(
    name="baseline",
    help="The frozen reference that windows are judged against.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
NAME_WIDTH = 16
# leaves a line of 80 columns to the 64 digits of a hash
LABEL_WIDTH = 14
LABELS = {
    "from": "first sample",
    "to": "last sample",
    "attributed": "with gradients",
    "integrated": "with IG",
}
_Registry = Annotated[
    str | None, typer.Option("--tracking-uri", help="MLflow server, for the registry.", show_default=False)
]


def build(
    *,
    model: Annotated[
        str, typer.Option(help="Model directory or hub id.", show_default=False, autocompletion=model_folders)
    ],
    input_file: Annotated[
        Path, typer.Option("--input", help="JSONL log of normal traffic.", show_default=False)
    ],
    output: Annotated[Path, typer.Option(help="The baseline file to write.", show_default=False)],
    name: Annotated[
        str | None,
        typer.Option(help="The model's name; default: the last part of --model.", show_default=False),
    ] = None,
    probe_file: Annotated[
        Path | None,
        typer.Option(help="Probe inputs, one a line; default: the shipped set.", show_default=False),
    ] = None,
    key_file: Annotated[
        Path | None,
        typer.Option(
            help="The sidecar's key that hashes rare words; default: headwatch.key beside the output.",
            show_default=False,
        ),
    ] = None,
    gradient: Annotated[
        bool, typer.Option(help="Top-attributed words and head importance: one backward pass more.")
    ] = True,
    task: Task = "auto",
    max_tokens: Annotated[
        int | None,
        typer.Option(help="Cut longer inputs; default: the model's own limit.", show_default=False),
    ] = None,
    attributions: Annotated[
        int, typer.Option(help="Samples that get Integrated Gradients too; 0 with --no-gradient.", min=0)
    ] = 100,
    threads: Annotated[int, typer.Option(help="Torch threads.", min=1)] = 1,
    publish: Annotated[bool, typer.Option("--publish", help="Also register it in MLflow.")] = False,
    tracking_uri: _Registry = None,
    experiment: Annotated[
        str, typer.Option(help="The experiment that keeps a published file.")
    ] = "headwatch",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")] = False,
) -> None:
    """Profile a log of normal traffic and freeze it as a baseline."""
    if publish and tracking_uri is None:
        raise ConfigError("--publish: needs --tracking-uri; give the MLflow server's address")
    require_place("--output", output, makes_folders=True)

    from monitor.baselines.coverage import coverage_warnings
    from monitor.baselines.file_format import baseline_bytes, save_baseline
    from monitor.commands.progress import progress
    from monitor.commands.samples import load_analyser, named_as_options, read_input
    from monitor.config.configuration import PrivacySettings
    from monitor.learn import baseline_from_samples
    from monitor.privacy import WordPrivacy
    from monitor.replay.probe_inputs import load_probe_texts
    from monitor.sidecar.keys import word_privacy

    samples = read_input(input_file)
    with named_as_options():
        texts = load_probe_texts(probe_file)
    analyser = load_analyser(
        model, task=task, max_tokens=max_tokens, threads=threads, gradient=gradient, name=name
    )
    if key_file is None:
        output.parent.mkdir(parents=True, exist_ok=True)
        privacy = word_privacy(PrivacySettings(), folder=output.parent)
    else:
        privacy = WordPrivacy(key=_key(key_file))
    with progress("profiling", len(samples)) as done:
        baseline, refused = baseline_from_samples(
            samples,
            analyser=analyser,
            probe_texts=texts,
            created=time.time(),
            privacy=privacy,
            attributions=attributions if gradient else 0,
            on_progress=done,
        )
    try:
        save_baseline(baseline, output)
    except OSError as error:
        raise ConfigError(f"--output = {output}: cannot be written ({error.strerror}); {REMEDY}") from None
    warnings = coverage_warnings(baseline)
    if not as_json:
        print(f"{output}: baseline {baseline.version} of {len(baseline.features)} samples")
        if refused:
            print(hanging("", f"{len(refused)} samples were refused by the model, first: {refused[0][1]}"))
        _warn(warnings)
    registered = None
    if publish and tracking_uri is not None:
        registered, registered_as = _publish(baseline, baseline_bytes(baseline), tracking_uri, experiment)
        if not as_json:
            print(f"registered as version {registered} of {registered_as}, alias current")
    if as_json:
        told = {
            "file": str(output),
            **describe(baseline),
            "refused_samples": [{"id": sample, "reason": reason} for sample, reason in refused],
            "registered_version": registered,
            "warnings": list(warnings),
        }
        print(json_text(told))


def list_baselines(
    folder: Annotated[Path, typer.Argument(help="Folder of baseline files.")] = Path(),
    *,
    registry: Annotated[
        str | None, typer.Option(help="List this model's baselines in MLflow instead.", show_default=False)
    ] = None,
    tracking_uri: _Registry = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead.")] = False,
) -> None:
    """List the baselines of a folder, or of MLflow's registry."""
    rows = _registered(registry, tracking_uri) if registry is not None else _files(folder)
    if as_json:
        print(json_text(rows))
        return
    if not rows:
        print(f"no baseline in {folder if registry is None else registry}")
    _print_rows([row for row in rows if "problem" not in row])
    for row in rows:
        if "problem" in row:
            print(f"{row['file']}: {row['problem']}", file=sys.stderr)


def show(
    file: Annotated[Path, typer.Argument(help="A baseline file.")],
    *,
    window: Annotated[int, typer.Option(help="Samples a window, for what would be found.")] = WINDOW,
    false_alarms: Annotated[
        str, typer.Option(help="'1 per 30d' (windows of five minutes) or '1 per 100 windows'.")
    ] = FALSE_ALARMS,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")] = False,
) -> None:
    """Say what a baseline holds, what would be found with it and how soon, and what it has not seen."""
    require_window(window)
    settings = drift_settings(false_alarms)
    from monitor.baselines.coverage import coverage_warnings
    from monitor.baselines.file_format import load_baseline
    from monitor.commands import smallest_effects

    baseline = load_baseline(file)
    warnings = coverage_warnings(baseline)
    effects = smallest_effects.found_by(baseline, settings, window)
    described = describe(baseline)
    if as_json:
        described["smallest_effects"] = smallest_effects.as_json(effects)
        described["warnings"] = list(warnings)
        print(json_text(described))
        return
    statistics = described.pop("usual_values")
    for key, value in described.items():
        label = LABELS.get(key, key.replace("_", " "))
        print(hanging(f"{label:{LABEL_WIDTH}}  ", str(value)))
    print(f"\n{'statistic':{NAME_WIDTH}}  {'mean':>8}  {'sd':>8}   over heads and samples")
    for row in statistics:
        print(f"{row['statistic']:{NAME_WIDTH}}  {row['mean']:8.3f}  {row['sd']:8.3f}")
    print(
        f"\nSmallest change that is found half of the time, at one false alarm in\n"
        f"{mean_windows(settings):g} windows, within so many windows of {window} samples"
    )
    print("\n".join(smallest_effects.table(effects)))
    _warn(warnings)


def _warn(warnings: Sequence[str]) -> None:
    for warning in warnings:
        print(hanging("warning: ", warning, stream=sys.stderr), file=sys.stderr)


def describe(baseline: Baseline) -> dict[str, Any]:
    """A baseline in plain values, for people and for scripts."""
    features, identity = baseline.features, baseline.identity
    profile = features.profile
    times = features.times
    known = bool(len(times)) and float(times.min()) > 0
    return {
        "version": baseline.version,
        "model": identity.name,
        "revision": identity.revision,
        "architecture": f"{identity.architecture}, {identity.layers} layers x {identity.heads} heads",
        "task": identity.task,
        "weights_sha256": identity.weights_hash,
        "created": _utc(baseline.created),
        "source": baseline.source,
        "samples": len(features),
        "from": _utc(float(times.min())) if known else "unknown",
        "to": _utc(float(times.max())) if known else "unknown",
        "statistics": ", ".join(baseline.statistics),
        "words": len(baseline.words),
        "words_in_clear": sum(not word.startswith("#") for word in baseline.words),
        "attributed": baseline.attributed_requests,
        "integrated": baseline.integrated_requests,
        "probe": "none" if baseline.probe is None else f"{len(baseline.probe.profile)} inputs",
        "usual_values": [
            {
                "statistic": name,
                "mean": round(float(profile[..., index].mean()), 6),
                "sd": round(float(profile[..., index].std(axis=0).mean()), 6),
            }
            for index, name in enumerate(baseline.statistics)
        ],
    }


def _utc(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _key(path: Path) -> bytes:
    try:
        key = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"--key-file = {path}: cannot be read ({error.strerror}); give a file with a secret of 32 bytes"
        ) from None
    if not key.strip():
        raise ConfigError(f"--key-file = {path}: is empty; put a secret of 32 bytes there")
    return key


def _files(folder: Path) -> list[dict[str, Any]]:
    from monitor.baselines.file_format import load_baseline
    from monitor.errors import BaselineError

    if not folder.is_dir():
        raise InputError(f"{folder}: is no folder; give the one that holds the baseline files")
    current = (folder / CURRENT).resolve()
    rows: list[dict[str, Any]] = []
    for path in sorted(folder.glob("*.headwatch")):
        if path.name == CURRENT and path.is_symlink():
            continue
        try:
            baseline = load_baseline(path)
        except BaselineError as error:
            rows.append({"file": path.name, "problem": str(error)})
            continue
        rows.append(
            {
                "file": path.name,
                "version": baseline.version,
                "model": baseline.identity.name,
                "revision": baseline.identity.revision,
                "samples": len(baseline.features),
                "created": _utc(baseline.created),
                "alias": "current" if path.resolve() == current else "",
            }
        )
    return rows


def _registered(name: str, tracking_uri: str | None) -> list[dict[str, Any]]:
    if tracking_uri is None:
        raise ConfigError("--registry: needs --tracking-uri; give the MLflow server's address")
    from exporters.mlflow import registry as mlflow_registry
    from monitor.commands.samples import named_as_options

    with named_as_options():
        found = mlflow_registry.list_baselines(tracking_uri=tracking_uri, name=name)
    return [
        {
            "version": item.version,
            "created": _utc(item.created),
            "alias": ", ".join(item.aliases),
            **{key: value for key, value in item.tags.items() if key.startswith("headwatch.")},
        }
        for item in found
    ]


def _print_rows(rows: list[dict[str, Any]]) -> None:
    """A table with a heading, or a paragraph a row where that is too wide; columns may be missing."""
    if not rows:
        return
    names = list(dict.fromkeys(key for row in rows for key in row))
    lines = [names, *([str(row.get(key, "")) for key in names] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    width = room()
    if width is not None and sum(widths) + 2 * (len(widths) - 1) > width:
        for row in rows:
            (_, first), *rest = ((key, str(value)) for key, value in row.items() if value != "")
            print(first)
            print(hanging("    ", ", ".join(f"{key} {value}" for key, value in rest)))
        return
    for line in lines:
        print("  ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())


def _publish(baseline: Baseline, content: bytes, tracking_uri: str, experiment: str) -> tuple[str, str]:
    """Register the file; gives its version in the registry, and the name that it has there."""
    from exporters.mlflow.registry import publish_baseline, registered_name
    from monitor.commands.samples import named_as_options

    tags = {
        "headwatch.baseline": baseline.version,
        "headwatch.revision": baseline.identity.revision,
        "headwatch.samples": str(len(baseline.features)),
    }
    name = baseline.identity.name
    with named_as_options():
        version = publish_baseline(
            content, tracking_uri=tracking_uri, name=name, version_tags=tags, experiment=experiment
        )
    return version, registered_name(name)


for _name, _command in (
    ("promote", promote),
    ("build", build),
    ("list", list_baselines),
    ("show", show),
):
    app.command(
        _name,
        help=prose(_command),
        short_help=first_sentence(_command),
        epilog=epilog(f"baseline {_name}"),
    )(_command)
