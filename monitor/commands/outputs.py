"""Files that a command writes: refused before the work begins, and written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from monitor.errors import ConfigError

REMEDY = "choose a place that this user may write to"


def require_place(option: str, path: Path, *, makes_folders: bool = False) -> None:
    """Raise ConfigError, naming the option, unless a file can be written at ``path``.

    ``makes_folders``: the command makes the missing folders around it itself.
    """
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
