"""What the shell offers after an option; nothing means that it offers file names as ever."""

from __future__ import annotations

import os
from collections.abc import Callable

from monitor.commands.samples import TASKS

YAML = (".yaml", ".yml")


def config_files(incomplete: str) -> list[str]:
    """The YAML files in the folder that is being typed."""
    return _entries(incomplete, lambda path: path.endswith(YAML) and os.path.isfile(path))  # noqa: PTH113


def model_folders(incomplete: str) -> list[str]:
    """The folders there that hold a model."""
    return _entries(incomplete, lambda path: os.path.isfile(os.path.join(path, "config.json")))  # noqa: PTH113, PTH118


def tasks(incomplete: str) -> list[str]:
    """What a model can be said to do."""
    return [task for task in TASKS if task.startswith(incomplete)]


def _entries(incomplete: str, wanted: Callable[[str], bool]) -> list[str]:
    """Names that begin as what was typed, with its folder as it was typed."""
    folder, _, begun = incomplete.rpartition("/")
    # the shell knows `~`, we get it as it was typed
    looked_in = os.path.expanduser(f"{folder}/" if "/" in incomplete else ".")  # noqa: PTH111
    try:
        names = sorted(os.listdir(looked_in))  # noqa: PTH208
    except OSError:
        return []
    prefix = f"{folder}/" if "/" in incomplete else ""
    return [
        prefix + name
        for name in names
        if name.startswith(begun) and wanted(os.path.join(looked_in, name))  # noqa: PTH118
    ]
