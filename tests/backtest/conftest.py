"""A tiny model, and the commands as a terminal calls them."""

from __future__ import annotations

import pytest
import typer
from typer.testing import CliRunner

from monitor.commands import backtest, baseline
from tests.models import save_tiny


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_tiny("bert", tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def command():
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command("backtest")(backtest.backtest)
    app.add_typer(baseline.app, name="baseline")

    def run(*arguments):
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return run
