"""What one watched model needs between the jobs: the model, its baseline, the newest verdict, the counts."""

from __future__ import annotations

import json
import logging
import secrets
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from monitor.config.configuration import Config
from monitor.live import promotion
from monitor.live.episodes import Episode, EpisodeReporter
from monitor.live.in_force import BaselineInForce
from monitor.live.integrated_words import IntegratedWords
from monitor.live.learning import LiveBaseline
from monitor.live.new_normal import NewNormal
from monitor.live.unjudged import unjudged
from monitor.live.watched_model import WatchedModel
from monitor.privacy import WordPrivacy
from monitor.reading.analyser import Analyser
from monitor.records import (
    Baseline,
    Features,
    OutboxRecord,
    State,
    Verdict,
    WindowFigures,
)
from monitor.replay.source import resolve_source
from monitor.state.rows import WindowRow
from monitor.state.store import StateStore

log = logging.getLogger("headwatch.cycle")

# What samples may still be dropped for once they are in the state file.
LATER_DROP_REASONS = ("unreadable", "overload", "expired")


class Cycle:
    """Holds what the jobs in this folder share; they are functions of it.

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
        self.in_force = BaselineInForce(config=config, store=store, privacy=privacy, fetch=fetch_baseline)
        self.words = IntegratedWords(store, hashed=self.learning.hashed)
        self.store = store
        self.privacy = privacy
        self.sinks = sinks
        self.reporter = EpisodeReporter(store=store, standing=self.standing, clock=clock)
        self.clock = clock
        self.should_stop = should_stop
        self.rollout_declared = False
        self.state_id = store.get_meta("state_id") or secrets.token_hex(4)

    def start(self) -> None:
        """Take up baseline, detector and latest verdict where they stand."""
        self.store.set_meta("state_id", self.state_id)
        self.store.maintain()
        promotion.finish_turn(self.store)
        self.take_up()
        self.expire()
        if self.baseline is not None and self.learning.samples:
            self.learning.forget()
        newest = self.store.newest_verdict()
        if newest is not None and self.baseline is not None:
            verdict = Verdict.from_json(json.loads(newest))
            self.verdict = verdict if verdict.baseline == self.in_force.version else None
            self.reporter.resume(self.verdict)

    def reconfigure(self, config: Config, privacy: WordPrivacy) -> None:
        """Take new drift and privacy settings; evidence so far is kept."""
        self.config = self.in_force.config = config
        self.privacy = self.in_force.privacy = privacy
        self.learning.privacy = self.standing.privacy = privacy
        if self.baseline is not None:
            self.in_force.adopt(self.baseline, self.analyser.model.identity, self.analyser.model.statistics)

    @property
    def analyser(self) -> Analyser:
        """The replayed copy that is in memory."""
        return self.model.analyser

    @property
    def baseline(self) -> Baseline | None:
        """The baseline in force, or None while it is being learnt."""
        return self.in_force.baseline

    def context(self) -> str:
        """What features depend on besides their samples."""
        return f"{self.model.weights} {self.in_force.revision} {self.in_force.version}"

    def episode(self) -> Episode:
        """What the report of an episode needs of this moment."""
        assert self.baseline is not None
        return Episode(
            baseline=self.baseline,
            verdict=self.verdict,
            reading=self.model.reading,
            context=self.context(),
            privacy=self.privacy,
            example_texts=self.config.privacy.example_texts,
        )

    def note(self, verdict: Verdict) -> None:
        """Make ``verdict`` the newest one; count and log it."""
        self.verdict = verdict
        self.windows[verdict.state] += 1
        level = logging.WARNING if verdict.raised else logging.INFO
        log.log(level, "window %d: %s: %s", verdict.window, verdict.state, verdict.summary)

    def commit_unjudged(
        self, row: WindowRow, features: Features, state: State, summary: str, *, keep_features: bool
    ) -> Verdict:
        """Commit a verdict that judges nothing, ``state`` and ``summary`` say why, and give it."""
        verdict = unjudged(
            row,
            identity=self.analyser.model.identity,
            baseline=self.in_force.version,
            samples=len(features),
            state=state,
            summary=summary,
        )
        self.store.commit_verdict(
            row.index,
            json.dumps(verdict.to_json()),
            model_key="",
            detector_state=b"",
            outbox=(),
            keep_features=keep_features,
        )
        return verdict

    def take_up(self) -> None:
        """Put the baseline of the declared revision in force, where there is one."""
        self.in_force.take_up(self.analyser.model.identity, self.analyser.model.statistics)

    def wanted(self, records: Sequence[OutboxRecord]) -> list[OutboxRecord]:
        """Those records that some sink takes."""
        return [record for record in records if record.kind in self.sinks]

    def expire(self) -> None:
        """Drop words in clear early enough that none is left when the next maintenance is late."""
        schedule, retention = self.config.schedule, self.config.state.text_retention
        cutoff = self.clock() - max(60.0, retention - schedule.attribution - schedule.maintenance)
        self.words.expire(cutoff)
        self.in_force.drop_waiting(before=cutoff)
