"""Where configuration values come from: a YAML file with its line numbers, and the environment.

Nothing here knows what the keys mean. Both sources become one plain tree of dicts, lists and
scalars, and ``origins`` remembers for each path where it was said, so that a problem found later
can name the line or the variable to change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from monitor.errors import ConfigError

PREFIX = "HEADWATCH_"
NESTING = "__"
MAXIMUM_DEPTH = 16
KeyPath = tuple[str | int, ...]


@dataclass(kw_only=True)
class Source:
    """The values, where each was said, and what is wrong with the writing itself."""

    name: str
    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[KeyPath, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def origin(self, path: KeyPath) -> str:
        """``file:line`` or the variable that said ``path``, or the nearest key around it."""
        for length in range(len(path), 0, -1):
            if (origin := self.origins.get(path[:length])) is not None:
                return origin
        return self.name

    def put(self, path: KeyPath, value: Any) -> None:
        """Set a value, making the sections around it; one that is no section is left as it is."""
        section: Any = self.values
        for key in path[:-1]:
            section = section.setdefault(key, {})
            if not isinstance(section, dict):
                return
        section[path[-1]] = value

    def get(self, path: KeyPath) -> Any:
        """The value at ``path``, or None."""
        here: Any = self.values
        for key in path:
            here = here.get(key) if isinstance(here, dict) else None
        return here

    def take(self, path: KeyPath) -> bool:
        """Remove a value; False where there was none."""
        section = self.get(path[:-1])
        if not isinstance(section, dict) or path[-1] not in section:
            return False
        del section[path[-1]]
        return True


def read_source(path: Path, environ: Mapping[str, str]) -> Source:
    """Read the file and lay the environment's ``HEADWATCH_SECTION__KEY`` variables over it.

    Raises ConfigError when there is no text to work on: missing, unreadable, empty or no YAML.
    """
    source = Source(name=str(path))
    root = _compose(path, _read(path))
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError(f"{path}:{_line(root)}: must be sections with keys, as in configs/minimal.yaml")
    source.values = _mapping(root, (), source)
    for variable in sorted(environ):
        if variable.startswith(PREFIX) and NESTING in variable.removeprefix(PREFIX):
            _override(source, variable, environ[variable])
    return source


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        message = f"{path}: no such file; name the configuration with --config, as in configs/minimal.yaml"
        raise ConfigError(message) from error
    except IsADirectoryError as error:
        raise ConfigError(f"{path}: is a folder; name the YAML file in it") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {(error.strerror or 'unknown').lower()}") from error


def _compose(path: Path, text: str) -> yaml.Node:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise ConfigError(f"{where}: is not YAML: {_plain(error)}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is not YAML: {str(error).splitlines()[0]}") from error
    if root is None:
        raise ConfigError(f"{path}: is empty; start from configs/minimal.yaml")
    return root


def _plain(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or error.context or "unknown"
    if "cannot start any token" in problem and "'\\t'" in problem:
        return "a tab indents a line; use spaces"
    return problem


def _mapping(node: yaml.MappingNode, path: KeyPath, source: Source) -> dict[str, Any]:
    """A mapping's values; a key said twice is a problem, for YAML would keep the last in silence."""
    if len(path) > MAXIMUM_DEPTH:
        raise ConfigError(f"{source.name}:{_line(node)}: is nested too deeply")
    values: dict[str, Any] = {}
    lines: dict[str, int] = {}
    for key_node, value_node in node.value:
        key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else "?"
        here = (*path, key)
        where = f"{source.name}:{_line(key_node)}"
        if key in lines:
            source.problems.append(
                f"{where}: {dotted(here)}: is said twice, first in line {lines[key]}; keep one"
            )
        if key == "<<":
            source.problems.append(f"{where}: {dotted(here)}: merge keys are not read; write the keys out")
            continue
        lines[key] = _line(key_node)
        source.origins[here] = where
        values[key] = _value(value_node, here, source)
    return values


def _value(node: yaml.Node, path: KeyPath, source: Source) -> Any:
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, source)
    if isinstance(node, yaml.SequenceNode):
        if len(path) > MAXIMUM_DEPTH:
            raise ConfigError(f"{source.name}:{_line(node)}: is nested too deeply")
        items = []
        for index, item in enumerate(node.value):
            source.origins[*path, index] = f"{source.name}:{_line(item)}"
            items.append(_value(item, (*path, index), source))
        return items
    return _scalar(node)


_SCALARS = {
    "tag:yaml.org,2002:null",
    "tag:yaml.org,2002:bool",
    "tag:yaml.org,2002:int",
    "tag:yaml.org,2002:float",
}


def _scalar(node: yaml.Node) -> Any:
    """Null, booleans and numbers as YAML reads them; all else, dates and 1:30 included, as text."""
    if node.tag not in _SCALARS or ":" in node.value:
        return node.value
    return yaml.safe_load(node.value) if node.value else None


def _override(source: Source, variable: str, text: str) -> None:
    path: KeyPath = tuple(variable.removeprefix(PREFIX).lower().split(NESTING))
    section: Any = source.values
    for key in path[:-1]:
        if section.get(key) is None:
            section[key] = {}
        section = section[key]
        if not isinstance(section, dict):
            source.problems.append(f"{variable}: {dotted(path)}: {key!r} is a value and has no keys")
            return
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        node = None
        value: Any = text
    else:
        value = None if node is None else _value(node, path, source)
    section[path[-1]] = value
    source.origins[path] = variable


def dotted(path: KeyPath) -> str:
    """``("probe", "files", 2)`` as ``probe.files[2]``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
