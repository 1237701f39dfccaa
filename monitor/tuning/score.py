"""What verdicts are worth against known incidents: false alarms, what was found, and how late."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from scipy.stats import binom

from monitor.records import Cause, Verdict
from monitor.tuning.incidents import Incident

CERTAINTY = 0.99


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """How one incident was seen.

    ``window``: where its alarm was raised, None if never. ``delay``: windows from its first one to
    that, both counted (1: at once); ``delay_seconds`` from its start to the end of the window that
    alarmed. ``cleared``: windows after its last one until none was in alarm (1: at once), None where
    the log or the quiet ends before that.
    """

    name: str
    cause: Cause | None
    window: int | None = None
    delay: int | None = None
    delay_seconds: float | None = None
    causes: tuple[Cause, ...] = ()
    cleared: int | None = None

    @property
    def cause_right(self) -> bool | None:
        """Whether the first cause was the labelled one; None where there is none to compare."""
        return self.cause == self.causes[0] if self.cause and self.causes else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One setting against the labels.

    ``quiet``: windows outside every incident in which an alarm could begin; ``false_alarms``: episodes
    that did. ``stated``: how many the setting allows in so many windows, ``bound``: how many chance
    makes of that in 99 logs of 100.
    """

    windows: int
    quiet: int
    false_alarms: int
    stated: float
    bound: int
    incidents: tuple[Found, ...]

    @property
    def found(self) -> int:
        """How many incidents raised an alarm."""
        return sum(item.window is not None for item in self.incidents)

    def to_json(self) -> dict[str, Any]:
        """Plain values, with the medians and the largest delays."""
        return {
            "windows": self.windows,
            "quiet_windows": self.quiet,
            "false_alarms": self.false_alarms,
            "false_alarms_stated": self.stated,
            "false_alarms_bound": self.bound,
            "found": self.found,
            **{
                f"{name}_{key}": value
                for key in ("delay", "delay_seconds", "cleared")
                for name, value in zip(("median", "largest"), self.spread(key), strict=True)
            },
            "incidents": [{**asdict(item), "cause_right": item.cause_right} for item in self.incidents],
        }

    def spread(self, key: str) -> tuple[float | None, float | None]:
        """Median and maximum over the incidents that have a value."""
        values = [value for item in self.incidents if (value := getattr(item, key)) is not None]
        return (median(values), max(values)) if values else (None, None)


def score(
    verdicts: Sequence[Verdict],
    pieces: Sequence[range],
    incidents: Sequence[Incident],
    *,
    mean_windows: float,
    window_seconds: float,
) -> Score:
    """Compare verdicts with incidents; ``pieces`` are the places of each window's samples.

    ``window_seconds`` is what a window lasts where the log has no times.
    """
    inside = [any(_overlap(piece, incident) for incident in incidents) for piece in pieces]
    standing = [False, *(verdict.alarm for verdict in verdicts)]
    quiet = sum(not within and not before for within, before in zip(inside, standing, strict=False))
    false_alarms = sum(
        verdict.raised and not within for verdict, within in zip(verdicts, inside, strict=True)
    )
    return Score(
        windows=len(verdicts),
        quiet=quiet,
        false_alarms=false_alarms,
        stated=quiet / mean_windows,
        bound=int(binom.ppf(CERTAINTY, quiet, min(1.0, 1.0 / mean_windows))) if quiet else 0,
        incidents=tuple(
            _found(verdicts, pieces, inside, incident, window_seconds=window_seconds)
            for incident in incidents
        ),
    )


def _overlap(piece: range, incident: Incident) -> bool:
    return piece.start < incident.stop and incident.start < piece.stop


def _found(
    verdicts: Sequence[Verdict],
    pieces: Sequence[range],
    inside: Sequence[bool],
    incident: Incident,
    *,
    window_seconds: float,
) -> Found:
    own = [index for index, piece in enumerate(pieces) if _overlap(piece, incident)]
    # An alarm that stood before must widen to count: it says nothing of this incident otherwise.
    at = next((index for index in own if _rises(verdicts[index])), None)
    if at is None:
        return Found(name=incident.name, cause=incident.cause)
    delay = at - own[0] + 1
    seconds = delay * window_seconds
    if incident.start_time is not None:
        seconds = max(0.0, verdicts[at].end - incident.start_time)
    return Found(
        name=incident.name,
        cause=incident.cause,
        window=at,
        delay=delay,
        delay_seconds=seconds if math.isfinite(seconds) else None,
        causes=verdicts[at].causes,
        cleared=_cleared(verdicts, inside, own[-1]),
    )


def _rises(verdict: Verdict) -> bool:
    return verdict.raised or any(channel.raised for channel in verdict.channels.values())


def _cleared(verdicts: Sequence[Verdict], inside: Sequence[bool], last: int) -> int | None:
    for index in range(last + 1, len(verdicts)):
        if inside[index]:
            return None
        if not verdicts[index].alarm:
            return index - last
    return None
