"""``headwatch run``: the sidecar itself."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from monitor.commands.completing import config_files
from monitor.config.configuration import load_config


def run(
    config: Annotated[
        Path,
        typer.Option(
            "--config", "-c", help="The YAML file.", show_default=False, autocompletion=config_files
        ),
    ],
    *,
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], typer.Option(help="What is logged to stderr.")
    ] = "info",
) -> None:
    """Run the sidecar: take samples, watch the model, serve metrics, raise alarms.

    SIGTERM and Ctrl-C stop it after the batch it is in; SIGHUP or POST /-/reload read the file again.
    """
    environ = dict(os.environ)
    loaded = load_config(config, environ)
    logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # Each request that uvicorn serves, each job that runs: more than an operator wants to read.
    for noisy in ("uvicorn", "urllib3", "mlflow", "httpx"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # A run left out because the one before still goes is counted as a metric.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)

    from monitor import app

    app.run(loaded, config_path=config, environ=environ)
