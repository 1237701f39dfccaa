"""The command line: what each command is called, and how an error leaves the process.

Commands live in ``monitor.commands``, one module each, and import torch, transformers and mlflow
only once they run: ``headwatch --help`` is there at once.
"""

from __future__ import annotations

import itertools
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

import monitor
from monitor.commands import backtest, baseline, check, compare, explain, profile, run
from monitor.errors import HeadwatchError

INTERRUPTED = 130
EXIT_CODES = """
[bold]Exit codes[/bold]

  0  done
  1  failed
  2  wrong usage, or a configuration that cannot be used
  3  the model cannot be loaded or watched; `compare --fail-on`: the checkpoints differ
  4  an input file cannot be read
  5  the baseline does not fit this version or this model
  6  the state file cannot be used
  7  a sink refused
130  interrupted
"""

app = typer.Typer(
    name="headwatch",
    help="Watch what every attention head of a production transformer does, and say when it shifts.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"headwatch {monitor.__version__}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    _debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Watch what every attention head of a production transformer does, and say when it shifts."""
    # The library's own progress bars and hints would tear our output; a user's setting is kept.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")


app.command("run")(run.run)
app.command("check")(check.check)
app.command("profile")(profile.profile)
app.command("explain")(explain.explain)
app.command("compare")(compare.compare)
app.command("backtest")(backtest.backtest)
app.add_typer(baseline.app, name="baseline")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave the process with its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in itertools.takewhile(lambda word: word.startswith("-"), given)
    sys.exit(_exit_code(given, debug=debug))


def _exit_code(arguments: list[str], *, debug: bool) -> int:
    try:
        app(arguments, prog_name="headwatch")
    except SystemExit as leaving:
        # The framework turns Ctrl-C into exit code 1; shells expect 128 + SIGINT.
        if isinstance(leaving.__context__, typer.Abort):
            return INTERRUPTED
        return leaving.code if isinstance(leaving.code, int) else 0
    except HeadwatchError as error:
        if debug:
            traceback.print_exc()
        for line in str(error).splitlines():
            _say(line)
        return error.exit_code
    except Exception as error:
        # A fault of ours: short for the operator, whole for whoever reports it.
        if debug:
            traceback.print_exc()
        first = (str(error).splitlines() or [""])[0]
        _say(f"unexpected {type(error).__name__}: {first}")
        _say("run `headwatch --debug ...` for the traceback, and please report it")
        return 1
    return 0


def _say(line: str) -> None:
    print(f"headwatch: {line}", file=sys.stderr)


if __name__ == "__main__":
    main()
