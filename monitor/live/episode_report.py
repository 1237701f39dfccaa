"""The data of an episode's report, from what the sidecar (or a backtest) has at hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

import monitor
from monitor.drift.changes import changes, parts
from monitor.live.head_stories import SMALLEST_SD, Numbers, change, row, story, told
from monitor.live.reporting import Attributed
from monitor.records import (
    Baseline,
    Features,
    ProbeReading,
    SurveyedHeads,
    Verdict,
)
from monitor.report.episode_data import (
    Change,
    DrivingWord,
    EpisodeReport,
    Point,
    Table,
)

MOST_POINTS = 96
MOST_DRIVING = 10
SMALLEST_TOLD = 1e-3
CHANCE = 4.0
"""Standard errors that one of some thousand means does not reach by chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeSources:
    """All that a report is made of. ``verdict`` is the latest in alarm, ``during`` the samples since it rose.

    ``history``: verdicts of the windows before and since, oldest first. ``hidden_below``: requests that
    must share a word before it is shown; 0 where every word is.
    """

    verdict: Verdict
    baseline: Baseline
    during: Features
    made: float
    ended: float | None = None
    survey: SurveyedHeads | None = None
    reading: ProbeReading | None = None
    history: Sequence[Verdict] = ()
    attributed: Attributed = field(default_factory=Attributed)
    without_examples: str = ""
    hidden_below: int = 0


def episode_report(given: EpisodeSources) -> EpisodeReport:
    """Everything that the page shows, as numbers."""
    baseline, verdict = given.baseline, given.verdict
    before, during = baseline.features, given.during
    effects = mean_changes(during, before)
    if not effects.size:
        # A model whose attention cannot be read has words, predictions and attribution all the same.
        effects = np.zeros((0, 0, 1))
    largest = np.abs(effects).argmax(axis=-1)
    found = None if given.reading is None else changes(baseline.identity, given.reading.identity)
    identity = baseline.identity if given.reading is None else given.reading.identity
    importance = _shares(before.importance)[: len(effects)]
    return EpisodeReport(
        made=given.made,
        version=monitor.__version__,
        verdict=verdict,
        ended=given.ended,
        layers=effects.shape[0],
        heads=effects.shape[1],
        architecture=identity.architecture,
        weights=identity.weights_hash,
        changed_parts="" if found is None else parts(found),
        baseline_created=baseline.created,
        baseline_samples=len(before),
        baseline_span=_span(before.times),
        baseline_source=baseline.source,
        samples=len(during),
        windows=_windows(verdict, given.history),
        statistics=baseline.statistics,
        effects=_table(np.take_along_axis(effects, largest[..., None], axis=-1)[..., 0]),
        effect_of=tuple(tuple(baseline.statistics[one] for one in layer) for layer in largest),
        chance=chance(len(during), len(before)),
        probe=_probe(baseline, given.reading),
        importance=_table(importance),
        stories=tuple(
            story(
                head,
                verdict=verdict,
                baseline=baseline,
                during=during,
                survey=given.survey,
                importance=float(importance[head.layer, head.head]),
            )
            for head in told(verdict, effects, importance, least=chance(len(during), len(before)))
        ),
        history=_points(given.history),
        predictions=_predictions(baseline, during),
        inputs=_inputs(before, during),
        surveyed=(
            0 if baseline.survey is None else baseline.survey.samples,
            0 if given.survey is None else given.survey.samples,
        ),
        attributed=given.attributed.samples,
        attribution=_attribution(baseline, given.attributed),
        driving=tuple(
            DrivingWord(word=word, value=value)
            for word, value in sorted(given.attributed.words.items(), key=lambda pair: -pair[1])[
                :MOST_DRIVING
            ]
        ),
        examples=given.attributed.examples,
        without_examples="" if given.attributed.examples else given.without_examples,
        hidden_below=given.hidden_below,
    )


def mean_changes(during: Features, before: Features) -> Numbers:
    """(layer, head, statistic): change of the mean in the baseline's sd; 0 without samples."""
    if not len(during):
        return np.zeros(before.profile.shape[1:])
    spread = np.maximum(before.profile.std(axis=0, dtype=np.float64), SMALLEST_SD)
    change: Numbers = during.profile.mean(axis=0, dtype=np.float64) - before.profile.mean(
        axis=0, dtype=np.float64
    )
    return change / spread


