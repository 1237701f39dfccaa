"""Episodes for the report's tests: judged from drawn features, so that every number can be known."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from monitor.analysis.heads.distance_profile import DISTANCE_BINS
from monitor.analysis.heads.roles import ROLES
from monitor.baselines.build import build_baseline
from monitor.live.episode_report import EpisodeSources, episode_report
from monitor.live.reporting import NO_EXAMPLES, Attributed
from monitor.records import STATISTICS, Baseline, Features, ProbeReading, SurveyedHeads, Verdict
from monitor.report.episode_data import EpisodeReport, Example
from tests.drift import synthetic
from tests.drift.synthetic import HEADS, LAYERS, draw_features, fit, identity, judge, reading
from tests.exporters import scenes

START = 1_790_000_100.0
METRICS = {
    "spearman": 0.31,
    "overlap_at_5": 0.42,
    "top_3_drop": 0.25,
    "samples": 6.0,
    "unconverged_share": 0.0,
}


def survey(seed: int, *, layers: int = LAYERS, heads: int = HEADS, samples: int = 50) -> SurveyedHeads:
    """Attention by distance that sums to 1, and roles within [0, 1]."""
    draw = np.random.default_rng(seed)
    shape = (layers, heads)
    raw = draw.random((*shape, len(DISTANCE_BINS))).astype(np.float32)
    return SurveyedHeads(
        samples=samples,
        bins=DISTANCE_BINS,
        distances=raw / raw.sum(axis=-1, keepdims=True),
        distances_error=np.full((*shape, len(DISTANCE_BINS)), 0.01, dtype=np.float32),
        role_names=ROLES,
        roles=draw.random((*shape, len(ROLES))).astype(np.float32),
        roles_error=np.full((*shape, len(ROLES)), 0.01, dtype=np.float32),
    )


@cache
def story(
    *,
    windows: int = 3,
    faulty: tuple[int, int] | None = None,
    probed: bool = True,
    attention: bool = True,
    samples: tuple[int, int] = (600, 200),
    prediction_shift: float = 0.8,
    minimum_effect: float = 0.2,
) -> tuple[Baseline, tuple[Verdict, ...], Features, ProbeReading | None]:
    """(baseline, verdicts, features of the windows in alarm, the probe's reading): drift from window 2 on.

    ``probed``: the baseline has a probe reading, and each window; ``attention``: the model's can be read;
    ``samples``: of the baseline, of a window.
    """
    rng = np.random.default_rng(8)
    shown = (lambda values: values) if attention else _without_attention
    baseline = build_baseline(
        shown(draw_features(rng, samples[0])),
        identity=identity(),
        statistics=synthetic.STATISTICS if attention else (),
        probe=shown(reading()) if probed else None,
        source="log",
        created=1.0,
    )
    if attention:
        baseline = replace(baseline, survey=survey(1, samples=150))
    baseline = replace(baseline, attribution={"spearman": 0.4, "overlap_at_5": 0.57})
    detector = fit(baseline, minimum_effect=minimum_effect)
    state = detector.start()
    verdicts, parts, probe = [], [], None
    for index in range(2 + windows):
        drifted = index >= 2
        features = shown(
            draw_features(
                rng,
                samples[1],
                trigger=0.2 * drifted,
                prediction_shift=prediction_shift * drifted,
                head_shift=1.5 * drifted,
            )
        )
        if probed:
            moved = reading(moved=faulty, by=2.0, weights_hash="bbbb") if drifted and faulty else reading()
            probe = shown(moved)
        state, verdict = judge(detector, state, features, index, probe=probe)
        start = START + 300.0 * index
        verdict = replace(
            verdict, start=start, end=start + 300.0, since_time=START + 600.0 if drifted else None
        )
        verdicts.append(verdict)
        if verdict.alarm:
            parts.append(features)
    return baseline, tuple(verdicts), Features.concatenate(parts), probe


def _without_attention(values):
    """Features or a reading of the probe of a model whose attention cannot be read."""
    bare = {"profile": np.zeros((len(values.profile), 0, 0, 0), dtype=np.float32)}
    if isinstance(values, Features):
        bare["importance"] = np.zeros((0, 0), dtype=np.float32)
        bare["rollout"] = np.zeros((len(values), 0), dtype=np.float32)
    return replace(values, **bare)


def report(**changes: object) -> EpisodeReport:
    """The episode of ``story``, as it stands after its last window."""
    return episode_report(replace(sources(), **changes)) if changes else _standing()


@cache
def _standing() -> EpisodeReport:
    return episode_report(sources())


def sources(**options: object) -> EpisodeSources:
    """What the report of a ``story`` with these options is made of."""
    baseline, verdicts, during, probe = story(**options)
    return EpisodeSources(
        verdict=verdicts[-1],
        baseline=baseline,
        during=during,
        made=START + 1500.0,
        survey=survey(2) if baseline.survey is not None else None,
        reading=probe,
        history=verdicts,
        attributed=Attributed(samples=6, metrics=METRICS, words={"film": 0.3, "cucumber": 0.9}),
        without_examples=NO_EXAMPLES,
        hidden_below=20,
    )


def example() -> Example:
    return Example(
        words=("the", None, "<i>film</i>", "was", "dull"),
        attribution=(0.01, 0.5, -0.2, 0.0, -0.8),
        attention=(0.1, 0.2, 0.4, 0.05, 0.25),
        label="negative",
        probability=0.93,
    )


@cache
def large() -> EpisodeReport:
    """A model of 12 x 12 heads with all ten statistics, every head moved, a full history."""
    rng = np.random.default_rng(3)
    features = [large_features(rng, count, shift) for count, shift in ((400, 0.0), (300, 0.1))]
    whole = build_baseline(
        features[0],
        identity=identity(layers=12, heads=12),
        statistics=STATISTICS,
        probe=None,
        source="live",
        created=START,
    )
    shape = {"layers": 12, "heads": 12}
    verdict = scenes.alarmed(96)
    history = [replace(scenes.quiet(n), alarm=n > 90) for n in range(96)]
    return episode_report(
        EpisodeSources(
            verdict=verdict,
            baseline=replace(whole, survey=survey(1, **shape)),
            during=features[1],
            made=START,
            survey=survey(2, **shape),
            history=[*history, verdict],
            attributed=Attributed(samples=6, metrics=METRICS, examples=(example(),) * 4),
        )
    )


def large_features(rng: np.random.Generator, count: int, shift: float) -> Features:
    small = synthetic.draw_features(rng, count)
    profile = rng.random((count, 12, 12, len(STATISTICS))).astype(np.float32) + np.float32(shift)
    return replace(small, profile=profile, importance=rng.random((12, 12)).astype(np.float32))
