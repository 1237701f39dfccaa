"""docs/configuration.md and configs/headwatch.yaml, made from the settings themselves.

    python -m monitor.config.docs

A test compares both files with what this module makes, so they cannot fall behind.
"""

from __future__ import annotations

import textwrap
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from monitor.config.configuration import Config
from monitor.config.help import HELP
from monitor.config.problems import SECRETS, nested_model
from monitor.config.source import KeyPath, dotted
from monitor.settings import BYTES, format_duration, parse_duration, parse_size

WIDTH = 100
EXAMPLE_SOURCE = "/models/sentiment"
DOCUMENT_HEAD = """# Configuration

One YAML file, given with `--config`. Every key has a default but `model.source`: `configs/minimal.yaml`
is enough to begin, `configs/headwatch.yaml` shows every key with its default, and
`headwatch check -c FILE` tries yours.

- **Units** are part of the value: durations `250ms`, `30s`, `5m`, `1.5h`, `7d`, `2w`; sizes `64kB`,
  `256MiB`, `2GB`. A bare number means seconds or bytes.
- **Unknown keys are refused**, and all problems of a file are told at once, each with its line.
- **The environment overrides the file**: `HEADWATCH_WINDOW__SAMPLES=300` sets `window.samples`; two
  underscores go one level down, and the value is read as YAML (`null`, `true`, `[a, b]`).
- **Secrets are never written in the file** and never printed. Each has a key that names a file, or a
  variable:
{secrets}- **Relative paths** start where headwatch was started.
- **Reload**: `POST /-/reload` and SIGHUP read the file again. `schedule`, `drift` and `privacy` take
  effect at once; a change of anything else is refused with a message, and the former configuration stays.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key: its path, its default as YAML text, what it takes, what it means."""

    path: KeyPath
    default: str
    takes: str
    meaning: str


def sections(model: type[BaseModel] = Config, path: KeyPath = ()) -> Iterator[tuple[KeyPath, list[Key]]]:
    """Every section with its own keys, in the order of the models."""
    hidden = {secret.path for secret in SECRETS}
    own, nested = [], []
    for name, info in model.model_fields.items():
        here = (*path, info.alias or name)
        if here in hidden:
            continue
        inner = nested_model(info.annotation)
        if inner is not None:
            nested.append((here, inner))
        else:
            own.append(_key(here, info))
    if path:
        yield path, own
    for here, inner in nested:
        yield from sections(inner, here)


def meaning(path: KeyPath, info: FieldInfo | None = None) -> str:
    """What a key or section means: from ``config_help``, else from its field's description."""
    text = HELP.get(dotted(path)) or (info.description if info else None) or ""
    return text[:1].upper() + text[1:].rstrip(".") + "." if not _literal_start(text) else text


def _literal_start(text: str) -> bool:
    """Whether the first word is a value (``true: ...``, ``host:port ...``), whose case matters."""
    return ":" in text.split(" ", 1)[0]


def _key(path: KeyPath, info: FieldInfo) -> Key:
    if path == ("model", "source"):
        return Key(path=path, default=EXAMPLE_SOURCE, takes="text (required)", meaning=meaning(path, info))
    kind = _kind(info)
    return Key(
        path=path, default=_yaml(info.default, kind), takes=_takes(info, kind), meaning=meaning(path, info)
    )


def _kind(info: FieldInfo) -> str:
    functions = {getattr(item, "func", None) for item in info.metadata}
    if parse_duration in functions:
        return "duration"
    if parse_size in functions:
        return "size"
    options = [info.annotation, *typing.get_args(info.annotation)]
    if typing.get_origin(info.annotation) is tuple:
        return "list"
    if typing.get_origin(info.annotation) is Mapping:
        return "lists by name"
    for known, word in ((bool, "boolean"), (int, "whole number"), (float, "number"), (Path, "path")):
        if known in options:
            return word
    return "text"


def _takes(info: FieldInfo, kind: str) -> str:
    if typing.get_origin(info.annotation) is Literal:
        return ", ".join(f"`{choice}`" for choice in typing.get_args(info.annotation))
    text = "`true`, `false`" if kind == "boolean" else kind
    for item in info.metadata:
        for name, words in (("ge", "from"), ("gt", "over"), ("le", "to"), ("lt", "below")):
            if (bound := getattr(item, name, None)) is not None:
                text += f" {words} {_yaml(bound, kind)}"
    return text + (" or `null`" if type(None) in typing.get_args(info.annotation) else "")


def _yaml(value: Any, kind: str) -> str:
    if value is None or value is PydanticUndefined:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if kind == "duration":
        return format_duration(value)
    if kind == "size":
        unit = next(unit for unit in ("GiB", "MiB", "KiB", "B") if value % BYTES[unit] == 0)
        return f"{value // BYTES[unit]}{unit}"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{name}: {_yaml(item, kind)}' for name, item in value.items())}}}"
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def document() -> str:
    """The text of docs/configuration.md."""
    secrets = "".join(f"  - `{dotted(secret.file_path)}` or `{secret.variable}`\n" for secret in SECRETS)
    text = DOCUMENT_HEAD.format(secrets=secrets)
    for path, keys in sections():
        text += f"\n## `{dotted(path)}`\n\n{meaning(path)}\n"
        if keys:
            text += "\n| key | takes | default | meaning |\n|---|---|---|---|\n"
        for key in keys:
            default = "" if "required" in key.takes else f"`{key.default}`"
            text += f"| `{key.path[-1]}` | {key.takes} | {default} | {key.meaning.replace('|', '&#124;')} |\n"
    return text


def example() -> str:
    """The text of configs/headwatch.yaml."""
    lines = [
        "# Every key with its default; only model.source has none. Leave out what you do not change.",
        "# What each key takes: docs/configuration.md. Made by `python -m monitor.config.docs`.",
    ]
    for path, keys in sections():
        indent = "  " * (len(path) - 1)
        if len(path) == 1:
            lines.append("")
        lines.append(f"{indent}{path[-1]}:  # {meaning(path)}")
        for key in keys:
            comment = textwrap.wrap(key.meaning, WIDTH - len(indent) - 4)
            lines += [
                *(f"{indent}  # {line}" for line in comment),
                f"{indent}  {key.path[-1]}: {key.default}",
            ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write both files."""
    root = Path(__file__).parents[2]
    (root / "docs" / "configuration.md").write_text(document(), encoding="utf-8")
    (root / "configs" / "headwatch.yaml").write_text(example(), encoding="utf-8")


if __name__ == "__main__":
    main()
