"""The reports of the episode that stands: drawn whenever there is something new to tell of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from monitor.analysis.heads.survey_sums import SurveySums
from monitor.errors import InputError
from monitor.live import evidence
from monitor.live.episode_report import MOST_POINTS, EpisodeSources, episode_report
from monitor.live.new_normal import NewNormal
from monitor.live.reporting import (
    NO_EXAMPLES,
    NONE_YET,
    REPORT,
    Attributed,
    EpisodeAttributions,
    examples,
    gained_words,
    kept_report,
    shown_in,
)
from monitor.privacy import WordPrivacy
from monitor.reading.analyser import Analyser
from monitor.records import Attribution, Baseline, Features, OutboxRecord, ProbeReading, Sample, Verdict
from monitor.report.episode_data import EpisodeReport, Example, Outcome
from monitor.state.store import StateStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """What is known at this moment: ``verdict`` is the newest one, ``context`` that of its features."""

    baseline: Baseline
    verdict: Verdict | None
    reading: ProbeReading | None
    context: str
    privacy: WordPrivacy
    example_texts: bool

    def examples(
        self,
        analyser: Analyser,
        samples: Sequence[Sample],
        attributions: Sequence[Attribution],
        *,
        known: frozenset[str],
    ) -> tuple[Example, ...]:
        """None unless the user has asked for them: an example is a request's text."""
        if not self.example_texts:
            return ()
        encoded, _ = analyser.encode(samples)
        return examples(
            attributions,
            {samples[place].id: row for place, row in encoded.items()},
            known=known,
            telling=gained_words(self.verdict),
            privacy=self.privacy,
        )


class WindowReport:
    """The report of one window's verdict, made when it is first asked for."""

    def __init__(self, make: Callable[[], EpisodeReport | None]) -> None:
        self._make = make
        self._made: EpisodeReport | None = None

    def report(self) -> EpisodeReport | None:
        """The report; None where nothing of the episode was kept."""
        if self._made is None:
            self._made = self._make()
        return self._made

    def to_keep(self) -> dict[str, str]:
        """What to commit beside the verdict; nothing where nobody asked."""
        return kept_report([] if self._made is None else [self._made])


class EpisodeReporter:
    """Holds what was attributed; what else a report is made of is asked for when it is made."""

    def __init__(self, *, store: StateStore, standing: NewNormal, clock: Callable[[], float]) -> None:
        self._store = store
        self._standing = standing
        self._clock = clock
        self._attributions = EpisodeAttributions()

    def take(self, window: int, attributed: Attributed) -> None:
        """A window was attributed."""
        self._attributions.add(window, attributed)

    def forget(self, *, before: int) -> None:
        """No alarm stands that could have begun before this window."""
        self._attributions.forget(before=before)

    def of_window(
        self, episode: Episode, verdict: Verdict, features: Features, survey: SurveySums
    ) -> WindowReport:
        """Of the episode that ``verdict`` finds or closes; its window is not among those that are kept."""
        return WindowReport(lambda: self._report(episode, verdict, features, survey))

    def of_end(self, episode: Callable[[], Episode], outcome: Outcome) -> WindowReport:
        """Of the episode that stands, as it stood, for it ends outside a window."""

        def make() -> EpisodeReport | None:
            ending = episode()
            verdict = ending.verdict
            made = None if verdict is None else self._report(ending, verdict, None, SurveySums())
            return None if made is None else replace(made, ended=made.verdict.end, outcome=outcome)

        return WindowReport(make)

    def resume(self, verdict: Verdict | None) -> None:
        """After a restart: what the kept report of the standing episode shows of its attribution."""
        kept = self._store.get_meta(REPORT)
        if kept is None or verdict is None or not verdict.alarm:
            return
        try:
            report = EpisodeReport.from_json(json.loads(kept))
        except InputError:  # of another version: the next attributed window begins anew
            return
        if report.verdict.episode == verdict.episode and report.ended is None:
            self._attributions.add(verdict.since or 0, shown_in(report))

    def attributed(self, episode: Episode, window: int) -> tuple[list[OutboxRecord], dict[str, str]]:
        """A newer report of the standing episode, where a window since the change was attributed."""
        verdict = episode.verdict
        if verdict is None or not verdict.alarm or window < (verdict.since or 0):
            return [], {}
        report = self._report(episode, verdict, None, SurveySums())
        if report is None:
            return [], {}
        return [evidence.attributed_record(verdict, window, self._clock(), report)], kept_report([report])

    def _report(
        self, episode: Episode, verdict: Verdict, features: Features | None, survey: SurveySums
    ) -> EpisodeReport | None:
        told = verdict if verdict.alarm else episode.verdict
        during, surveyed = self._standing.features(episode.context), self._standing.survey(episode.context)
        if verdict.alarm and features is not None:
            during = features if during is None else Features.concatenate([during, features])
            surveyed = surveyed.merge(survey)
        if told is None or during is None:
            return None
        earlier = self._store.verdicts(verdict.window - MOST_POINTS, limit=MOST_POINTS)
        history = [Verdict.from_json(json.loads(text)) for text in earlier]
        attributed = self._attributions.since(told.since or 0)
        if not episode.example_texts:  # they may have been asked for when they were taken
            attributed = replace(attributed, examples=())
        return episode_report(
            EpisodeSources(
                verdict=told,
                baseline=episode.baseline,
                during=during,
                made=self._clock(),
                ended=None if verdict.alarm else verdict.end,
                survey=surveyed.record(),
                reading=episode.reading,
                history=[*(item for item in history if item.window != verdict.window), verdict],
                attributed=attributed,
                without_examples=NONE_YET if episode.example_texts else NO_EXAMPLES,
                hidden_below=episode.privacy.minimum_requests,
            )
        )
