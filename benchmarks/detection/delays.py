"""Windows from the onset of a shift to the alarm, what the alarm said, and windows until it cleared.

Windows are judged up to ten after the alarm while the shift lasts; the rest of the shift is passed
over unjudged, then the quiet windows after its end are judged until the alarm has cleared.
Scenarios of the group ``life`` (slow drift, gradual return, ...) are judged window by window.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from benchmarks.detection.judging import DEFAULT, fitted
from benchmarks.detection.null import Row
from benchmarks.detection.pools import Scenario, World
from monitor.backtest import window_facts
from monitor.privacy import in_clear
from monitor.records import Verdict

SIZE = 200
LONGEST = 60
AFTER_ALARM = 10
PATIENCE = 30
"""At most so many quiet windows are judged while the alarm stands."""


class Story:
    """What was heard while a shift came, stayed and went."""

    def __init__(self, onset: int, end: int) -> None:
        self.onset, self.end = onset, end
        self.early = 0
        self.delay: int | None = None
        self.alarm: Verdict | None = None
        self.cleared_early = 0
        self.recovery: int | None = None
        self.recovery_evidence = -math.inf

    def hear(self, index: int, verdict: Verdict) -> None:
        """Take the verdict on window ``index``."""
        if index < self.onset:
            self.early += verdict.raised
        elif index < self.end:
            if self.delay is None and verdict.alarm:
                self.delay, self.alarm = index - self.onset + 1, verdict
            self.cleared_early += verdict.cleared
        elif self.delay is not None and self.recovery is None:
            found = (channel.recovery for channel in verdict.channels.values())
            self.recovery_evidence = max(self.recovery_evidence, *found)
            if not verdict.alarm:
                self.recovery = index - self.end + 1

    def passes_over(self, index: int) -> bool:
        """Whether window ``index`` of the shift tells nothing new."""
        if index < self.onset or index >= self.end:
            return False
        if self.delay is None:
            return index >= self.onset + LONGEST
        return index >= self.onset + self.delay + AFTER_ALARM

    def done(self, index: int) -> bool:
        """Whether nothing is left to hear after window ``index``."""
        if index + 1 < self.end:
            return False
        return self.delay is None or self.recovery is not None or index >= self.end + PATIENCE


def told(world: World, scenario: Scenario, *, seed: int, size: int = SIZE) -> Row:
    """One run of a scenario: its delay (None: never), channels, words, suspicions and recovery."""
    stream = scenario.build(world, seed, size)
    assert stream.onset is not None, f"{scenario.name}: has no shift; it belongs to the null figures"
    story = Story(stream.onset, stream.end if stream.end is not None else stream.onset + LONGEST)
    detector = fitted(world, stream.baseline, DEFAULT)
    state = detector.start()
    for index, window in enumerate(stream.windows):
        if scenario.group == "life" or not story.passes_over(index):
            facts = window_facts(window.features, index)
            state, verdict = detector.judge(
                state, window.features, window=facts, probe=None, word_name=in_clear
            )
            story.hear(index, verdict)
        if story.done(index):
            break
    return {
        "world": world.name,
        "scenario": scenario.name,
        "group": scenario.group,
        "goal": scenario.goal,
        "telling_words": list(scenario.words),
        "seed": seed,
        **_heard(story),
    }


def _heard(story: Story) -> Row:
    verdict = story.alarm
    heads = () if verdict is None else verdict.channels["heads"].heads
    return {
        "delay": story.delay,
        "early_alarms": story.early,
        "cleared_while_it_lasts": story.cleared_early,
        "recovery": story.recovery,
        "recovery_log_evidence": round(story.recovery_evidence, 2)
        if math.isfinite(story.recovery_evidence)
        else None,
        "channels": []
        if verdict is None
        else [name for name, channel in verdict.channels.items() if channel.alarm],
        "words": [] if verdict is None else [item.word for item in verdict.channels["tokens"].gained[:3]],
        "suspicions": [] if verdict is None else [item.name for item in verdict.suspicions],
        "severity": None if verdict is None else verdict.severity,
        "head": str(heads[0].head) if heads else None,
    }


def figures(runs: Iterable[Row]) -> list[Row]:
    """One row per scenario over its baselines."""
    grouped: dict[tuple[str, str], list[Row]] = {}
    for run in runs:
        grouped.setdefault((run["world"], run["scenario"]), []).append(run)
    return [_figure(group) for group in grouped.values()]


def _figure(runs: Sequence[Row]) -> Row:
    first = runs[0]
    recoveries = [run["recovery"] for run in runs if run["delay"] is not None]
    evidences = [run["recovery_log_evidence"] for run in runs if run["recovery_log_evidence"] is not None]
    median = middle([run["delay"] for run in runs])
    words = Counter(word for run in runs for word in run["words"])
    return {
        **{key: first[key] for key in ("world", "scenario", "group", "goal")},
        "baselines": len(runs),
        "median_delay": median,
        "reached": None if first["goal"] is None else median is not None and median <= first["goal"],
        "delays": [run["delay"] for run in runs],
        "early_alarms": sum(run["early_alarms"] for run in runs),
        "cleared_while_it_lasts": sum(run["cleared_while_it_lasts"] for run in runs),
        "channels": dict(Counter(name for run in runs for name in run["channels"])),
        "words": [word for word, _ in words.most_common(3)],
        "word_named": sum(bool({*run["words"]} & {*first["telling_words"]}) for run in runs)
        if first["telling_words"]
        else None,
        "suspicions": dict(Counter(name for run in runs for name in run["suspicions"])),
        "median_recovery": middle(recoveries) if recoveries else None,
        "slowest_recovery": worst(recoveries),
        "median_recovery_log_evidence": round(float(np.median(evidences)), 2) if evidences else None,
    }


def middle(values: Sequence[int | None]) -> float | None:
    """The median where None is later than everything; None if it is itself that late.

    >>> middle([1, None, 3]), middle([1, None]), middle([2, 3])
    (3.0, None, 2.5)
    """
    if not values:
        return None
    median = float(np.median([math.inf if value is None else value for value in values]))
    return median if math.isfinite(median) else None


def worst(values: Sequence[int | None]) -> int | None:
    """The largest; None if one never came, or there are none."""
    return None if None in values or not values else max(value for value in values if value is not None)
