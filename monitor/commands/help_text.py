"""The words of ``--help`` that are not an option's: a command's sentences and its exit codes."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Mapping

from monitor.commands.exit_codes import BY_COMMAND, EXIT_CODES

WIDTH = 76
"""Columns of an exit code's line: help has two more on its left."""


def prose(command: Callable[..., None]) -> str:
    """The command's docstring with each paragraph on one line, so that any terminal may wrap it."""
    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def first_sentence(command: Callable[..., None]) -> str:
    """The command's line in the list of commands; without it the framework cuts the line short."""
    return prose(command).split("\n\n")[0]


def epilog(command: str) -> str:
    """The end of a command's help: its exit codes, one a line."""
    return _listed(BY_COMMAND[command])


def overview() -> str:
    """The end of ``headwatch --help``: every code there is."""
    return _listed(EXIT_CODES)


def _listed(codes: Mapping[int, str]) -> str:
    rows = (
        textwrap.fill(meaning, WIDTH, initial_indent=f"{code:3}  ", subsequent_indent=" " * 5)
        for code, meaning in codes.items()
    )
    # click wraps a paragraph anew unless it begins with \b
    return "\n".join(["\b", "Exit codes:", *rows])
