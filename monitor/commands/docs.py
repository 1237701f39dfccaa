"""docs/commands.md, made from the command line itself.

    python -m monitor.commands.docs

A test compares the file with what this module makes, so it cannot fall behind.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

from monitor.commands.exit_codes import BY_COMMAND, EVERYWHERE, EXIT_CODES

PAGE = Path("docs/commands.md")
HEAD = """# Commands

Made by `make docs` from the command line itself. `headwatch COMMAND --help` says the same.

- **Reports go to standard output, everything else to standard error**: errors, warnings, progress.
  `--json` prints one JSON document on standard output and nothing else. Every command that reports has
  it; `run` reports to metrics and its log, and `rules` writes YAML for Prometheus. `compare` and
  `backtest` take `--json FILE` too, and keep their words then. `-` as a file means standard output for
  `--json` and `rules --out` alone; the other options that write a file refuse it.
- **Progress** with an estimate of the time that is left is shown where standard error is a terminal,
  colours where the output is one and `NO_COLOR` is not set. Tables fit 80 columns; in a pipe sentences
  are not broken.
- **Completion** in bash and zsh of commands, options, configuration files and model folders:
  `headwatch --install-completion`, or `headwatch --show-completion` to see what it would add.
- `headwatch --debug COMMAND ...` shows the traceback of an error.

"""
SHELL = """## In scripts

`headwatch status` answers as Nagios' plugins do, with ten added to their numbers, so that no mistake on
the command line can be read as an alarm:

```sh
headwatch status --url "$SIDECAR"
code=$?
test "$code" -ge 10 && exit $((code - 10))    # 1 warning, 2 critical, 3 unknown
test "$code" -eq 0 || exit 3
```
"""


def page() -> str:
    """The whole document."""
    from monitor.cli import app

    root: Any = get_command(app)
    commands = list(_commands(root, ""))
    parts = [HEAD, _overview(commands), _codes(), SHELL]
    parts += [_command(name, command) for name, command in commands]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def _commands(group: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


def _overview(commands: list[tuple[str, Any]]) -> str:
    rows = [f"| [`{name}`](#{_anchor(name)}) | {_first(command)} |" for name, command in commands]
    return "\n".join(["| command | what it does |", "|---|---|", *rows])


def _codes() -> str:
    rows = [f"| {code} | {_cell(meaning)} |" for code, meaning in EXIT_CODES.items()]
    return "\n".join(["## Exit codes", "", "| code | meaning |", "|---|---|", *rows])


def _command(name: str, command: Any) -> str:
    parameters = [item for item in command.params if item.name != "help"]
    usage = " ".join(["headwatch", name, *_usage(parameters)])
    lines = [f"## {name}", "", f"```console\n$ {usage}\n```", "", str(command.help), ""]
    known = typing.get_type_hints(inspect.unwrap(command.callback))
    rows = [_row(item, known[item.name]) for item in parameters]
    if rows:
        lines += ["| option | takes | default | meaning |", "|---|---|---|---|", *rows, ""]
    told = [f"| {code} | {_cell(meaning)} |" for code, meaning in BY_COMMAND[name].items()]
    everywhere = ", ".join(str(code) for code in EVERYWHERE)
    lines += ["| exit code | meaning |", "|---|---|", *told, f"| {everywhere} | as everywhere |"]
    return "\n".join(lines)


def _usage(parameters: list[Any]) -> Iterator[str]:
    """What has to be given by its name, the rest as ``[OPTIONS]``, arguments last."""
    options = [item for item in parameters if item.param_type_name == "option"]
    for item in options:
        if item.required:
            yield f"{item.opts[0]} {item.name.upper().removesuffix('_FILE')}"
    if not all(item.required for item in options):
        yield "[OPTIONS]"
    for item in parameters:
        if item.param_type_name == "argument":
            yield _metavar(item) if item.required else f"[{_metavar(item)}]"


def _row(parameter: Any, annotation: Any) -> str:
    if parameter.param_type_name == "argument":
        names = f"`{_metavar(parameter)}`"
    else:
        names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    default = "required" if parameter.required else _default(parameter)
    return f"| {names} | {_takes(parameter, annotation)} | {default} | {_cell(parameter.help or '')} |"


def _takes(parameter: Any, annotation: Any) -> str:
    """What goes after an option, from the type of the function's parameter."""
    if parameter.param_type_name == "option" and parameter.is_flag:
        return ""
    if parameter.metavar and parameter.param_type_name == "option":
        return f"`{parameter.metavar}`"
    given = [one for one in typing.get_args(annotation) if one is not type(None)]
    if typing.get_origin(annotation) is typing.Literal:
        return ", ".join(f"`{choice}`" for choice in given)
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return _takes(parameter, given[0])
    if typing.get_origin(annotation) is list:
        return f"{_takes(parameter, given[0])}; repeatable"
    least = getattr(parameter, "min", None)
    text = {int: "whole number", float: "number", Path: "path"}.get(annotation, "text")
    return text if least is None else f"{text} from {least:g}"


def _default(parameter: Any) -> str:
    shown = parameter.show_default
    if isinstance(shown, str):
        return f"`{shown}`"
    value = parameter.default
    if value is None or value is False or callable(value) or value in ((), []):
        return ""
    if value is True:
        return "on"
    if isinstance(value, float):
        return f"`{value:g}`"
    return f"`{value}`"


def _metavar(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name).upper().strip("[]")


def _first(command: Any) -> str:
    return _cell(str(command.help).split("\n\n")[0])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _anchor(name: str) -> str:
    return name.replace(" ", "-")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
