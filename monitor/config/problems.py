"""Pydantic's errors in headwatch's words: ``key = value: requirement; remedy``, one a line.

Pydantic says what was wrong; what the operator can do about it comes from three places: the error
itself, ``config_help`` (what a key means and why it has a bound), and the names of the neighbouring
keys (for a key that is not known).
"""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from monitor.config.help import HELP, WHY
from monitor.config.source import NESTING, PREFIX, KeyPath, Source, dotted

# Names under which people look for a place for a secret.
SECRET_NAMES = {"token", "password", "secret", "key", "api_key", "url", "urls", "credentials", "username"}
LONGEST_VALUE = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A value that is never written in the YAML file: it has a file of its own, or a variable."""

    path: KeyPath
    file_key: str
    variable: str
    read_by_stage: bool = False  # the stage reads it itself, where it is needed

    @property
    def file_path(self) -> KeyPath:
        """The key that names the secret's file."""
        return (*self.path[:-1], self.file_key)

    def refusal(self, path: KeyPath) -> str:
        """What to say where the secret was written in the file itself, without repeating it."""
        return (
            f"{dotted(path)}: a secret does not belong in this file; put it into a file named by"
            f" {dotted(self.file_path)}, or into {self.variable}"
        )


SECRETS = (
    Secret(
        path=("ingest", "token"), file_key="token_file", variable=f"{PREFIX}INGEST_TOKEN", read_by_stage=True
    ),
    Secret(path=("privacy", "key"), file_key="key_file", variable=f"{PREFIX}PRIVACY_KEY"),
    Secret(path=("exporters", "mlflow", "token"), file_key="token_file", variable=f"{PREFIX}MLFLOW_TOKEN"),
    Secret(
        path=("exporters", "notifications", "urls"),
        file_key="urls_file",
        variable=f"{PREFIX}NOTIFICATION_URLS",
    ),
)


def describe(error: ValidationError, model: type[BaseModel], source: Source) -> list[str]:
    """One line a problem, in the order of the file, each beginning with where it was written."""
    lines = []
    for item in error.errors(include_url=False):
        path: KeyPath = tuple(item["loc"])
        lines.append(f"{source.origin(path)}: {_problem(path, dict(item), model)}")
    return lines


def show_value(value: Any) -> str:
    """A value as it is quoted in a message: short, and without the password of a URL."""
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
    text = re.sub(r"://[^/@\s]+@", "://***@", text)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 3] + "..."


def suggestion(name: str, known: list[str]) -> str:
    """``; did you mean 'samples'?``, or the whole list where nothing is near."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else f"; known here: {', '.join(known)}"


def _problem(path: KeyPath, item: dict[str, Any], model: type[BaseModel]) -> str:
    kind, context = item["type"], item.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown_key(path, model)
    if kind == "missing":
        meaning = HELP.get(dotted(path), "")
        return (
            f"{dotted(path)}: is required{f'; {meaning[0].lower()}{meaning[1:]}' if meaning else ''}".rstrip(
                "."
            )
        )
    if kind == "value_error":
        # A section's own validator speaks of several keys; its input would be the whole section.
        said = str(context["error"])
        return f"{dotted(path)}: {said}" if isinstance(item["input"], dict) else _said(path, item, said)
    words = WORDS.get(kind)
    requirement = words(context) if words else item["msg"][0].lower() + item["msg"][1:]
    if kind == "literal_error" and isinstance(item["input"], str):
        near = difflib.get_close_matches(item["input"], re.findall(r"'([^']+)'", context["expected"]), n=1)
        requirement += f"; did you mean {near[0]!r}?" if near else ""
    why = WHY.get(dotted(path))
    return _said(path, item, f"{requirement}; {why}" if why else requirement)


def _said(path: KeyPath, item: dict[str, Any], requirement: str) -> str:
    if any(path[: len(secret.path)] == secret.path for secret in SECRETS):
        return f"{dotted(path)}: {requirement}"
    return f"{dotted(path)} = {show_value(item['input'])}: {requirement}"


def _unknown_key(path: KeyPath, model: type[BaseModel]) -> str:
    name, section = str(path[-1]), path[:-1]
    known = keys(section_model(section, model))
    for secret in SECRETS:
        if name in SECRET_NAMES and section == secret.path[:-1]:
            return secret.refusal(path)
    known = [key for key in known if (*section, key) not in {secret.path for secret in SECRETS}]
    return f"{dotted(path)}: unknown key{suggestion(name, known)}"


def keys(model: type[BaseModel] | None) -> list[str]:
    """The keys of a section as they are written in YAML."""
    if model is None:
        return []
    return [info.alias or name for name, info in model.model_fields.items()]


def section_model(path: KeyPath, model: type[BaseModel]) -> type[BaseModel] | None:
    """The model behind a path of sections, or None where the path leaves them."""
    here: type[BaseModel] | None = model
    for part in path:
        info = _named(here, part)
        here = nested_model(info.annotation) if info else None
    return here


def nested_model(annotation: Any) -> type[BaseModel] | None:
    """The section inside ``Section`` or ``Section | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        for option in typing.get_args(annotation):
            if (found := nested_model(option)) is not None:
                return found
    return None


