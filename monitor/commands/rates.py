"""The two options that decide when a window alarms, checked: ``--window`` and ``--false-alarms``."""

from __future__ import annotations

from monitor.drift.settings import DriftSettings, mean_windows_between_false_alarms
from monitor.errors import ConfigError

WINDOW, SMALLEST_WINDOW = 200, 30
FALSE_ALARMS = "1 per 30d"
WINDOW_SECONDS = 300.0
"""What a window lasts, for rates by time: the sidecar's default."""


def require_window(samples: int) -> None:
    """Raise ConfigError, naming the option, unless windows of so many samples can be judged."""
    if samples < SMALLEST_WINDOW:
        raise ConfigError(
            f"--window = {samples}: must be at least {SMALLEST_WINDOW}; "
            "fewer samples cannot be told from noise"
        )


def drift_settings(rate: str) -> DriftSettings:
    """The settings with this rate; ConfigError, naming the option, if it is none or too often."""
    try:
        settings = DriftSettings(false_alarms=rate)
    except ValueError:
        raise ConfigError(
            f"--false-alarms = {rate}: is not a rate; write it as in '1 per 30d' or '1 per 8640 windows'"
        ) from None
    mean_windows(settings)
    return settings


def mean_windows(settings: DriftSettings) -> float:
    """Windows between false alarms, on average; ConfigError, naming the option, if they are too few."""
    try:
        return mean_windows_between_false_alarms(settings, WINDOW_SECONDS)
    except ConfigError as error:
        raise ConfigError(str(error).replace("drift.false_alarms", "--false-alarms", 1)) from None
