"""One tick of the sidecar, job by job: pending samples -> features -> verdict -> one transaction.

A window moves ``closed -> profiled -> judged``; each arrow is one commit of the state file, and
everything before the commit can be repeated, so a crash at any point loses and doubles nothing.
Features remember the weights and the baseline that they were taken under, and are never judged
under others. All jobs that touch the model run on one thread, one after another.
"""

from __future__ import annotations

import json
import logging
import math
import secrets
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

import numpy as np

from monitor.analysis.heads.survey import HeadSurvey
from monitor.analysis.heads.survey_sums import SurveySums, survey_for_report
from monitor.baselines.file_format import baseline_bytes, save_baseline
from monitor.config.configuration import Config
from monitor.drift.detector import WindowFacts
from monitor.errors import HeadwatchError
from monitor.judging import Given, judge_given
from monitor.live import attribution_evidence, evidence, promotion
from monitor.live.episodes import Episode, EpisodeReporter
from monitor.live.in_force import BaselineInForce
from monitor.live.integrated_words import IntegratedWords
from monitor.live.learning import LiveBaseline
from monitor.live.new_normal import NewNormal
from monitor.live.reporting import Attributed, gained_words, shared_words
from monitor.live.unjudged import unjudged
from monitor.live.watched_model import WatchedModel
from monitor.live.window_figures import window_figures
from monitor.privacy import WordPrivacy
from monitor.reading.analyser import Analyser
from monitor.reading.integrated import top_words
from monitor.reading.stacking import stack
from monitor.records import (
    Baseline,
    Features,
    OutboxRecord,
    Sample,
    State,
    Verdict,
    WindowFigures,
)
from monitor.replay.source import resolve_source
from monitor.sampling import subsample
from monitor.state.rows import WindowRow
from monitor.state.store import StateStore

log = logging.getLogger("headwatch.cycle")

# Closed windows that may wait for the model; past that the oldest is given up and counted. It bounds
# the disk under lasting overload; a backlog after an outage or a crash must stay well below it.
MOST_WAITING = 500
# Learnt samples that get Integrated Gradients as the baseline is made: no verdict comes meanwhile.
MOST_AT_ONCE = 40
# What samples may still be dropped for once they are in the state file.
LATER_DROP_REASONS = ("unreadable", "overload", "expired")
# The share of a window's declared revisions at which the new one is taken to be rolled out.
ROLLED_OUT = 0.9
# Quiet windows whose attributions may yet belong to an alarm: its evidence began to rise in them.
RISING = 12