def _named(model: type[BaseModel] | None, key: str | int) -> FieldInfo | None:
    if model is None:
        return None
    for name, info in model.model_fields.items():
        if key in (name, info.alias):
            return info
    return None


def _bound(words: str, key: str) -> Callable[[dict[str, Any]], str]:
    return lambda context: f"must be {words} {_number(context[key])}"


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _fixed(words: str) -> Callable[[dict[str, Any]], str]:
    return lambda _: words


WORDS: Mapping[str, Callable[[dict[str, Any]], str]] = {
    "greater_than": _bound("more than", "gt"),
    "greater_than_equal": _bound("at least", "ge"),
    "less_than": _bound("less than", "lt"),
    "less_than_equal": _bound("at most", "le"),
    "literal_error": lambda context: f"must be {context['expected']}",
    "enum": lambda context: f"must be {context['expected']}",
    "int_type": _fixed("must be a whole number"),
    "int_parsing": _fixed("must be a whole number"),
    "int_from_float": _fixed("must be a whole number"),
    "float_type": _fixed("must be a number"),
    "float_parsing": _fixed("must be a number"),
    "finite_number": _fixed("must be a finite number"),
    "bool_type": _fixed("must be true or false"),
    "bool_parsing": _fixed("must be true or false"),
    "string_type": _fixed("must be text; put it in quotes"),
    "path_type": _fixed("must be the path of a file"),
    "string_too_short": _fixed("must not be empty"),
    "list_type": _fixed("must be a list, as in [a, b]"),
    "tuple_type": _fixed("must be a list, as in [a, b]"),
    "dict_type": _fixed("must be keys with values"),
    "model_type": _fixed("must be a section with keys"),
    "model_attributes_type": _fixed("must be a section with keys"),
}


def refuse_secrets(source: Source) -> list[str]:
    """Take secrets that were written in the file out of the values, and say where they belong."""
    return [
        f"{source.origin(secret.path)}: {secret.refusal(secret.path)}"
        for secret in SECRETS
        if source.take(secret.path)
    ]


def fetch_secrets(source: Source, environ: Mapping[str, str]) -> list[str]:
    """Put each secret from its variable or its file where its section expects it; say what failed."""
    problems = []
    for secret in SECRETS:
        if secret.read_by_stage:
            continue
        text = environ.get(secret.variable, "").strip()
        file = source.get(secret.file_path)
        if not text and isinstance(file, str):
            try:
                text = _read_secret(Path(file))
            except ValueError as error:
                key = secret.file_path
                problems.append(f"{source.origin(key)}: {dotted(key)} = {file!r}: {error}")
        if text:
            source.put(secret.path, text.split() if secret.path[-1] == "urls" else text)
    return problems


def misspelt_variables(environ: Mapping[str, str], model: type[BaseModel]) -> list[str]:
    """Variables that name a key with single underscores, and so would set nothing, in silence.

    Others that begin like ours are left alone: clusters make some up (HEADWATCH_SERVICE_HOST).
    """
    of_path: dict[KeyPath, str] = {secret.path: secret.variable for secret in SECRETS}
    problems = []
    for path in _key_paths(model):
        wrong = PREFIX + "_".join(path).upper()
        if wrong in environ and wrong not in of_path.values():
            right = of_path.get(path) or PREFIX + NESTING.join(path).upper()
            problems.append(f"{wrong}: sets nothing; write {right} to set {dotted(path)}")
    return problems


def _key_paths(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every key that holds a value, as the path of its sections and itself."""
    for name, info in model.model_fields.items():
        here = (*path, info.alias or name)
        inner = nested_model(info.annotation)
        if inner is None:
            yield here
        else:
            yield from _key_paths(inner, here)


def _read_secret(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError as error:
        raise ValueError("no such file; create it, or mount the secret there") from error
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is no UTF-8 text"
        raise ValueError(f"cannot be read: {reason.lower()}") from error
    if not text:
        raise ValueError("is empty; write the secret into it")
    return text
