"""The report of an episode that a backtest found: its windows are read once more, for what only it shows."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence

from monitor.analysis.heads.survey_sums import SurveySums, survey_for_report
from monitor.commands.progress import progress
from monitor.commands.references import Prepared
from monitor.live.attribution_evidence import attribution_metrics, public_words
from monitor.live.episode_report import EpisodeSources, episode_report
from monitor.live.reporting import Attributed, examples, gained_words, shared_words
from monitor.privacy import WordPrivacy
from monitor.reading.analyser import Analyser
from monitor.reading.stacking import stack
from monitor.records import Baseline, Sample, Verdict
from monitor.report.episode_data import EpisodeReport, Example
from monitor.sampling import subsample

MOST_READ = 600
ATTRIBUTED = 24
WITHOUT_TEXTS = (
    "None were asked for. `headwatch backtest --report FILE --report-texts` shows some of the log, in clear."
)


def first_episode(verdicts: Sequence[Verdict]) -> tuple[Verdict, ...]:
    """The windows in alarm of the first episode of a log; none where there is none."""
    first = next((verdict.episode for verdict in verdicts if verdict.alarm), None)
    return tuple(verdict for verdict in verdicts if verdict.alarm and verdict.episode == first)


def backtest_report(
    samples: Sequence[Sample],
    verdicts: Sequence[Verdict],
    *,
    window: int,
    analyser: Analyser,
    prepared: Prepared,
    baseline: Baseline,
    texts: bool,
) -> EpisodeReport | None:
    """The first episode of a log as it stood when it was over, or at the log's end; None without one.

    ``texts``: show a few inputs, in clear. Words in clear need as many requests as a sidecar asks by default.
    """
    episode = first_episode(verdicts)
    if not episode:
        return None
    last = episode[-1]
    ended = next((one.end for one in verdicts if one.cleared and one.window > last.window), None)
    own = [place for one in episode for place in range(one.window * window, (one.window + 1) * window)]
    # Named by their place: a log may repeat its ids.
    named = [dataclasses.replace(samples[place], id=str(place)) for place in own if place < len(samples)]
    chosen = subsample(named, MOST_READ)
    survey = survey_for_report(analyser.settings.scheduled)
    with progress("report", len(chosen) + ATTRIBUTED) as done:
        analysed = analyser.profile(chosen, survey=survey, on_progress=done)
        attributed = _attributed(chosen, last, analyser, baseline, texts=texts)
    privacy = WordPrivacy(key=bytes(32))
    return episode_report(
        EpisodeSources(
            verdict=last,
            baseline=baseline,
            during=stack(analysed.analyses, like=analyser.model),
            made=time.time(),
            ended=ended,
            survey=None if survey is None else SurveySums.of(survey).record(),
            reading=prepared.probe,
            history=verdicts,
            attributed=attributed,
            without_examples=WITHOUT_TEXTS,
            hidden_below=privacy.minimum_requests,
        )
    )


def _attributed(
    samples: Sequence[Sample], verdict: Verdict, analyser: Analyser, baseline: Baseline, *, texts: bool
) -> Attributed:
    """Integrated Gradients of a few of them: enough for means, few enough to wait for."""
    chosen = subsample(samples, ATTRIBUTED)
    attributions = analyser.attribute(chosen)
    if not attributions:
        return Attributed()
    privacy = WordPrivacy(key=bytes(32))
    gained = gained_words(verdict)
    known = shared_words(baseline, privacy) | gained
    found: tuple[Example, ...] = ()
    if texts:
        encoded, _ = analyser.encode(chosen)
        rows = {chosen[place].id: row for place, row in encoded.items()}
        every = frozenset(word for item in attributions for word in item.words)
        found = examples(attributions, rows, known=every, telling=gained, privacy=privacy)
    return Attributed(
        samples=len(attributions),
        metrics=attribution_metrics(attributions),
        words=public_words(attributions, known=known, privacy=privacy),
        examples=found,
    )
