"""A log judged as if it were live: the same detector, window by window, faster than live."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from monitor.analyse import Analyser, stack
from monitor.drift.detector import Detector, WindowFacts
from monitor.drift.state import DetectorState
from monitor.privacy import in_clear
from monitor.records import Features, ProbeReading, Sample, Verdict

SCHEMA = 1
WINDOW_SECONDS = 300.0
"""How long a window is taken to last where the log has no times: the sidecar's default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtest:
    """What came of a log. ``left_over``: samples after the last window that were too few to judge."""

    baseline_samples: int
    mean_windows: float
    verdicts: tuple[Verdict, ...]
    left_over: int
    refused: tuple[tuple[str, str], ...] = ()

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
            "refused_samples": [{"id": sample, "reason": reason} for sample, reason in self.refused],
        }


def judge_stream(
    detector: Detector,
    windows: Iterable[Features],
    *,
    probe: ProbeReading | None = None,
    word_name: Callable[[str, int], str] = in_clear,
    state: DetectorState | None = None,
    first: int = 0,
) -> Iterator[tuple[DetectorState, Verdict]]:
    """Judge windows of features one after the other, each with the state that it left.

    Window ``first`` + i lasts from its earliest to its latest sample, or five minutes without times.
    """
    current = detector.start() if state is None else state
    for index, features in enumerate(windows, start=first):
        facts = window_facts(features, index)
        current, verdict = detector.judge(current, features, window=facts, probe=probe, word_name=word_name)
        yield current, verdict


def window_facts(features: Features, index: int) -> WindowFacts:
    """When a window of a log was."""
    start, end = index * WINDOW_SECONDS, (index + 1) * WINDOW_SECONDS
    if len(features) and float(features.times.min()) > 0:
        start, end = float(features.times.min()), float(features.times.max())
    return WindowFacts(index=index, start=start, end=end, received=len(features))


def cut(samples: Sequence[Sample], size: int, *, minimum: int) -> tuple[list[Sequence[Sample]], int]:
    """Windows of ``size`` samples in order; the last one may be smaller, below ``minimum`` it is left over.

    >>> windows, left_over = cut(list(range(250)), 100, minimum=30)  # type: ignore[arg-type]
    >>> [len(window) for window in windows], left_over
    ([100, 100, 50], 0)
    """
    windows = [samples[first : first + size] for first in range(0, len(samples), size)]
    if windows and len(windows[-1]) < min(size, minimum):
        return windows[:-1], len(windows[-1])
    return windows, 0


def run_backtest(
    samples: Sequence[Sample],
    *,
    analyser: Analyser,
    detector: Detector,
    window: int,
    probe: ProbeReading | None,
    on_window: Callable[[Verdict], None] | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Backtest:
    """Profile and judge a log. ``on_window`` hears each verdict, ``on_progress`` the samples done."""
    minimum = detector.settings.minimum
    pieces, left_over = cut(samples, window, minimum=minimum)
    refused: list[tuple[str, str]] = []
    verdicts: list[Verdict] = []
    empty = detector.baseline.features.take([])

    def profiled() -> Iterator[Features]:
        done = 0
        for piece in pieces:
            analysed = analyser.profile(piece)
            refused.extend(analysed.refused)
            done += len(piece)
            if on_progress is not None:
                on_progress(done)
            yield stack(analysed.analyses) if analysed.analyses else empty

    for _, verdict in judge_stream(detector, profiled(), probe=probe):
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
