"""``headwatch baseline promote``: another baseline in force, from a file or from what stands in alarm."""

from __future__ import annotations

import contextlib
import os
import sys
import time
import uuid
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.commands.completing import config_files
from monitor.commands.outputs import REMEDY, json_text
from monitor.commands.progress import working
from monitor.commands.terminal import hanging
from monitor.config.configuration import Config, load_config
from monitor.errors import BaselineError, ConfigError, StateError

if TYPE_CHECKING:
    from monitor.live.promotion import Answer, Promoted
    from monitor.state.store import StateStore

CURRENT = "current.headwatch"
POLL_SECONDS = 0.2


def promote(
    file: Annotated[
        Path | None, typer.Argument(help="The baseline file to make current.", show_default=False)
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Argument(help="The baseline folder; default: the file's own.", show_default=False),
    ] = None,
    *,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            "-c",
            help="Instead of a file: make the windows since the alarm the baseline of this configuration.",
            autocompletion=config_files,
            show_default=False,
        ),
    ] = None,
    patience: Annotated[
        float, typer.Option("--wait", help="Seconds to wait for the running sidecar.", min=1)
    ] = 300.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")] = False,
) -> None:
    """Make another baseline the current one; the one before stays beside it under its version.

    With --config, the alarm that stands is the new normal: a baseline is made of the windows since it
    rose, its episode ends as accepted and evidence starts anew. A sidecar that runs does it itself.
    With a file, that one becomes `current.headwatch` of its folder; the sidecar's `baseline.file`
    points there, and takes it up when it starts.
    """
    if config is not None:
        if file is not None:
            raise ConfigError(f"--config = {config}: takes no baseline file beside it; leave {file} out")
        with working("waiting for the baseline"):
            done = _accept(load_config(config, os.environ), patience)
        _tell(done, as_json=as_json)
    elif file is not None:
        current, version = _switch(file, file.parent if folder is None else folder)
        if as_json:
            print(json_text({"version": version, "current": str(current)}))
        else:
            print(f"{current} is now baseline {version}")
    else:
        raise ConfigError(
            "baseline promote: names nothing to promote; give --config to accept the alarm that stands, "
            "or a baseline file"
        )


def _tell(done: Promoted, *, as_json: bool) -> None:
    if as_json:
        print(json_text({**asdict(done), "kept": str(done.kept), "warnings": list(done.warnings)}))
        return
    in_force = f"baseline {done.version} of {done.samples} samples is in force"
    print(f"{in_force}; {done.former} stays in {done.kept}")
    print(f"episode {done.episode} is closed as accepted, evidence starts anew")
    for warning in done.warnings:
        print(hanging("warning: ", warning, stream=sys.stderr), file=sys.stderr)


def _switch(file: Path, folder: Path) -> tuple[Path, str]:
    """The folder's file that is current now, and its version."""
    from monitor.baselines.file_format import load_baseline
    from monitor.baselines.folder import copy_whole, keep_under_version, link_current, version_file

    version = load_baseline(file).version
    current = folder / CURRENT
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if current.exists() and not current.is_symlink():
            # a plain file that was current: it keeps its content under its own version
            keep_under_version(current)
        copy_whole(file, version_file(folder, version))
        link_current(current, version)
    except (FileExistsError, NotADirectoryError):
        raise ConfigError(f"{folder}: is no folder; give the one that holds the baseline files") from None
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written ({error.strerror}); {REMEDY}") from None
    return current, version


def _accept(config: Config, patience: float) -> Promoted:
    from monitor.app import owned
    from monitor.state.store import StateStore

    if not config.state.file.exists():
        raise StateError(
            f"state.file = {config.state.file}: does not exist, so no alarm stands; "
            "give the configuration that `headwatch run` has"
        )

    def opened() -> StateStore:
        return StateStore(config.state.file, settings=config.state, window=config.window, clock=time.time)

    request = uuid.uuid4().hex
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(owned(config.state.file))
        except StateError as error:
            if "is locked by another process" not in str(error):
                raise
            answer = _done_by_sidecar(opened(), request, patience)
        else:
            answer = _done_here(config, opened(), request)
    if answer.promoted is None:
        raise BaselineError(answer.problem)
    return answer.promoted


def _done_here(config: Config, store: StateStore, request: str) -> Answer:
    """No sidecar runs: do as it would."""
    from monitor.cycle import jobs
    from monitor.live import promotion
    from monitor.sidecar.sinks import build_sinks
    from monitor.sidecar.watching import build_cycle

    try:
        cycle = build_cycle(config, store, build_sinks(config), should_stop=lambda: False)
        promotion.ask(store, request)
        jobs.run_evaluation(cycle)
        answer = promotion.answered(store, request)
        assert answer is not None
        return answer
    finally:
        store.close()


def _done_by_sidecar(store: StateStore, request: str, patience: float) -> Answer:
    from monitor.live import promotion

    deadline = time.monotonic() + patience
    answer = None
    try:
        promotion.ask(store, request)
        try:
            while answer is None and time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)
                answer = promotion.answered(store, request)
        finally:
            promotion.withdraw(store, request)
        # The last moment at which it may have been done.
        answer = answer or promotion.answered(store, request)
    finally:
        store.close()
    if answer is None:
        raise StateError(
            f"baseline promote: the sidecar did not answer within --wait = {patience:g} s, nothing was "
            "promoted; look into its log, or wait longer"
        )
    return answer
