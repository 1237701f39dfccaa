"""The command line: what each command is called, and how an error leaves the process.

Commands live in ``monitor.commands``, one module each, and import torch, transformers and mlflow
only once they run: ``headwatch --help`` is there at once.
"""

from __future__ import annotations

import io
import itertools
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.core import TyperCommand

import monitor
from monitor.commands import (
    backtest,
    baseline,
    check,
    compare,
    exit_codes,
    explain,
    profile,
    report,
    rules,
    run,
    status,
)
from monitor.commands.help_text import epilog, first_sentence, overview, prose
from monitor.commands.outputs import JsonCommand
from monitor.errors import HeadwatchError

app = typer.Typer(
    name="headwatch",
    help="Watch what every attention head of a production transformer does, and say when it shifts.",
    epilog=overview(),
    no_args_is_help=True,
    # boxes leave an option's description 20 of 80 columns
    rich_markup_mode=None,
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
    # Only `run` logs. Without a handler Python prints warnings on stderr: `check` would then show the
    # verdict on its own test inputs as if it were an alarm.
    quiet = logging.getLogger("headwatch")
    if not quiet.handlers:
        quiet.addHandler(logging.NullHandler())


for _name, _command, _kind in (
    ("run", run.run, TyperCommand),
    ("check", check.check, TyperCommand),
    ("status", status.status, TyperCommand),
    ("report", report.report, TyperCommand),
    ("rules", rules.rules, TyperCommand),
    ("profile", profile.profile, TyperCommand),
    ("explain", explain.explain, TyperCommand),
    ("compare", compare.compare, JsonCommand),
    ("backtest", backtest.backtest, JsonCommand),
):
    app.command(
        _name, cls=_kind, help=prose(_command), short_help=first_sentence(_command), epilog=epilog(_name)
    )(_command)
app.add_typer(baseline.app, name="baseline")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave the process with its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in itertools.takewhile(lambda word: word.startswith("-"), given)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A token that the terminal's encoding lacks is no reason to end.
            stream.reconfigure(errors="replace")
    code = _exit_code(given, debug=debug)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = _unread()
    sys.exit(code)


def _exit_code(arguments: list[str], *, debug: bool) -> int:
    try:
        app(arguments, prog_name="headwatch")
    except SystemExit as leaving:
        # The framework turns Ctrl-C and a closed pipe into exit code 1; shells know them by others.
        if isinstance(leaving.__context__, typer.Abort):
            return exit_codes.INTERRUPTED
        if isinstance(leaving.__context__, BrokenPipeError):
            return _unread()
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
        return exit_codes.FAILED
    return exit_codes.DONE


def _unread() -> int:
    """The program that read our output has ended, as in ``| head``: nothing more is said to it."""
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - until the process ends
    return exit_codes.PIPE_CLOSED


def _say(line: str) -> None:
    print(f"headwatch: {line}", file=sys.stderr)


if __name__ == "__main__":
    main()