def chance(samples: int, baseline_samples: int) -> float:
    """The change in sd that chance alone reaches in one of some thousand means."""
    return CHANCE * math.sqrt(1 / max(samples, 1) + 1 / max(baseline_samples, 1))


def _points(history: Sequence[Verdict]) -> tuple[Point, ...]:
    return tuple(
        Point(
            window=verdict.window,
            time=verdict.end,
            alarm=verdict.alarm,
            evidence={name: float(channel.evidence) for name, channel in verdict.channels.items()},
            limit={name: float(channel.limit) for name, channel in verdict.channels.items()},
        )
        for verdict in list(history)[-MOST_POINTS:]
        if verdict.channels
    )


def _windows(verdict: Verdict, history: Sequence[Verdict]) -> int:
    own = {item.window for item in history if item.alarm and item.episode == verdict.episode}
    return len(own | {verdict.window})


def _probe(baseline: Baseline, reading: ProbeReading | None) -> Table | None:
    """(layer, head): the largest change of a statistic on one probe input, in sd of baseline samples."""
    probe = baseline.probe
    if probe is None or reading is None or probe.inputs_hash != reading.inputs_hash:
        return None
    if probe.profile.shape != reading.profile.shape or not reading.profile.size:
        return None
    spread = np.maximum(baseline.features.profile.std(axis=0, dtype=np.float64), 1e-3)
    with np.errstate(invalid="ignore"):
        moved = np.abs(reading.profile.astype(np.float64) - probe.profile).max(axis=0) / spread
    return _table(np.nan_to_num(moved, nan=1e6, posinf=1e6).max(axis=-1))


def _predictions(baseline: Baseline, during: Features) -> tuple[Change, ...]:
    """How often each label is predicted, and how certain the model is."""
    before, after = baseline.features.prediction, during.prediction
    if not before.size or not after.size:
        return ()
    found = [change(name="confidence", before=_column(before, 0), after=_column(after, 0))]
    labels = baseline.identity.labels
    if labels and before.shape[1] == 2 + len(labels) and baseline.identity.task != "regression":
        chosen = [values[:, 2:].argmax(axis=1) for values in (before, after)]
        found += [
            Change(
                name=label, before=float((chosen[0] == one).mean()), after=float((chosen[1] == one).mean())
            )
            for one, label in enumerate(labels)
        ]
    return tuple(found)


def _inputs(before: Features, during: Features) -> tuple[Change, ...]:
    names = ("tokens", "unknown tokens", "cut short", "special tokens", "tokens per word",
             "capital letters", "punctuation")  # fmt: skip
    columns = [
        change(
            name=name,
            before=_plain(before.inputs, place),
            after=_plain(during.inputs, place),
        )
        for place, name in enumerate(names[: before.inputs.shape[1]])
    ]
    return tuple(item for item in columns if _tells(item))


def _tells(item: Change) -> bool:
    """Not what is the same in every sample, before and after."""
    moved = abs((item.after or 0.0) - (item.before or 0.0))
    return moved >= SMALLEST_TOLD or (item.spread or 0.0) >= SMALLEST_TOLD


def _plain(inputs: NDArray[np.float32], place: int) -> Numbers:
    """The lengths are kept as logarithms."""
    return np.exp(_column(inputs, place)) if place == 0 else _column(inputs, place)


def _column(values: NDArray[np.float32], place: int) -> Numbers:
    column: Numbers = values[:, place].astype(np.float64)
    return column


ATTRIBUTION = (
    "overlap_at_5",
    "spearman",
    "gradient_times_input_spearman",
    "integrated_gradients_comprehensiveness",
    "integrated_gradients_sufficiency",
    "rollout_comprehensiveness",
    "top_3_drop",
    "top_3_flips",
    "unconverged_share",
)


def _attribution(baseline: Baseline, attributed: Attributed) -> tuple[Change, ...]:
    before, after = baseline.attribution, attributed.metrics
    return tuple(
        Change(name=name, before=before.get(name), after=after.get(name))
        for name in ATTRIBUTION
        if name in before or name in after
    )


def _shares(importance: NDArray[np.float32]) -> Numbers:
    total = float(importance.sum(dtype=np.float64))
    if total <= 0 or not math.isfinite(total):
        return np.full(importance.shape, 1.0 / max(importance.size, 1))
    return importance.astype(np.float64) / total


def _span(times: Numbers) -> tuple[float, float] | None:
    known = times[times > 1e8]
    return (float(known.min()), float(known.max())) if len(known) else None


def _table(values: Numbers) -> Table:
    return tuple(map(row, values))
