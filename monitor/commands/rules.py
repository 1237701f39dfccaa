"""``headwatch rules``: Prometheus' alert rules, made to fit one configuration."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from monitor.commands.completing import config_files
from monitor.commands.outputs import STANDARD_OUTPUT, require_place, whole_file


def rules(
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            "-c",
            help="Take window.duration and the links from this YAML file; else the defaults.",
            show_default=False,
            autocompletion=config_files,
        ),
    ] = None,
    *,
    out: Annotated[
        Path, typer.Option("--out", help="The file to write; - is standard output.")
    ] = STANDARD_OUTPUT,
) -> None:
    """Write the alert rules for Prometheus, with durations that fit how long a window is.

    Write them anew when window.duration changes. Every alert links to its runbook where
    exporters.prometheus.runbooks_url says where your team reads docs/runbooks, else it names the page by
    path; and, where there is a Grafana, to its dashboard (exporters.prometheus.grafana_url). One file
    serves all sidecars that a Prometheus scrapes: write it from the configuration with the longest windows.
    """
    from exporters.alerts.rules import FOLDER, Links, rules_yaml
    from monitor.config.configuration import PrometheusSettings, load_config
    from monitor.state.settings import WindowSettings

    require_place("--out", out)
    window, prometheus = WindowSettings(), PrometheusSettings()
    if config is not None:
        loaded = load_config(config, os.environ)
        window, prometheus = loaded.window, loaded.exporters.prometheus
    links = Links(runbooks=prometheus.runbooks_url, grafana=prometheus.grafana_url)
    text = rules_yaml(window.duration, links=links)
    if out == STANDARD_OUTPUT:
        print(text, end="")
    else:
        with whole_file("--out", out) as file:
            file.write(text.encode())
    if prometheus.runbooks_url is None:
        print(
            f"headwatch: the alerts name their runbooks by path ({FOLDER}/stale.md); to make links of them, "
            "set exporters.prometheus.runbooks_url to where your team reads that folder",
            file=sys.stderr,
        )
