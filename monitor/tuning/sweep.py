"""One log judged under several settings, each from the same features."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from monitor.backtest import WINDOW_SECONDS, Backtest, pieces_of, run_backtest
from monitor.drift.detector import Detector
from monitor.privacy import WordName
from monitor.records import ProbeReading, Verdict
from monitor.tuning.incidents import Incident
from monitor.tuning.profiled import Profiled
from monitor.tuning.score import Score, score

ROW = (
    "index start end samples state alarm raised cleared episode cause causes severity since evidence limit"
).split()


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What one setting made of the log."""

    window: int
    false_alarms: str
    result: Backtest
    score: Score

    def to_json(self) -> dict[str, Any]:
        """The score, a line a window, and the whole verdict where an alarm rose or ended."""
        full = [verdict.to_json() for verdict in self.result.verdicts]
        return {
            "window": self.window,
            "false_alarms": self.false_alarms,
            "mean_windows_between_false_alarms": self.result.mean_windows,
            "left_over_samples": self.result.left_over,
            "waiting_samples": self.result.waiting,
            "score": self.score.to_json(),
            "windows": [
                verdict if verdict["raised"] or verdict["cleared"] else {key: verdict[key] for key in ROW}
                for verdict in full
            ],
        }


def sweep(
    profiled: Profiled,
    detectors: Mapping[str, Detector],
    windows: Sequence[int],
    *,
    incidents: Sequence[Incident],
    attributed: Mapping[int, Collection[int]],
    probe: ProbeReading | None,
    word_name: WordName,
    on_window: Callable[[Verdict], None],
) -> Iterator[Trial]:
    """Judge the log with every detector (by its stated rate) at every window size.

    ``attributed``: by window size, the places of the samples whose Integrated Gradients it may see.
    """
    for window in windows:
        mine = attributed.get(window, ())
        for rate, detector in detectors.items():
            result = run_backtest(
                [profiled],
                samples=profiled.stop,
                detector=detector,
                window=window,
                probe=probe,
                word_name=word_name,
                attributed=partial(integrated_of, profiled, mine),
                on_window=on_window,
            )
            pieces, _ = pieces_of(profiled.stop, window, minimum=detector.settings.minimum)
            found = score(
                result.verdicts,
                pieces,
                incidents,
                mean_windows=result.mean_windows,
                window_seconds=WINDOW_SECONDS,
            )
            yield Trial(window=window, false_alarms=rate, result=result, score=found)


def integrated_of(profiled: Profiled, places: Collection[int], piece: range) -> dict[int, tuple[str, ...]]:
    """The words by Integrated Gradients of those samples of ``piece`` that are among ``places``."""
    return {place: profiled.integrated[place] for place in piece if place in places}
