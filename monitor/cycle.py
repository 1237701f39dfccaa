"""One tick of the sidecar, job by job: pending samples -> features -> verdict -> one transaction.

A window moves ``closed -> profiled -> judged``; each arrow is one commit of the state file, and
everything before the commit can be repeated, so a crash at any point loses and doubles nothing.
All jobs that touch the model run on one thread, one after another; the app sees to that.
"""

from __future__ import annotations

import json
import logging
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from monitor import evidence
from monitor.analyse import Analyser, stack
from monitor.baseline import baseline_bytes, build_baseline, check_fits, load_baseline, save_baseline
from monitor.config.configuration import Config
from monitor.drift.detector import Detector, DetectorState, WindowFacts
from monitor.drift.settings import mean_windows_between_false_alarms
from monitor.errors import BaselineError, ModelError
from monitor.live_baseline import LiveBaseline
from monitor.privacy import WordPrivacy
from monitor.records import Attribution, Baseline, Features, OutboxRecord, ProbeReading, Sample, Verdict
from monitor.replay.weights import weights_hash, weights_stamp
from monitor.sampling import bottom_k
from monitor.state.rows import WindowRow
from monitor.state.store import StateStore

log = logging.getLogger("headwatch.cycle")

# Differs from the window's own key, so that the subsample is no function of what the window kept.
SUBSAMPLE_KEY = b"headwatch:subset"