class Cycle:
    """Holds what one watched model needs between jobs; ``run_*`` methods are the jobs.

    ``load`` loads the model anew (used when its files change). ``sinks`` names the kinds of outbox
    records somebody will take. ``should_stop`` is asked between batches.
    """

    def __init__(
        self,
        *,
        config: Config,
        store: StateStore,
        load: Callable[[], Analyser],
        probe_texts: Sequence[str],
        privacy: WordPrivacy,
        sinks: frozenset[str],
        fetch_baseline: Callable[[str], bytes],
        clock: Callable[[], float],
        should_stop: Callable[[], bool],
    ) -> None:
        self.config = config
        self.model = WatchedModel(
            folder=resolve_source(config.model.source, config.model.revision),
            load=load,
            probe_texts=probe_texts,
        )
        self.learning = LiveBaseline(
            store=store, privacy=privacy, window=config.window, settings=config.baseline, clock=clock
        )
        self.standing = NewNormal(store=store, privacy=privacy, size=config.baseline.samples)
        self.verdict: Verdict | None = None
        self.profile: np.ndarray | None = None
        self.fidelity = float("nan")
        self.attribution: dict[str, float] = {}
        self.figures: WindowFigures | None = None
        self.dropped: Counter[str] = Counter()
        self.windows: Counter[str] = Counter()
        self.trouble = ""
        self._in_force = BaselineInForce(config=config, store=store, privacy=privacy, fetch=fetch_baseline)
        self._words = IntegratedWords(store, hashed=self.learning.hashed)
        self._store = store
        self._privacy = privacy
        self._sinks = sinks
        self._reporter = EpisodeReporter(store=store, standing=self.standing, clock=clock)
        self._clock = clock
        self._should_stop = should_stop
        self._rollout_declared = False
        self._state_id = store.get_meta("state_id") or secrets.token_hex(4)

    def start(self) -> None:
        """Take up baseline, detector and latest verdict where they stand."""
        self._store.set_meta("state_id", self._state_id)
        self._store.maintain()
        promotion.finish_turn(self._store)
        self._take_up()
        self._expire()
        if self.baseline is not None and self.learning.samples:
            self.learning.forget()
        newest = self._store.newest_verdict()
        if newest is not None and self.baseline is not None:
            verdict = Verdict.from_json(json.loads(newest))
            self.verdict = verdict if verdict.baseline == self._in_force.version else None
            self._reporter.resume(self.verdict)

    def reconfigure(self, config: Config, privacy: WordPrivacy) -> None:
        """Take new drift and privacy settings; evidence so far is kept."""
        self.config = self._in_force.config = config
        self._privacy = self._in_force.privacy = privacy
        self.learning.privacy = self.standing.privacy = privacy
        if self.baseline is not None:
            self._in_force.adopt(self.baseline, self.analyser.model.identity, self.analyser.model.statistics)

    @property
    def analyser(self) -> Analyser:
        """The replayed copy that is in memory."""
        return self.model.analyser

    @property
    def baseline(self) -> Baseline | None:
        """The baseline in force, or None while it is being learnt."""
        return self._in_force.baseline

    # --- jobs --------------------------------------------------------------------------------

    def run_profile(self) -> None:
        """Replay the samples of closed windows, keep their features, drop their text."""
        self._store.close_due_window()
        self._give_up_surplus()
        self._follow_model()
        for row in self._store.windows("closed"):
            # What was profiled before is judged first: it may be what this window is judged by.
            self._judge_waiting()
            if self._should_stop() or not self._profile(row):
                return

    def run_evaluation(self) -> None:
        """Judge profiled windows, then do what a user has asked for meanwhile."""
        self._judge_waiting()
        self._answer()

    def _judge_waiting(self) -> None:
        """Judge profiled windows in order; one commit each."""
        for row in self._store.windows("profiled"):
            if self._should_stop():
                return
            arrays = evidence.load_npz(self._store.load_features(row.index))
            features, survey = Features.from_arrays(arrays), SurveySums.from_arrays(arrays)
            if str(arrays["context"]) != self._context():
                self._pass_over(row, features)
            elif self.baseline is None:
                self._learn(row, features, survey)
            else:
                self._judge(row, features, survey)
            self.profile = features.profile.mean(axis=0) if len(features) else None
            differs = features.fidelity[:, 0] if len(features) else np.zeros(0)
            known = np.isfinite(differs)
            self.fidelity = 1 - float(differs[known].mean()) if known.any() else float("nan")

    def run_probe(self) -> None:
        """Re-run the fixed inputs: does the model itself still do what it did?"""
        self._follow_model()
        self.model.probe()

    def run_attribution(self) -> None:
        """Integrated Gradients of the newest window that waits; older ones are released unseen.

        One window a run, so that profiles never wait long for the thread; the text goes with it.
        """
        self._expire()
        due: dict[int, list[Sample]] = defaultdict(list)
        for index, sample in self._store.attribution_due():
            due[index].append(sample)
        for index in sorted(due)[:-1]:
            self._store.commit_attribution(index, outbox=())
        if not due:
            return
        self._attribute(max(due), due[max(due)])

    def run_maintenance(self) -> None:
        """Overwrite text that has waited too long, shrink the write-ahead log."""
        report = self._store.maintain()
        if report.texts_expired:
            self.dropped["expired"] += report.texts_expired
        log.info("maintenance: %s", report)

    # --- profiling ---------------------------------------------------------------------------

    def _profile(self, row: WindowRow) -> bool:
        """Whether the window was profiled to its end."""
        samples = self._store.window_samples(row.index)
        self._follow_revision(samples)
        learning = self.baseline is None
        if learning:
            samples = subsample(samples, self.learning.quota())
        survey = survey_for_report(self.config.analysis.scheduled)
        analysed = self.analyser.profile(
            samples,
            gradient=self.config.analysis.gradient_attribution,
            should_stop=self._should_stop,
            survey=survey,
        )
        if not analysed.complete:
            return False
        for sample, reason in analysed.refused:
            self.dropped["unreadable"] += 1
            log.info("sample %s cannot be analysed: %s", sample, reason)
        features = stack(analysed.analyses, like=self.analyser.model)
        stored = self.learning.without_clear_words(features) if learning else features
        chosen = subsample(samples, self.config.analysis.attribution.samples)
        self._store.store_features(
            row.index,
            evidence.npz(
                {
                    **stored.to_arrays(),
                    **({} if survey is None else SurveySums.of(survey).to_arrays()),
                    "context": np.array(self._context()),
                }
            ),
            attribution_ids=[sample.id for sample in chosen],
        )
        if learning:
            self.learning.note_words(features)
        return True

    def _attribute(self, index: int, samples: Sequence[Sample]) -> None:
        """Integrated Gradients of a subsample; the next verdict or the baseline counts its words."""
        survey = HeadSurvey(self.config.analysis.scheduled)
        attributions = self.analyser.attribute(samples, should_stop=self._should_stop, survey=survey)
        if self._should_stop():
            return
        words = top_words(attributions, self.config.analysis.top_words)
        if self.baseline is None:
            meta = dict(self._words.learn(words, self._context()))
            if attributions:
                meta |= self.learning.attributed(attribution_evidence.attribution_metrics(attributions))
            self._store.commit_attribution(index, outbox=(), meta=meta)
            return
        records, keep = [], dict[str, str]()
        if attributions:
            head_metrics = survey.metrics()
            self.attribution = {**attribution_evidence.attribution_metrics(attributions), **head_metrics}
            known = shared_words(self.baseline, self._privacy) | gained_words(self.verdict)
            public = attribution_evidence.public_words(attributions, known=known, privacy=self._privacy)
            prefix = f"{self.analyser.model.identity.name}/{self._in_force.version}"
            records = [
                attribution_evidence.attribution_record(
                    prefix,
                    index,
                    self._clock(),
                    attributions,
                    public,
                    head_metrics=head_metrics,
                    heads=survey.to_json() if head_metrics else None,
                )
            ]
            episode = self._episode()
            self._reporter.take(
                index,
                Attributed(
                    samples=len(attributions),
                    metrics=self.attribution,
                    words=public,
                    examples=episode.examples(self.analyser, samples, attributions, known=known),
                ),
            )
            newer, keep = self._reporter.attributed(episode, index)
            records += newer
        meta = {**self._words.take(words, self._context(), self._clock()), **keep}
        self._store.commit_attribution(index, outbox=self._wanted(records), meta=meta)

    def _context(self) -> str:
        """What features depend on besides their samples."""
        return f"{self.model.weights} {self._in_force.revision} {self._in_force.version}"

    def _give_up_surplus(self) -> None:
        """Under lasting overload the oldest windows go, counted, so that the newest are judged."""
        waiting = self._store.windows("closed")
        for row in waiting[: max(0, len(waiting) - MOST_WAITING)]:
            self.dropped["overload"] += self._store.give_up(row.index)

    # --- judging -----------------------------------------------------------------------------

    def _judge(self, row: WindowRow, features: Features, survey: SurveySums) -> None:
        force = self._in_force
        assert force.detector is not None
        assert force.state is not None
        if self.model.reading is None:
            self.model.probe()
        given = Given(
            features=features,
            facts=WindowFacts(index=row.index, start=row.start, end=row.last_moment, received=row.received),
            probe=self.model.reading,
            declared=self._rollout_declared,
            integrated=self._words.waiting(self._context()),
        )
        # Window numbers start anew with a new state file; episodes of the same baseline must not.
        state, verdict = judge_given(
            force.detector, force.state, given, word_name=self._privacy.name, stream=self._state_id
        )
        made = self._reporter.of_window(self._episode(), verdict, features, survey)
        records = evidence.verdict_records(
            verdict, self.verdict, features, force.detector.baseline, report=made.report
        )
        self._store.commit_verdict(
            row.index,
            json.dumps(verdict.to_json()),
            model_key=force.model_key,
            detector_state=evidence.npz(state.to_arrays()),
            outbox=self._wanted(records),
            keep_features=False,
            episode=self.standing.pack(features, self._context(), survey) if verdict.alarm else None,
            episode_over=not verdict.alarm,
            meta={**self._words.judged(self._context(), alarm=verdict.alarm), **made.to_keep()},
        )
        force.state = state
        if verdict.alarm:
            self.standing.add(row.index, features)
        else:
            self.standing.forget()
            self._reporter.forget(before=row.index - RISING)
        baseline = force.detector.baseline
        self.figures = window_figures(features, baseline, self._privacy.name) if len(features) else None
        self._note(verdict)

    def _episode(self) -> Episode:
        """What the report of an episode needs of this moment."""
        assert self.baseline is not None
        return Episode(
            baseline=self.baseline,
            verdict=self.verdict,
            reading=self.model.reading,
            context=self._context(),
            privacy=self._privacy,
            example_texts=self.config.privacy.example_texts,
        )

    def _pass_over(self, row: WindowRow, features: Features) -> None:
        """Model or baseline changed between profile and verdict: nothing fair can be said."""
        summary = "Not judged: the model or its baseline changed after this window was profiled."
        verdict = self._plain_verdict(row, features, "too_few_samples", summary)
        self._store.commit_verdict(
            row.index,
            json.dumps(verdict.to_json()),
            model_key="",
            detector_state=b"",
            outbox=(),
            keep_features=False,
        )
        log.warning("window %d: %s", row.index, summary)
        self.windows[verdict.state] += 1

    def _note(self, verdict: Verdict) -> None:
        self.verdict = verdict
        self.windows[verdict.state] += 1
        level = logging.WARNING if verdict.raised else logging.INFO
        log.log(level, "window %d: %s: %s", verdict.window, verdict.state, verdict.summary)

    # --- the new normal ----------------------------------------------------------------------

    def _answer(self) -> None:
        """Promote what stands in alarm to the baseline, where a user has asked for it."""
        request = promotion.asked(self._store)
        if request is None or self._should_stop():
            return
        try:
            done = promotion.promote(
                store=self._store,
                force=self._in_force,
                standing=self.standing,
                words=self._words,
                verdict=self.verdict,
                model=self.analyser.model,
                probe=self.model.probe,
                context=self._context(),
                created=self._clock(),
                wanted=self._wanted,
                last=self._reporter.of_end(self._episode, "accepted"),
                request=request,
            )
        except HeadwatchError as error:
            log.warning("not promoted: %s", error)
            self._store.set_metas(promotion.answering(request, promotion.Answer(problem=str(error))))
            return
        self.verdict = None
        log.warning("episode %s is accepted: baseline %s stands", done.episode, done.version)

    # --- learning ----------------------------------------------------------------------------

    def _learn(self, row: WindowRow, features: Features, survey: SurveySums) -> None:
        self.learning.belong_to(self._context())
        have = self.learning.samples + len(features)
        summary = f"learning the baseline: {have} of {self.learning.wanted} samples"
        verdict = self._plain_verdict(row, features, "learning", summary)
        self._store.commit_verdict(
            row.index,
            json.dumps(verdict.to_json()),
            model_key="",
            detector_state=b"",
            outbox=(),
            keep_features=len(features) > 0,
        )
        self.learning.add(features, survey)
        self._note(verdict)
        if self.learning.complete():
            self._finish_learning()

    def _finish_learning(self) -> None:
        self._attribute_learnt()
        model = self.analyser.model
        baseline = self.learning.frozen(
            identity=model.identity,
            statistics=model.statistics,
            probe=self.model.probe(),
            integrated=self._words.learnt(self._context()),
        )
        record = evidence.baseline_record(baseline, baseline_bytes(baseline))
        self._store.add_outbox(self._wanted([record]))
        save_baseline(baseline, self._in_force.path)
        self.learning.forget()
        self._store.set_metas(self._words.over())
        self._in_force.adopt(baseline, model.identity, model.statistics)
        log.info("baseline %s stands: %d samples", baseline.version, len(baseline.features))

    def _attribute_learnt(self) -> None:
        """Integrated Gradients of the newest learnt subsamples that wait: the baseline needs them."""
        due: dict[int, list[Sample]] = defaultdict(list)
        for index, sample in self._store.attribution_due():
            due[index].append(sample)
        room = MOST_AT_ONCE
        for index in sorted(due, reverse=True):
            room -= len(due[index])
            if room >= 0 and not self._should_stop():
                self._attribute(index, due[index])
            else:
                self._store.commit_attribution(index, outbox=())

    def _plain_verdict(self, row: WindowRow, features: Features, state: State, summary: str) -> Verdict:
        return unjudged(
            row,
            identity=self.analyser.model.identity,
            baseline=self._in_force.version,
            samples=len(features),
            state=state,
            summary=summary,
        )

    # --- following the model and its revision ------------------------------------------------

    def _take_up(self) -> None:
        self._in_force.take_up(self.analyser.model.identity, self.analyser.model.statistics)

    def _follow_model(self) -> None:
        """Load the model anew when its files changed; what waits is judged under the old one first.

        While the new files cannot be loaded or compared, nothing is judged: that must not look quiet.
        """
        self._judge_waiting()
        try:
            self.model.follow()
            self._in_force.check_fits(self.analyser.model.identity, self.analyser.model.statistics)
        except HeadwatchError as error:
            self.trouble = str(error)
            raise
        self.trouble = ""

    def _follow_revision(self, samples: Sequence[Sample]) -> None:
        """A revision that the traffic declares brings its own baseline; changing to it is no drift.

        While a window declares several, the rollout is under way and a changed model pages nobody.
        """
        declared = Counter(sample.revision for sample in samples if sample.revision)
        if not declared:
            self._rollout_declared = False
            return
        newest, count = declared.most_common(1)[0]
        before = self._in_force.revision
        if before == "":
            log.info("revision %s is taken for the one that the baseline was made under", newest)
            self._in_force.declare(newest)
        elif newest != before and count >= ROLLED_OUT * declared.total():
            log.warning("revision %s was declared after %s: it gets its own baseline", newest, before)
            self._close_episode(newest)
            self._in_force.drop_waiting(before=math.inf)
            self.learning.forget()
            self._in_force.declare(newest)
            self._take_up()
        self._rollout_declared = any(revision != self._in_force.revision for revision in declared)

    def _close_episode(self, revision: str) -> None:
        """An open episode ends with the baseline that it was found against."""
        if self.verdict is None or not self.verdict.alarm:
            return
        summary = f"Revision {revision} was declared; this episode ends with the former one's baseline."
        last = self._reporter.of_end(self._episode, "superseded")
        records = evidence.closing_records(self.verdict, summary, outcome="superseded", report=last.report())
        self._store.close_episode(outbox=self._wanted(records), meta={**self._words.over(), **last.to_keep()})
        self.standing.forget()
        self.verdict = None

    # --- records -----------------------------------------------------------------------------

    def _wanted(self, records: Sequence[OutboxRecord]) -> list[OutboxRecord]:
        return [record for record in records if record.kind in self._sinks]

    def _expire(self) -> None:
        """Drop words in clear early enough that none is left when the next maintenance is late."""
        schedule, retention = self.config.schedule, self.config.state.text_retention
        cutoff = self._clock() - max(60.0, retention - schedule.attribution - schedule.maintenance)
        self._words.expire(cutoff)
        self._in_force.drop_waiting(before=cutoff)
