"""A log judged as if it were live: the same detector, window by window, faster than live."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from monitor.drift.detector import Detector, WindowFacts
from monitor.drift.state import DetectorState
from monitor.judging import Given, judge_all
from monitor.privacy import WordName, in_clear
from monitor.records import Features, ProbeReading, Verdict
from monitor.tuning.profiled import Profiled, in_windows

SCHEMA = 1
WINDOW_SECONDS = 300.0
"""How long a window is taken to last where the log has no times: the sidecar's default."""
_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtest:
    """What came of a log. ``left_over``: samples after the last window that were too few to judge."""

    baseline_samples: int
    mean_windows: float
    verdicts: tuple[Verdict, ...]
    left_over: int
    refused: tuple[tuple[str, str], ...] = ()

    @property
    def waiting(self) -> int:
        """Samples of the last windows that were too few to judge and wait for more."""
        last = itertools.takewhile(lambda verdict: verdict.state == "too_few_samples", self.verdicts[::-1])
        return sum(verdict.samples for verdict in last)

    @property
    def first_alarm(self) -> int | None:
        """Index of the first window in alarm."""
        return next((verdict.window for verdict in self.verdicts if verdict.alarm), None)

    def to_json(self) -> dict[str, object]:
        """The output file's content."""
        return {
            "schema": SCHEMA,
            "baseline_samples": self.baseline_samples,
            "mean_windows_between_false_alarms": self.mean_windows,
            "windows": [verdict.to_json() for verdict in self.verdicts],
            "first_alarm": self.first_alarm,
            "left_over_samples": self.left_over,
            "waiting_samples": self.waiting,
            "refused_samples": [{"id": sample, "reason": reason} for sample, reason in self.refused],
        }


def judge_stream(
    detector: Detector,
    windows: Iterable[Features],
    *,
    probe: ProbeReading | None = None,
    word_name: WordName = in_clear,
    state: DetectorState | None = None,
    first: int = 0,
) -> Iterator[tuple[DetectorState, Verdict]]:
    """Judge windows of features one after the other, each with the state that it left.

    Window ``first`` + i lasts from its earliest to its latest sample, or five minutes without times.
    """
    given = (
        Given(features=features, facts=window_facts(features, index), probe=probe)
        for index, features in enumerate(windows, start=first)
    )
    return judge_all(detector, given, word_name=word_name, state=state)


def window_facts(features: Features, index: int, received: int | None = None) -> WindowFacts:
    """When a window of a log was, and of how many samples (those that the model refused too)."""
    start, end = index * WINDOW_SECONDS, (index + 1) * WINDOW_SECONDS
    if len(features) and float(features.times.min()) > 0:
        start, end = float(features.times.min()), float(features.times.max())
    return WindowFacts(
        index=index, start=start, end=end, received=len(features) if received is None else received
    )


def cut(samples: Sequence[_Item], size: int, *, minimum: int) -> tuple[list[Sequence[_Item]], int]:
    """Windows of ``size`` samples in order; the last one may be smaller, below ``minimum`` it is left over.

    >>> windows, left_over = cut(range(250), 100, minimum=30)
    >>> [len(window) for window in windows], left_over
    ([100, 100, 50], 0)
    """
    windows = [samples[first : first + size] for first in range(0, len(samples), size)]
    if windows and len(windows[-1]) < min(size, minimum):
        return windows[:-1], len(windows[-1])
    return windows, 0


def pieces_of(samples: int, window: int, *, minimum: int) -> tuple[list[range], int]:
    """The places of each window's samples, and how many are left over."""
    pieces, left_over = cut(range(samples), window, minimum=minimum)
    return [range(piece[0], piece[-1] + 1) for piece in pieces], left_over


def nothing_attributed(_: range) -> Mapping[int, tuple[str, ...]]:
    """No Integrated Gradients in any window."""
    return {}


def given_windows(
    windows: Iterable[Profiled],
    attributed: Iterable[Mapping[int, tuple[str, ...]]],
    probe: ProbeReading | None,
) -> Iterator[Given]:
    """A log's windows as the sidecar would have them.

    ``attributed``: of each window the top words by Integrated Gradients. As in the sidecar they are
    judged with the window after their own: attributing takes longer than judging.
    """
    waiting: tuple[tuple[str, ...], ...] = ()
    for index, (window, words) in enumerate(zip(windows, attributed, strict=True)):
        yield Given(
            features=window.features,
            facts=window_facts(window.features, index, window.stop - window.first),
            probe=probe,
            integrated=waiting,
        )
        waiting = tuple(words[place] for place in sorted(words) if words[place])


def run_backtest(
    parts: Iterable[Profiled],
    *,
    samples: int,
    detector: Detector,
    window: int,
    probe: ProbeReading | None,
    word_name: WordName = in_clear,
    attributed: Callable[[range], Mapping[int, tuple[str, ...]]] = nothing_attributed,
    on_window: Callable[[Verdict], None] | None = None,
) -> Backtest:
    """Judge a log of so many ``samples``, window by window, as its ``parts`` come.

    ``attributed``: the top words by Integrated Gradients of a window, given its places. ``on_window``
    hears each verdict.
    """
    refused: list[tuple[str, str]] = []

    def coming() -> Iterator[Profiled]:
        for part in parts:
            refused.extend(part.refused)
            yield part

    pieces, left_over = pieces_of(samples, window, minimum=detector.settings.minimum)
    verdicts: list[Verdict] = []
    given = given_windows(in_windows(coming(), pieces), map(attributed, pieces), probe)
    for _, verdict in judge_all(detector, given, word_name=word_name):
        verdicts.append(verdict)
        if on_window is not None:
            on_window(verdict)
    return Backtest(
        baseline_samples=len(detector.baseline.features),
        mean_windows=detector.budget.mean_windows,
        verdicts=tuple(verdicts),
        left_over=left_over,
        refused=tuple(refused),
    )
