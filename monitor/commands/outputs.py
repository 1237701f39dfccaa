"""What a command writes: files, whole or not at all, and JSON that has standard output to itself."""

from __future__ import annotations

import io
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, BinaryIO

from typer.core import TyperCommand

from monitor.errors import ConfigError

REMEDY = "choose a place that this user may write to"
STANDARD_OUTPUT = Path("-")
PRINTED = ("--json", "--out")
"""The options of whose file ``-`` stands for standard output; all others write a file."""


class JsonCommand(TyperCommand):
    """A command whose ``--json FILE`` may stand without a file: it then means standard output."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The arguments with ``-`` after a bare ``--json``."""
        whole: list[str] = []
        for place, word in enumerate(args):
            whole.append(word)
            following = args[place + 1] if place + 1 < len(args) else "--"
            if word == "--json" and following.startswith("--"):
                whole.append(str(STANDARD_OUTPUT))
        return super().parse_args(ctx, whole)


def json_text(document: object) -> str:
    """The document as every command prints it: ASCII, indented, without NaN or infinity."""
    return json.dumps(document, indent=2, allow_nan=False)


def write_json(option: str, path: Path, document: object) -> None:
    """The document into the file, or onto standard output for ``-``; raises ConfigError."""
    text = f"{json_text(document)}\n"
    if path == STANDARD_OUTPUT:
        print(text, end="")
        return
    with whole_file(option, path) as file:
        file.write(text.encode())


@contextmanager
def no_words(wanted: bool) -> Iterator[None]:
    """Drop what the block prints, where ``wanted``: standard output then holds one JSON document alone."""
    if not wanted:
        yield
        return
    with redirect_stdout(io.StringIO()):
        yield


def require_place(option: str, path: Path, *, makes_folders: bool = False) -> None:
    """Raise ConfigError, naming the option, unless a file can be written at ``path``.

    ``makes_folders``: the command makes the missing folders around it itself.
    """
    if path == STANDARD_OUTPUT:
        if option in PRINTED:
            return
        raise ConfigError(f"{option} = {path}: is not written to standard output; name a file")
    folder = path.absolute().parent
    with _explained(option, path):
        if path.is_dir():
            raise ConfigError(f"{option} = {path}: is a folder; name a file in it")
        while makes_folders and not folder.exists() and folder != folder.parent:
            folder = folder.parent
        if not folder.exists():
            raise ConfigError(f"{option} = {path}: its folder does not exist; make it or choose another")
        with tempfile.TemporaryFile(dir=folder):
            pass


@contextmanager
def whole_file(option: str, path: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of ``path`` when the block ends, and leaves nothing if it fails."""
    with _explained(option, path):
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with partial.open("wb") as file:
                yield file
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def _explained(option: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{option} = {path}: cannot be written ({error.strerror}); {REMEDY}") from None
