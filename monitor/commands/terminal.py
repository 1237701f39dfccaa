"""How wide commands write, and the console that they write to: colours only where somebody looks."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from typing import TextIO

from rich.console import Console

NARROWEST = 80


def columns() -> int:
    """Columns to fill: the terminal's, and 80 at least, for narrower tables cannot be read; 80 in a pipe."""
    return max(NARROWEST, shutil.get_terminal_size((NARROWEST, 24)).columns)


def console() -> Console:
    """Standard output; without colours where it is no terminal or NO_COLOR is set."""
    return Console(width=columns(), highlight=False)


def room(stream: TextIO | None = None) -> int | None:
    """Columns that a line may have on ``stream`` (default: standard output); None: as many as it likes.

    A pipe takes lines of any length, for programs read lines, unless COLUMNS says how wide it is.
    """
    return columns() if (stream or sys.stdout).isatty() or "COLUMNS" in os.environ else None


def hanging(label: str, text: str, width: int | None = None, *, stream: TextIO | None = None) -> str:
    """``text`` after ``label``, its further lines indented to where the first began.

    Without a ``width`` it is broken where ``stream`` has no more ``room``, and in a pipe not at all.

    >>> print(hanging("  cause     ", "data and model", 22))
      cause     data and
                model
    """
    width = room(stream) if width is None else width
    if width is None:
        return label + text
    return textwrap.fill(
        text,
        width,
        initial_indent=label,
        subsequent_indent=" " * len(label),
        break_long_words=False,
        break_on_hyphens=False,
    )


def watched() -> bool:
    """Whether somebody looks at stderr: a terminal that can redraw a line."""
    return sys.stderr.isatty() and not Console(stderr=True).is_dumb_terminal
