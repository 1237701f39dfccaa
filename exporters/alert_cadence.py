"""Every duration of the alert rules, derived from the one that the user chose: how long a window is."""

from __future__ import annotations

import math
from dataclasses import dataclass

# Prometheus' advice: shorter holds page for a single failed scrape.
SHORTEST_HOLD = 300.0
SHORTEST_RATE = 900.0
SHORTEST_BLIND = 3600.0
DAY = 86400.0


@dataclass(frozen=True, slots=True)
class Cadence:
    """Durations in seconds for windows that close every ``window`` seconds.

    ``fast``: no holding times at all, for demonstrations and tests with windows of seconds.
    """

    window: float
    fast: bool = False

    @property
    def interval(self) -> float:
        """How often the rules are evaluated: several times a window, a minute apart at most."""
        return 1.0 if self.fast else min(60.0, max(5.0, self.window / 5))

    @property
    def hold(self) -> float:
        """How long a condition stands before it is an alert: longer than a window, so that one late
        or one thin window never fires.
        """
        return 0.0 if self.fast else max(SHORTEST_HOLD, 1.2 * self.window)

    @property
    def memory(self) -> float:
        """How long a severity is remembered: it is judged anew with each window, and one that changes
        to and fro with every window would never stand for as long as ``hold``.
        """
        return max(10.0, 1.2 * self.window) if self.fast else self.hold

    @property
    def stale(self) -> float:
        """Two missed windows, and the time that judging one may take."""
        return 3 * self.window

    @property
    def blind(self) -> float:
        """How long nothing may be watched before somebody is woken for it."""
        return 6 * self.window if self.fast else max(SHORTEST_BLIND, 6 * self.window)

    @property
    def gone(self) -> float:
        """How long Prometheus is asked for what a sidecar that is gone was watching."""
        return max(DAY, 2 * self.blind)

    @property
    def rate(self) -> float:
        """The range of rates: two scrapes and more, and a sink that is only tried now and then."""
        return max(10.0 if self.fast else SHORTEST_RATE, 3 * self.window)


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
