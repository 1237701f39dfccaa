"""Samples to baseline: what ``baseline build``, ``backtest`` and the live sidecar share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Literal

from monitor.analysis.heads.survey_sums import SurveySums, survey_for_report
from monitor.baselines.build import SMALLEST, build_baseline
from monitor.errors import BaselineError
from monitor.live.attribution_evidence import attribution_metrics
from monitor.privacy import CLEAR, WordPrivacy
from monitor.reading.analyser import Analyser
from monitor.reading.integrated import top_words
from monitor.reading.stacking import stack
from monitor.records import Baseline, Features, Sample, SurveyedHeads
from monitor.sampling import subsample

NOTHING: Mapping[str, float] = MappingProxyType({})
ATTRIBUTIONS = 100
"""Samples of a log that get Integrated Gradients for its baseline: each costs some fifty passes."""


def baseline_from_features(
    features: Features,
    *,
    analyser: Analyser,
    probe_texts: Sequence[str],
    source: Literal["log", "live"],
    created: float,
    privacy: WordPrivacy | None = None,
    integrated: Sequence[tuple[str, ...]] = (),
    survey: SurveyedHeads | None = None,
    attribution: Mapping[str, float] = NOTHING,
) -> Baseline:
    """Freeze features with the probe's reading of the same model.

    ``integrated``: the top words by Integrated Gradients of a subsample; ``attribution``: what was
    measured of them; ``survey``: what a survey of the heads saw.
    ``privacy`` None keeps every word in clear: only for the user's own files on this machine.
    """
    return build_baseline(
        features,
        identity=analyser.model.identity,
        statistics=analyser.statistics,
        probe=analyser.probe(probe_texts) if probe_texts else None,
        source=source,
        created=created,
        word_keys=None if privacy is None else privacy.name,
        word_key_fingerprint=CLEAR if privacy is None else privacy.fingerprint,
        integrated=integrated,
        survey=survey,
        attribution=attribution,
    )


def baseline_from_samples(
    samples: Sequence[Sample],
    *,
    analyser: Analyser,
    probe_texts: Sequence[str],
    created: float,
    privacy: WordPrivacy | None = None,
    attributions: int = 0,
    on_progress: Callable[[int], None] | None = None,
) -> tuple[Baseline, tuple[tuple[str, str], ...]]:
    """Profile a log and freeze it; also gives (id, reason) of the samples that the model refused.

    ``attributions``: how many of its samples get Integrated Gradients.
    Raises BaselineError if too few samples are left.
    """
    survey = survey_for_report(analyser.settings.scheduled)
    analysed = analyser.profile(samples, on_progress=on_progress, survey=survey)
    if not analysed.analyses:
        why = f" (the first refused: {analysed.refused[0][1]})" if analysed.refused else ""
        raise BaselineError(
            f"baseline samples = 0{why}: must be at least {SMALLEST}; give a file with usable inputs"
        )
    attributed = analyser.attribute(subsample(samples, attributions))
    baseline = baseline_from_features(
        stack(analysed.analyses),
        analyser=analyser,
        probe_texts=probe_texts,
        source="log",
        created=created,
        privacy=privacy,
        integrated=top_words(attributed, analyser.settings.top_words),
        survey=None if survey is None else SurveySums.of(survey).record(),
        attribution=attribution_metrics(attributed) if attributed else NOTHING,
    )
    return baseline, analysed.refused