class Cycle:
    """Holds what one watched model needs between jobs; ``run_*`` methods are the jobs.

    ``load`` loads the model anew (used when its weights change on disk). ``sinks`` names the kinds
    of outbox records somebody will take. ``should_stop`` is asked between batches.
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
        self.analyser = load()
        self.baseline: Baseline | None = None
        self.verdict: Verdict | None = None
        self.profile: np.ndarray | None = None
        self.learning = LiveBaseline(
            store=store, privacy=privacy, window=config.window, settings=config.baseline, clock=clock
        )
        self.fidelity = float("nan")
        self.attribution: dict[str, float] = {}
        self.refused: Counter[str] = Counter()
        self.windows: Counter[str] = Counter()
        self._store = store
        self._load = load
        self._probe_texts = probe_texts
        self._privacy = privacy
        self._sinks = sinks
        self._fetch_baseline = fetch_baseline
        self._clock = clock
        self._should_stop = should_stop
        self._stamp = weights_stamp(config.model.source)
        self._reading: ProbeReading | None = None
        self._detector: Detector | None = None
        self._state: DetectorState | None = None
        self._rollout_declared = False

    def start(self) -> None:
        """Take up the baseline and the detector's state where they stand."""
        self._adopt(self._standing_baseline())
        if self.baseline is not None and self.learning.samples:
            self.learning.forget()

    def reconfigure(self, config: Config) -> None:
        """Take new drift and privacy settings; evidence so far is kept."""
        self.config = config
        self._adopt(self.baseline)

    # --- what the operations endpoints show -------------------------------------------------

    @property
    def baseline_path(self) -> Path:
        """Where the baseline stands: as configured, else beside the state file."""
        configured = self.config.baseline.file
        path = Path(configured) if configured else Path(self.config.state.file).with_suffix(".baseline")
        revision, first = self._revisions()
        if revision == first:
            return path
        safe = re.sub(r"[^A-Za-z0-9._-]", "_", revision)
        return path.with_name(f"{path.stem}.{safe}{path.suffix}")

    # --- jobs --------------------------------------------------------------------------------

    def run_profile(self) -> None:
        """Replay the samples of closed windows, keep their features, drop their text."""
        self._store.close_due_window()
        for row in self._store.windows("closed"):
            self._follow_weights()
            samples = self._store.window_samples(row.index)
            self._follow_revision(samples)
            learning = self.baseline is None
            if learning:
                samples = _uniform(samples, self.learning.quota())
            analysed = self.analyser.profile(
                samples,
                gradient=self.config.analysis.gradient_attribution,
                should_stop=self._should_stop,
            )
            if not analysed.complete:
                return
            for sample, reason in analysed.refused:
                self.refused["unreadable"] += 1
                log.info("sample %s cannot be analysed: %s", sample, reason)
            features = stack(analysed.analyses)
            if learning:
                features = self.learning.without_clear_words(features)
            self._store.store_features(
                row.index,
                evidence.npz(features.to_arrays()),
                attribution_ids=() if learning else self._attribution_ids(samples),
            )

    def run_evaluation(self) -> None:
        """Judge profiled windows in order; one commit each."""
        for row in self._store.windows("profiled"):
            if self._should_stop():
                return
            features = Features.from_arrays(evidence.load_npz(self._store.load_features(row.index)))
            if self.baseline is None:
                self._learn(row, features)
            else:
                self._judge(row, features)
            self.profile = features.profile.mean(axis=0) if len(features) else None
            differs = features.fidelity[:, 0]
            known = np.isfinite(differs)
            self.fidelity = 1 - float(differs[known].mean()) if known.any() else float("nan")

    def run_probe(self) -> None:
        """Re-run the fixed inputs: does the model itself still do what it did?"""
        self._follow_weights()
        self._reading = self.analyser.probe(self._probe_texts)

    def run_attribution(self) -> None:
        """Integrated Gradients for the oldest window that waits; its text goes with the commit.

        One window a run, so that profiles never wait long for the thread.
        """
        due = self._store.attribution_due()
        if not due or self._should_stop():
            return
        index = due[0][0]
        attributions = self.analyser.attribute([sample for window, sample in due if window == index])
        self.attribution = evidence.attribution_metrics(attributions)
        record = evidence.attribution_record(
            self._prefix(), index, self._clock(), attributions, self._public_words(attributions)
        )
        self._store.commit_attribution(index, outbox=self._wanted([record]))

    def run_maintenance(self) -> None:
        """Overwrite text that has waited too long, shrink the write-ahead log."""
        report = self._store.maintain()
        log.info("maintenance: %s", report)

    # --- judging -----------------------------------------------------------------------------

    def _judge(self, row: WindowRow, features: Features) -> None:
        assert self.baseline is not None and self._detector is not None and self._state is not None
        if self._reading is None:
            self.run_probe()
        state, verdict = self._detector.judge(
            self._state,
            features,
            window=WindowFacts(index=row.index, start=row.start, end=row.last_moment, received=row.received),
            probe=self._comparable_reading(),
            declared=self._rollout_declared,
            word_name=self._privacy.name,
        )
        self._store.commit_verdict(
            row.index,
            _json(verdict),
            model_key=self._model_key(),
            detector_state=evidence.npz(state.to_arrays()),
            outbox=self._wanted(self._records(verdict, features)),
            keep_features=False,
        )
        self._state = state
        self._note(verdict)

    def _records(self, verdict: Verdict, features: Features) -> list[OutboxRecord]:
        assert self.baseline is not None
        records = [evidence.window_record(verdict, features)]
        widened = any(c.raised for c in verdict.channels.values()) and not verdict.raised
        for event, phase, happened in (
            ("raised", "opened", verdict.raised),
            ("widened", "opened", widened),
            ("cleared", "closed", verdict.cleared),
        ):
            if happened:
                records.append(evidence.episode_record(verdict, phase, features, self.baseline))
                records.append(evidence.notification_record(verdict, event))
        return records

    def _note(self, verdict: Verdict) -> None:
        self.verdict = verdict
        self.windows[verdict.state] += 1
        level = logging.WARNING if verdict.raised else logging.INFO
        log.log(level, "window %d: %s: %s", verdict.window, verdict.state, verdict.summary)

    # --- learning ----------------------------------------------------------------------------

    def _learn(self, row: WindowRow, features: Features) -> None:
        have = self.learning.samples + len(features)
        identity = self.analyser.model.identity
        verdict = Verdict(
            model=identity.name,
            revision=identity.revision,
            baseline="",
            window=row.index,
            start=row.start,
            end=row.last_moment,
            samples=len(features),
            received=row.received,
            state="learning",
            alarm=False,
            raised=False,
            cleared=False,
            episode=None,
            causes=(),
            severity=None,
            since=None,
            since_time=None,
            evidence=0.0,
            limit=0.0,
            channels={},
            summary=f"learning the baseline: {have} of {self.learning.wanted} samples",
        )
        self._store.commit_verdict(
            row.index,
            _json(verdict),
            model_key="",
            detector_state=b"",
            outbox=(),
            keep_features=True,
        )
        self.learning.add(features)
        self._note(verdict)
        if self.learning.complete():
            self._finish_learning()

    def _finish_learning(self) -> None:
        baseline = build_baseline(
            self.learning.features(),
            identity=self.analyser.model.identity,
            statistics=self.analyser.model.statistics,
            probe=self.analyser.probe(self._probe_texts),
            source="live",
            created=self._clock(),
            word_keys=self._privacy.name,
            word_key_fingerprint=self._privacy.fingerprint,
        )
        record = evidence.baseline_record(baseline, baseline_bytes(baseline))
        self._store.add_outbox(self._wanted([record]))
        save_baseline(baseline, self.baseline_path)
        self.learning.forget()
        self._adopt(baseline)
        log.info("baseline %s stands: %d samples", baseline.version, len(baseline.features))

    # --- the baseline in force ---------------------------------------------------------------

    def _standing_baseline(self) -> Baseline | None:
        source, path = self.config.baseline.source, self.baseline_path
        if source == "registry" and not path.exists():
            path.write_bytes(self._fetch_baseline(self.analyser.model.identity.name))
        if source == "file" and not path.exists():
            raise BaselineError(
                f"baseline.file = {path}: no such file; build it with `headwatch baseline build`"
                " or set baseline.from to live"
            )
        return load_baseline(path) if path.exists() else None

    def _adopt(self, baseline: Baseline | None) -> None:
        if baseline is None:
            return
        check_fits(baseline, self.analyser.model.identity, self.analyser.model.statistics)
        mean_windows = mean_windows_between_false_alarms(self.config.drift, self.config.window.duration)
        self.baseline = baseline
        self._detector = Detector.fit(
            baseline,
            self.config.drift,
            mean_windows=mean_windows,
            unseen_count=self._privacy.unseen_count(baseline.word_key_fingerprint),
        )
        saved = self._store.detector_state(self._model_key())
        self._state = DetectorState.from_arrays(evidence.load_npz(saved)) if saved else self._detector.start()

    def _comparable_reading(self) -> ProbeReading | None:
        reference = self.baseline.probe if self.baseline else None
        if reference is None or self._reading is None:
            return None
        return self._reading if reference.inputs_hash == self._reading.inputs_hash else None

    def _follow_weights(self) -> None:
        """Load the model anew when its files changed; a half-written file is tried again later."""
        source = self.config.model.source
        stamp = weights_stamp(source)
        if stamp == self._stamp:
            return
        try:
            if weights_hash(source) != self.analyser.model.identity.weights_hash:
                log.warning("model.source = %s: the weights changed on disk; loading them", source)
                self.analyser = self._load()
                self._reading = self.analyser.probe(self._probe_texts)
        except ModelError as error:
            log.error("the changed model cannot be loaded, the former one stays: %s", error)
            return
        self._stamp = stamp

    def _follow_revision(self, samples: Sequence[Sample]) -> None:
        """A revision that the traffic declares brings its own baseline; changing to it is no drift.

        While only some of a window's samples declare another one, the rollout is under way.
        """
        declared = Counter(sample.revision for sample in samples if sample.revision)
        if not declared:
            self._rollout_declared = False
            return
        revision, _ = self._revisions()
        newest = declared.most_common(1)[0][0]
        if revision == "":
            self._store.set_meta("revisions", json.dumps([newest, newest]))
        elif newest != revision:
            log.warning("revision %s was declared after %s: it gets its own baseline", newest, revision)
            self._store.set_meta("revisions", json.dumps([newest, self._revisions()[1]]))
            self.learning.forget()
            self.baseline = self._detector = self._state = None
            standing = load_baseline(self.baseline_path) if self.baseline_path.exists() else None
            self._adopt(standing)
        self._rollout_declared = len(declared) > 1

    def _revisions(self) -> tuple[str, str]:
        """The revision the traffic declares now, and the first it ever did; empty while none."""
        stored = self._store.get_meta("revisions")
        current, first = json.loads(stored) if stored else ("", "")
        return current, first

    def _model_key(self) -> str:
        assert self.baseline is not None
        identity = self.baseline.identity
        return f"{identity.name}:{identity.revision}:{self.baseline.version}"

    def _prefix(self) -> str:
        name = self.analyser.model.identity.name
        return f"{name}/{self.baseline.version if self.baseline else 'learning'}"

    def _wanted(self, records: Sequence[OutboxRecord]) -> list[OutboxRecord]:
        return [record for record in records if record.kind in self._sinks]

    def _attribution_ids(self, samples: Sequence[Sample]) -> list[str]:
        chosen = _uniform(samples, self.config.analysis.attribution.samples)
        return [sample.id for sample in chosen]

    # --- privacy -----------------------------------------------------------------------------

    def _public_words(self, attributions: Sequence[Attribution]) -> dict[str, float]:
        counts: Counter[str] = Counter()
        totals: dict[str, float] = defaultdict(float)
        for item in attributions:
            for word, value in zip(item.words, item.word_values, strict=True):
                counts[word] += 1
                totals[word] += abs(value)
        known = self.baseline.words if self.baseline else {}
        return {
            word: totals[word] / counts[word]
            for word in totals
            if word in known or self._privacy.name(word, counts[word]) == word
        }


def _uniform(samples: Sequence[Sample], size: int) -> list[Sample]:
    """A repeatable uniform subsample, in the order of ``samples``."""
    kept = bottom_k((sample.id for sample in samples), key=SUBSAMPLE_KEY, size=size).ids
    return [sample for sample in samples if sample.id in kept]


def _json(verdict: Verdict) -> str:
    return json.dumps(verdict.to_json())
