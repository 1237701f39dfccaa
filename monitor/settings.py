"""Types that every stage's settings share: strict sections, and units inside values."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict

SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
BYTES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


class Settings(BaseModel):
    """One frozen section of the configuration; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


def parse_duration(value: Any) -> float:
    """Seconds from ``"5m"``, ``"1.5h"``, ``"250ms"``, or from a bare number of seconds.

    >>> parse_duration("5m")
    300.0
    """
    return _with_unit(value, SECONDS, kind="a duration", example="5m")


def parse_size(value: Any) -> int:
    """Bytes from ``"64MiB"``, ``"2GB"`` or a bare number of bytes.

    >>> parse_size("64MiB")
    67108864
    """
    return int(_with_unit(value, BYTES, kind="a size", example="64MiB"))


def format_duration(seconds: float) -> str:
    """The shortest exact form: ``300`` becomes ``5m``.

    >>> format_duration(300), format_duration(90), format_duration(86400)
    ('5m', '90s', '1d')
    """
    for unit in ("d", "h", "m", "s"):
        if seconds >= SECONDS[unit] and seconds % SECONDS[unit] == 0:
            return f"{int(seconds // SECONDS[unit])}{unit}"
    return f"{seconds:g}s"


def _with_unit(value: Any, units: dict[str, float] | dict[str, int], *, kind: str, example: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        number = float(value)
    else:
        match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([A-Za-z]*)\s*", str(value))
        if match is None or (match[2] and match[2] not in units):
            raise ValueError(f"is not {kind}; write a number and one of {', '.join(units)}, as in {example}")
        number = float(match[1]) * (units[match[2]] if match[2] else 1.0)
    if number < 0:
        raise ValueError(f"is not {kind}: it is negative; write it as in {example}")
    return number


Duration = Annotated[float, BeforeValidator(parse_duration)]
ByteSize = Annotated[int, BeforeValidator(parse_size)]
