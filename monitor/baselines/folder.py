"""The files of a folder of baselines: each under its version, one of them current.

The current one is a link to a version's file (``headwatch baseline promote FILE``), or a plain file
that a configuration names. Every step leaves whole files, whenever it is cut off.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from monitor.baselines.file_format import SUFFIX, load_baseline


def version_file(folder: Path, version: str) -> Path:
    """Where a baseline lies under its version."""
    return folder / f"{version}{SUFFIX}"


def copy_whole(source: Path, target: Path) -> None:
    """Copy so that ``target`` is whole or absent, mode 0600; one that stands is left alone."""
    if target.exists():
        return
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.copyfile(source, temporary)
    temporary.chmod(0o600)
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(target)


def keep_under_version(current: Path) -> Path:
    """Where the current baseline stays under its own version, once another is current."""
    kept = version_file(current.parent, load_baseline(current).version)
    copy_whole(current.resolve(), kept)
    return kept


def link_current(current: Path, version: str) -> None:
    """Let ``current`` point to a version's file in its folder."""
    link = current.with_name(f".{current.name}.{os.getpid()}")
    link.unlink(missing_ok=True)
    link.symlink_to(version_file(current.parent, version).name)
    link.replace(current)
    _sync(current.parent)


def put_in_force(current: Path, version: str) -> None:
    """Make a version's file the current one: a link is turned, a plain file is replaced.

    Doing it again after it was cut off, or was done, changes nothing.
    """
    if current.is_symlink():
        link_current(current, version)
        return
    made = version_file(current.parent, version)
    if made.exists():
        made.replace(current)
        _sync(current.parent)


def _sync(folder: Path) -> None:
    """Have the folder's entries on disk: a turn that a commit calls done must not be lost with the power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
