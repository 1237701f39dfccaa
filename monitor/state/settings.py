"""The sections ``state`` and ``window`` of the configuration."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationInfo, field_validator

from monitor.settings import ByteSize, Duration, Settings

LONGEST_RETENTION = 86400.0


class StateSettings(Settings):
    """Where state is kept, how much evidence may wait, and how long text may stay at most."""

    file: Path = Field(default=Path("headwatch.sqlite"), description="the SQLite file (mode 0600)")
    outbox: ByteSize = Field(default=256 * 2**20, description="evidence that may wait for its sink")
    text_retention: Duration = Field(default=LONGEST_RETENTION, description="the longest that text stays")

    @field_validator("outbox")
    @classmethod
    def _outbox_holds_a_record(cls, value: int) -> int:
        if value < 2**20:
            raise ValueError("must be at least 1MiB; one record of evidence can be that large")
        return value

    @field_validator("text_retention")
    @classmethod
    def _text_stays_a_day_at_most(cls, value: float) -> float:
        if not 60 <= value <= LONGEST_RETENTION:
            raise ValueError("must be from 1m to 24h; production text is never kept longer than a day")
        return value


class WindowSettings(Settings):
    """The samples that are judged together.

    A window closes after ``duration`` once it has ``minimum_samples``, or early after ``requests``.
    """

    duration: Duration = Field(default=300.0, description="how long a window stays open")
    minimum_samples: int = Field(default=100, description="a smaller window stays open and is joined")
    samples: int = Field(default=200, description="how many of a window's requests are kept")
    requests: int | None = Field(default=None, description="close early after so many requests")

    @field_validator("duration")
    @classmethod
    def _duration_is_positive(cls, value: float) -> float:
        if value < 1:
            raise ValueError("must be at least 1s")
        return value

    @field_validator("minimum_samples")
    @classmethod
    def _minimum_is_enough(cls, value: int) -> int:
        if value < 10:
            raise ValueError("must be at least 10; fewer samples cannot be told from noise")
        return value

    @field_validator("samples")
    @classmethod
    def _samples_are_enough(cls, value: int, info: ValidationInfo) -> int:
        if value < 30:
            raise ValueError("must be at least 30; fewer samples cannot be told from noise")
        minimum = info.data.get("minimum_samples", 0)
        if value < minimum:
            raise ValueError(f"must be at least window.minimum_samples (={minimum})")
        return value

    @field_validator("requests")
    @classmethod
    def _requests_fill_a_window(cls, value: int | None, info: ValidationInfo) -> int | None:
        minimum = info.data.get("minimum_samples", 0)
        if value is not None and value < minimum:
            raise ValueError(f"must be at least window.minimum_samples (={minimum})")
        return value
