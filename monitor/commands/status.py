"""``headwatch status``: what a running sidecar knows of its model, in one screen."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.commands.asked import address_of, ask_status, checked_address
from monitor.commands.completing import config_files
from monitor.errors import ConfigError, SidecarError

if TYPE_CHECKING:
    from rich.text import Text

DEFAULT_URL = "http://127.0.0.1:9095"
QUIET, WARNING, CRITICAL, UNKNOWN = 0, 11, 12, SidecarError.exit_code
"""Nagios' numbers and ten, so that no mistake on the command line can be read as an alarm."""


def status(
    url: Annotated[
        str | None,
        typer.Option("--url", help="Where the sidecar serves its metrics.", show_default=DEFAULT_URL),
    ] = None,
    *,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            "-c",
            help="Take the address from this YAML file instead.",
            show_default=False,
            autocompletion=config_files,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the sidecar's own JSON document instead.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Stay, and show it anew; Ctrl-C ends.")] = False,
    every: Annotated[float, typer.Option("--every", min=0.5, help="Seconds between two looks.")] = 5.0,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.1, help="Seconds to wait for an answer.")
    ] = 5.0,
) -> None:
    """Ask a running sidecar what it knows: state, since when, cause, evidence, heads, deliveries.

    The exit code is for scripts: 0 quiet, 11 an alarm that can wait (warning or info), 12 an alarm that
    cannot (critical), 13 not known: still starting or learning, stale, too few samples, or no answer.
    """
    address = _address(url, config)
    if watch and as_json:
        raise ConfigError("--watch: does not go with --json; call `headwatch status --json` in a loop")
    if watch and not sys.stdout.isatty():
        raise ConfigError("--watch: needs a terminal; without one call `headwatch status` in a loop")
    if watch:
        _watch(address, every=every, timeout=timeout)
    document = ask_status(address, seconds=timeout)
    if as_json:
        print(json.dumps(document, indent=2))
    else:
        from monitor.commands.terminal import console

        console().print(_text(document, address), soft_wrap=True)
    raise typer.Exit(exit_code(document))


def exit_code(document: dict[str, Any]) -> int:
    """What the state means to a script: see the command's help. An alarm stands until it is over."""
    verdict = document["verdict"] or {}
    if verdict.get("alarm"):
        return CRITICAL if verdict.get("severity") == "page" else WARNING
    return QUIET if document["state"] == "quiet" else UNKNOWN


def _address(url: str | None, config: Path | None) -> str:
    if config is None:
        return checked_address(DEFAULT_URL if url is None else url)
    if url is not None:
        raise ConfigError(f"--config = {config}: names a sidecar as --url does; leave one of them out")
    from monitor.config.configuration import load_config

    return address_of(load_config(config, os.environ).exporters.prometheus.listen)


def _text(document: dict[str, Any], address: str) -> Text:
    from monitor.commands.status_text import report
    from monitor.commands.terminal import columns

    return report(document, address=address, columns=columns(), drawn=_drawn())


def _drawn() -> bool:
    """Whether the output can show bars made of blocks."""
    try:
        "█".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def _watch(address: str, *, every: float, timeout: float) -> None:
    """Until Ctrl-C: a sidecar that is away is told and asked again."""
    from rich.live import Live
    from rich.text import Text

    from monitor.commands.terminal import console

    # On a screen of its own, so that what was there before is there again afterwards.
    with Live(console=console(), screen=True, auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            try:
                shown = _text(ask_status(address, seconds=timeout), address)
            except SidecarError as error:
                shown = Text(str(error), style="bold magenta")
            live.update(shown, refresh=True)
            time.sleep(every)
