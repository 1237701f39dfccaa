"""What a user may say about detection; light, so that the configuration can import it."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from monitor.errors import ConfigError
from monitor.settings import SECONDS, Settings

FEWEST_WINDOWS = 2


def parse_false_alarms(value: Any) -> str:
    """Check ``"1 per 30d"`` or ``"1 per 8640 windows"`` and return it with single spaces.

    >>> parse_false_alarms("1  per 30d")
    '1 per 30d'
    """
    _false_alarm_parts(str(value))
    return " ".join(str(value).split())


FalseAlarms = Annotated[str, BeforeValidator(parse_false_alarms)]


class ChannelWeights(Settings):
    """How the one false-alarm budget is shared; only the ratios count."""

    heads: float = Field(default=0.45, gt=0)
    tokens: float = Field(default=0.25, gt=0)
    rollout: float = Field(default=0.075, gt=0)
    prediction: float = Field(default=0.075, gt=0)
    input: float = Field(default=0.075, gt=0)
    fidelity: float = Field(default=0.075, gt=0)


class DriftSettings(Settings):
    """The drift section.

    ``false_alarms`` is the one knob: how rarely a false alarm may come, over all channels.
    ``minimum_effect`` (sd of the baseline) is how far predictions move before drift is called harm.
    ``minimum`` is the smallest window that is judged. ``recovery`` is the e-value against a shift
    of at least half its size that clears an alarm. ``probe_threshold`` (sd) is how far the probe
    moves before the model is said to have changed.
    """

    false_alarms: FalseAlarms = "1 per 30d"
    minimum_effect: float = Field(default=0.2, gt=0)
    minimum: int = Field(default=30, ge=30)
    recovery: float = Field(default=20.0, gt=1)
    probe_threshold: float = Field(default=0.05, gt=0)
    channels: ChannelWeights = ChannelWeights()

    @model_validator(mode="before")
    @classmethod
    def _bare_number(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("false_alarms"), int | float):
            raise ValueError("false_alarms is not a rate; write it as in '1 per 30d'")
        return data


def mean_windows_between_false_alarms(settings: DriftSettings, window_seconds: float) -> float:
    """The mean number of windows between false alarms (ARL) that the setting asks for.

    Raises ConfigError below two windows: then every window may be a false alarm.

    >>> mean_windows_between_false_alarms(DriftSettings(), 300.0)
    8640.0
    """
    count, length, unit = _false_alarm_parts(settings.false_alarms)
    windows = (length if unit == "windows" else length * SECONDS[unit] / window_seconds) / count
    if windows < FEWEST_WINDOWS:
        raise ConfigError(
            f"drift.false_alarms = {settings.false_alarms}: asks for one in {windows:.3g} windows; must be "
            f"at least {FEWEST_WINDOWS} windows, as in '1 per {FEWEST_WINDOWS} windows'"
        )
    return windows


def _false_alarm_parts(text: str) -> tuple[float, float, str]:
    number = r"([0-9]*\.?[0-9]+)"
    match = re.fullmatch(rf"\s*{number}\s+per\s+{number}?\s*(ms|s|m|h|d|w|windows?)\s*", text)
    if match is None or float(match[1]) == 0 or float(match[2] or 1) == 0:
        raise ValueError("is not a rate; write it as in '1 per 30d' or '1 per 8640 windows'")
    unit = "windows" if match[3].startswith("window") else match[3]
    return float(match[1]), float(match[2] or 1), unit
