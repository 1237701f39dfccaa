"""Every duration of the alert rules, derived from the one that the user chose: how long a window is.

A drift verdict is a sequential decision that stands until there is evidence against it, so nothing is
gained by holding it back: it is told as soon as its evidence can be linked, however long a window is.
What Prometheus has to find out by itself waits for long enough that a restart wakes nobody.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cadence:
    """Durations in seconds for windows that close every ``window`` seconds.

    ``fast``: no holding times at all, for demonstrations and tests with windows of seconds.
    """

    window: float
    fast: bool = False

    @property
    def interval(self) -> float:
        """How often the rules are evaluated: several times a window, a minute apart at most."""
        return 1.0 if self.fast else min(MINUTE, max(5.0, self.window / 5))

    @property
    def settle(self) -> float:
        """How long a drift alarm waits for its evidence to reach MLflow, so that the first message has
        the link; the outbox is delivered every few seconds.
        """
        return 0.0 if self.fast else MINUTE

    @property
    def bridge(self) -> float:
        """How long a drift alert outlives a sidecar that shows nothing.

        A restart takes minutes. A sidecar that does not come back is told as stale before this has passed
        (``patience`` and ``hold``), and that inhibits a message that the drift is over.
        """
        return 0.0 if self.fast else 20 * MINUTE

    @property
    def hold(self) -> float:
        """How long a fault of the watch stands before it is an alert, and lasts after it."""
        return 0.0 if self.fast else 5 * MINUTE

    @property
    def unwatched(self) -> float:
        """How long nothing may say that a model is watched; never so short that the first scrape is late."""
        return self.window if self.fast else self.hold

    @property
    def thin(self) -> float:
        """How long windows have to be thin: one is forgiven, unless it is as long as an hour itself."""
        return 0.0 if self.fast else _within(5 * MINUTE, 1.2 * self.window, HOUR)

    @property
    def memory(self) -> float:
        """How long a severity is remembered: it is judged anew with each window, and one that changes
        to and fro must not call people with every window.
        """
        return max(10.0 if self.fast else 5 * MINUTE, 1.2 * self.window)

    @property
    def stale(self) -> float:
        """After how long the sidecar itself says that a window waits for its verdict in vain."""
        return 3 * self.window

    @property
    def patience(self) -> float:
        """How long a sidecar may show no state that says it watches: a model needs minutes to load."""
        return 3 * self.window if self.fast else 10 * MINUTE

    @property
    def blind(self) -> float:
        """How long nothing may be watched before somebody is woken for it."""
        return 6 * self.window if self.fast else _within(HOUR, 6 * self.window, DAY)

    @property
    def gone(self) -> float:
        """How long Prometheus is asked for what a sidecar that is gone was watching."""
        return max(DAY, 2 * self.blind)

    @property
    def rate(self) -> float:
        """The range in which samples are counted: windows are given up whole, so three of them."""
        return max(10.0, 3 * self.window) if self.fast else _within(15 * MINUTE, 3 * self.window, DAY)

    @property
    def tries(self) -> float:
        """The range in which deliveries are counted: failed ones are tried again every few seconds."""
        return max(10.0, 3 * self.window) if self.fast else _within(15 * MINUTE, 3 * self.window, HOUR)


def _within(least: float, value: float, most: float) -> float:
    return min(most, max(least, value))


def duration(seconds: float) -> str:
    """Prometheus' form, whole seconds.

    >>> duration(360), duration(90), duration(86400), duration(0.5)
    ('6m', '90s', '1d', '1s')
    """
    whole = math.ceil(seconds)
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if whole and whole % size == 0:
            return f"{whole // size}{unit}"
    return f"{whole}s"


def words(seconds: float) -> str:
    """A duration in a sentence.

    >>> words(900), words(3600), words(90)
    ('15 minutes', '1 hour', '90 seconds')
    """
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= size and seconds % size == 0:
            count = int(seconds // size)
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return f"{seconds:g} seconds"
