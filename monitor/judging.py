"""The one step from a window's features to its verdict, which the sidecar and ``backtest`` share.

Equal ``Given``s in equal order give equal verdicts, to the last bit, whoever asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from monitor.drift.detector import Detector, WindowFacts
from monitor.drift.state import DetectorState
from monitor.privacy import WordName
from monitor.records import Features, ProbeReading, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """All that a verdict is made of besides the detector, its state and the rules for words.

    ``probe``: the newest reading. ``declared``: a rollout is under way. ``integrated``: per sample
    attributed since the last verdict, its top words by Integrated Gradients.
    """

    features: Features
    facts: WindowFacts
    probe: ProbeReading | None = None
    declared: bool = False
    integrated: tuple[tuple[str, ...], ...] = ()


def judge_given(
    detector: Detector, state: DetectorState, given: Given, *, word_name: WordName, stream: str = ""
) -> tuple[DetectorState, Verdict]:
    """The state and the verdict after one window.

    ``stream`` tells one run of window numbers from another: it ends the names of episodes.
    """
    state, verdict = detector.judge(
        state,
        given.features,
        window=given.facts,
        probe=given.probe,
        declared=given.declared,
        word_name=word_name,
        integrated=given.integrated,
    )
    if verdict.episode is not None and stream:
        verdict = replace(verdict, episode=f"{verdict.episode}-{stream}")
    return state, verdict


def judge_all(
    detector: Detector,
    windows: Iterable[Given],
    *,
    word_name: WordName,
    state: DetectorState | None = None,
    stream: str = "",
) -> Iterator[tuple[DetectorState, Verdict]]:
    """Windows one after the other, each judged with the state that the one before left."""
    current = detector.start() if state is None else state
    for given in windows:
        current, verdict = judge_given(detector, current, given, word_name=word_name, stream=stream)
        yield current, verdict
