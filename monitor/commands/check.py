"""``headwatch check``: does this configuration work here, what will be watched, what does it cost."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.commands import progress
from monitor.commands.completing import config_files
from monitor.commands.outputs import json_text
from monitor.commands.samples import EXAMPLE, read_lines
from monitor.commands.terminal import hanging
from monitor.config.configuration import Config, load_config
from monitor.drift.settings import mean_windows_between_false_alarms
from monitor.errors import HeadwatchError, InputError
from monitor.records import Sample
from monitor.settings import format_duration

if TYPE_CHECKING:
    from monitor.sidecar.rehearsal import Rehearsal

NAME_WIDTH = 18
NO_LIMIT = 1 << 30
SHORTCOMINGS = ("tier refused", "not available")
# The bar of the rehearsal: its stages, and about what each takes of the time.
STAGES = {
    "configuration": 1,
    "state file": 1,
    "baseline file": 1,
    "sinks": 1,
    "model": 20,
    "ingest": 1,
    "state": 1,
    "replay, analysis": 8,
    "attribution": 8,
    "probe": 8,
    "detector": 2,
    "metrics": 1,
}
JOBS = ("profile", "evaluation", "attribution", "probe", "export", "maintenance")


def check(
    config: Annotated[
        Path,
        typer.Option(
            "--config", "-c", help="The YAML file.", show_default=False, autocompletion=config_files
        ),
    ],
    *,
    sample_file: Annotated[
        Path | None,
        typer.Option("--input", help="JSONL file with texts like yours, for true costs.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")] = False,
) -> None:
    """Validate the file, load the model, test the attention tap, take a window through every stage.

    Prints what will be watched and what it costs. Nothing is kept, no port is opened, no sink is
    written to. Exit code 0: `headwatch run` with the same file will work.
    """
    stages: list[dict[str, str]] = []
    try:
        with progress.stages(STAGES) as ended:

            def say(stage: str, what: str) -> None:
                stages.append({"stage": stage, "result": what})
                if not as_json:
                    label = "  --  " if stage in SHORTCOMINGS else f"  ok  {stage:{NAME_WIDTH}}"
                    print(hanging(label, what), flush=True)
                ended(stage)

            report = _checked(config, sample_file, say)
    except HeadwatchError as error:
        if as_json:
            print(json_text({"ok": False, "error": str(error), "stages": stages}))
        raise
    if as_json:
        print(json_text({"ok": True, "stages": stages, **report}))
    else:
        _print_report(report)


def _checked(file: Path, sample_file: Path | None, say: Any) -> dict[str, Any]:
    config = load_config(file, os.environ)
    say("configuration", str(file))
    from monitor.sidecar.places import check_baseline_place
    from monitor.sidecar.sinks import build_sinks
    from monitor.state.inspection import check_state_file

    say("state file", check_state_file(config.state.file))
    say("baseline file", check_baseline_place(config))
    named = " and ".join(build_sinks(config).deliver)
    say("sinks", f"{named}: made, nothing sent" if named else "none: only Prometheus sees what is found")
    from monitor.replay.probe_inputs import load_probe_texts
    from monitor.sidecar.rehearsal import rehearse

    if sample_file is not None:
        given = _samples(sample_file)
    else:
        texts = load_probe_texts(config.probe.file)
        given = [Sample(id=str(number), time=0.0, text=text) for number, text in enumerate(texts)]
    return describe(config, rehearse(config, samples=given, say=say))


def _samples(file: Path) -> list[Sample]:
    samples = [sample for sample in read_lines(file, "--input")[0] if sample.text or sample.image]
    if not samples:
        raise InputError(f"--input = {file}: has no sample; give JSONL lines as in {EXAMPLE}")
    return samples


def describe(config: Config, found: Rehearsal) -> dict[str, Any]:
    """What is watched and what it costs, as plain values."""
    model, costs = found.model, found.costs
    windows = mean_windows_between_false_alarms(config.drift, config.window.duration)
    return {
        "watched": {
            "model": model.identity.name,
            "architecture": model.identity.architecture,
            "task": model.identity.task,
            "weights_hash": model.identity.weights_hash,
            "tier": model.tier,
            "layers": model.layers_seen,
            "layers_there": model.finding.layers_there,
            "stacks": list(model.finding.stacks),
            "tiers_refused": dict(model.finding.refused),
            "heads": model.identity.heads,
            "statistics": list(model.statistics),
            "not_available": list(model.refusals),
            "channels": list(found.channels),
            "maximum_tokens": model.max_tokens,
            "window_seconds": config.window.duration,
            "window_samples": config.window.samples,
            "minimum_samples": config.window.minimum_samples,
            "window_requests": config.window.requests,
            "false_alarms": config.drift.false_alarms,
            "mean_windows_between_false_alarms": windows,
            "mean_days_between_false_alarms": windows * config.window.duration / 86400,
            "baseline": found.baseline or None,
            "baseline_samples": found.baseline_samples,
            "baseline_from": config.baseline.source,
            "learning_seconds": 0 if found.baseline else config.baseline.duration,
        },
        "schedule": {job: getattr(config.schedule, job) for job in JOBS},
        "costs": {
            "weights_bytes": costs.weights_bytes,
            "peak_memory_bytes": costs.peak_bytes,
            "load_seconds": costs.load_seconds,
            "measured_tokens": costs.tokens,
            "cpu_seconds_per_sample": costs.sample_seconds,
            "cpu_seconds_per_attribution": costs.attribution_seconds,
            "cpu_seconds_per_probe": costs.probe_seconds,
            "cpu_seconds_per_window": costs.window_seconds(config),
            "core_share": costs.core_share(config),
        },
    }


def _print_report(report: dict[str, Any]) -> None:
    watched, costs = report["watched"], report["costs"]
    _print_section("What will be watched", _watched_rows(watched))
    _print_section(
        "How often each job runs",
        {job: f"every {format_duration(seconds)}" for job, seconds in report["schedule"].items()},
    )
    _print_section("What it costs", _cost_rows(watched, costs))
    if costs["core_share"] > 1:
        too_much = (
            "This is more than one core: lower window.samples or analysis.attribution.samples, or raise "
            "window.duration."
        )
        print(f"\n{hanging('', too_much)}")


def _watched_rows(watched: dict[str, Any]) -> dict[str, str]:
    duration = format_duration(watched["window_seconds"])
    requests = watched["window_requests"]
    early = f" or after {requests} requests" if requests else ""
    days = watched["mean_days_between_false_alarms"]
    learning = format_duration(watched["learning_seconds"])
    return {
        "heads": _heads(watched),
        "statistics": ", ".join(watched["statistics"]) or "none",
        "channels": ", ".join(watched["channels"]),
        "window": (
            f"every {duration}{early}: {watched['window_samples']} samples,"
            f" at least {watched['minimum_samples']}"
        ),
        "false alarms": (
            f"{watched['false_alarms']}: one in {watched['mean_windows_between_false_alarms']:.0f} windows"
            + ("" if requests else f", {days:.3g} days")
        ),
        "baseline": (
            f"{watched['baseline']}, {watched['baseline_samples']} samples"
            if watched["baseline"]
            else f"none yet: learnt from live traffic over {learning}; nothing alarms until then"
        ),
        "longest input": (
            "any: the model names no limit; model.max_tokens sets one"
            if watched["maximum_tokens"] >= NO_LIMIT
            else f"{watched['maximum_tokens']} tokens; what is longer is cut and counted"
        ),
    }


def _heads(watched: dict[str, Any]) -> str:
    if not watched["layers"]:
        return "none: the model's attention cannot be read; all other channels are watched"
    return f"{watched['layers']} layers x {watched['heads']} = {watched['layers'] * watched['heads']}"


def _cost_rows(watched: dict[str, Any], costs: dict[str, Any]) -> dict[str, str]:
    return {
        "weights": f"{costs['weights_bytes'] / 2**20:.0f} MiB for the second copy",
        "memory": f"{costs['peak_memory_bytes'] / 2**20:.0f} MiB at the peak of this check",
        "CPU a window": (
            f"{costs['cpu_seconds_per_window']:.1f} s for {watched['window_samples']} samples"
            f" of {costs['measured_tokens']:.0f} tokens on average"
        ),
        "share of a core": f"{costs['core_share']:.1%}, attributions and probe included",
    }


def _print_section(title: str, rows: dict[str, str]) -> None:
    print(f"\n{title}")
    for name, text in rows.items():
        print(hanging(f"  {name:{NAME_WIDTH}}", text))
