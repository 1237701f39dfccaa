"""``headwatch report``: the page of a drift episode, from wherever its numbers are."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from monitor.commands.asked import address_of, ask_report
from monitor.commands.completing import config_files
from monitor.commands.outputs import json_text, require_place, whole_file
from monitor.errors import ConfigError, InputError

DEFAULT_URL = "http://127.0.0.1:9095"
NAME = "report.json"
PAGE = "report.html"


def report(
    source: Annotated[
        Path | None,
        typer.Argument(
            help="A report.json, a folder with one (an episode's artifacts), or a sidecar's state file.",
            show_default=False,
        ),
    ] = None,
    *,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The page to write.", show_default=PAGE)
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print the report's numbers (its report.json) instead of writing a page."
        ),
    ] = False,
    url: Annotated[
        str | None,
        typer.Option(
            "--url", help="Ask the sidecar that serves its metrics there.", show_default=DEFAULT_URL
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            "-c",
            help="Ask the sidecar of this YAML file.",
            show_default=False,
            autocompletion=config_files,
        ),
    ] = None,
    run: Annotated[
        str | None, typer.Option("--run", help="Take it from this episode's MLflow run.", show_default=False)
    ] = None,
    tracking_uri: Annotated[
        str | None, typer.Option("--tracking-uri", help="The MLflow server of --run.", show_default=False)
    ] = None,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.1, help="Seconds to wait for the sidecar's answer.")
    ] = 5.0,
) -> None:
    """Write the report of a drift episode: one HTML page that needs no network.

    Without arguments a running sidecar is asked for its newest episode. Every report that was made is
    kept as report.json, in the episode's MLflow run and in the state file, and is drawn anew from there.
    For a log, see `headwatch backtest --report`.
    """
    places = (("SOURCE", source), ("--url", url), ("--config", config), ("--run", run))
    given = [name for name, value in places if value is not None]
    if len(given) > 1:
        raise ConfigError(
            f"{' and '.join(given)}: say where the report comes from once; leave all but one out"
        )
    if (run is None) != (tracking_uri is None):
        raise ConfigError("--run and --tracking-uri: go together; give both or neither")
    if as_json and output is not None:
        raise ConfigError(f"--output = {output}: is for the page, and --json prints; leave one of them out")
    page = Path(PAGE) if output is None else output
    if not as_json:
        require_place("--output", page)
    if source is not None:
        values, origin = _from_disk(source)
    elif run is not None and tracking_uri is not None:
        from exporters.mlflow.report import fetch_report

        values, origin = fetch_report(tracking_uri=tracking_uri, run=run), f"--run = {run}"
    else:
        values, origin = ask_report(_address(url, config), seconds=timeout), "the sidecar's report"
    if as_json:
        from monitor.report.episode_data import EpisodeReport

        # what could not be drawn is refused here too
        EpisodeReport.from_json(values, origin=origin)
        print(json_text(values))
    else:
        write_page(values, page, origin=origin)


def write_page(values: dict[str, Any], output: Path, *, origin: str, option: str = "--output") -> None:
    """Draw the page and say what it is about."""
    from monitor.report.episode_data import EpisodeReport
    from monitor.report.episode_page import episode_page
    from monitor.report.episode_sentences import headline

    made = EpisodeReport.from_json(values, origin=origin)
    with whole_file(option, output) as file:
        file.write(episode_page(made).encode())
    print(f"{output}: {headline(made)}")


def _address(url: str | None, config: Path | None) -> str:
    if config is None:
        return url or DEFAULT_URL
    from monitor.config.configuration import load_config

    return address_of(load_config(config, dict(os.environ)).exporters.prometheus.listen)


def _from_disk(source: Path) -> tuple[dict[str, Any], str]:
    """What a file or folder holds, and its name for messages."""
    if source.is_dir():
        found = [_read(path) for path in sorted(source.rglob(NAME))]
        if not found:
            raise InputError(f"{source}: holds no {NAME}; give the artifacts of an episode's run")
        return max(found, key=lambda values: float(values.get("made", 0.0))), str(source)
    try:
        with source.open("rb") as file:
            is_state = file.read(16) == b"SQLite format 3\0"
    except OSError as error:
        raise InputError(f"{source}: cannot be read ({error.strerror}); give a {NAME}") from None
    return (_from_state(source) if is_state else _read(source)), str(source)


def _from_state(path: Path) -> dict[str, Any]:
    from monitor.live.reporting import REPORT
    from monitor.state.inspection import read_meta

    text = read_meta(path, REPORT)
    if text is None:
        raise InputError(f"{path}: has no report yet; one is made when drift is found")
    values: dict[str, Any] = json.loads(text)
    return values


def _read(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise InputError(f"{path}: is no {NAME}; give one from an episode's run") from None
    if not isinstance(values, dict):
        raise InputError(f"{path}: is no {NAME}; give one from an episode's run")
    return values
