"""The baseline that windows are judged against, one per declared revision, with its detector."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path

from monitor.baselines.file_format import check_fits, load_baseline, save_baseline
from monitor.config.configuration import Config
from monitor.drift.detector import Detector, DetectorState
from monitor.drift.settings import mean_windows_between_false_alarms
from monitor.errors import BaselineError
from monitor.live import evidence
from monitor.privacy import WordPrivacy
from monitor.records import Baseline, ModelIdentity
from monitor.state.store import StateStore


class BaselineInForce:
    """Finds the baseline, fits its detector, and resumes the detector's state; empty while learning.

    ``fetch`` takes a model's name and returns the bytes of its registered baseline.
    """

    def __init__(
        self, *, config: Config, store: StateStore, privacy: WordPrivacy, fetch: Callable[[str], bytes]
    ) -> None:
        self.config = config
        self.privacy = privacy
        self.baseline: Baseline | None = None
        self.detector: Detector | None = None
        self.state: DetectorState | None = None
        self._store = store
        self._fetch = fetch

    @property
    def path(self) -> Path:
        """As configured, else beside the state file; later revisions carry their name in it."""
        configured = self.config.baseline.file
        path = Path(configured) if configured else Path(self.config.state.file).with_suffix(".baseline")
        if self._is_first_revision():
            return path
        safe = re.sub(r"[^A-Za-z0-9._-]", "_", self.revision)
        return path.with_name(f"{path.stem}.{safe}{path.suffix}")

    @property
    def revision(self) -> str:
        """The revision that the traffic declares now; empty while it never declared one."""
        return self._revisions()[0]

    @property
    def version(self) -> str:
        """The baseline's version; empty while there is none."""
        return self.baseline.version if self.baseline else ""

    @property
    def model_key(self) -> str:
        """The name under which the detector's state is kept."""
        assert self.baseline is not None
        identity = self.baseline.identity
        return f"{identity.name}:{identity.revision}:{self.baseline.version}"

    def declare(self, revision: str) -> None:
        """The traffic's revision from now on; the first one ever belongs to the baseline that stands."""
        first = self._revisions()[1] or revision
        self._store.set_meta("revisions", json.dumps([revision, first]))

    def take_up(self, identity: ModelIdentity, statistics: tuple[str, ...]) -> None:
        """The baseline of the current revision from its file or the registry, if there is one."""
        self.baseline = self.detector = self.state = None
        path = self.path
        if not path.exists() and self._is_first_revision():
            if self.config.baseline.source == "registry":
                save_baseline(load_baseline(self._fetch(identity.name)), path)
            elif self.config.baseline.source == "file":
                raise BaselineError(
                    f"baseline.file = {path}: no such file; build it with `headwatch baseline build`"
                    " or set baseline.from to live"
                )
        if path.exists():
            self.adopt(load_baseline(path), identity, statistics)

    def adopt(self, baseline: Baseline, identity: ModelIdentity, statistics: tuple[str, ...]) -> None:
        """Judge against this one from now on, with the evidence that was kept for it."""
        self._require_fit(baseline, identity, statistics)
        detector = Detector.fit(
            baseline,
            self.config.drift,
            mean_windows=mean_windows_between_false_alarms(self.config.drift, self.config.window.duration),
            unseen_count=self.privacy.unseen_count(baseline.word_key_fingerprint),
        )
        self.baseline, self.detector = baseline, detector
        saved = self._store.detector_state(self.model_key)
        self.state = DetectorState.from_arrays(evidence.load_npz(saved)) if saved else detector.start()

    def drop_waiting(self, *, before: float) -> None:
        """Drop what waits in the detector's state from ``before``: its words are in clear."""
        if self.state is None or self.state.waiting is None:
            return
        if float(self.state.waiting.times.max()) < before:
            self.state = dataclasses.replace(self.state, waiting=None, waiting_words=())
            self._store.put_detector_state(self.model_key, evidence.npz(self.state.to_arrays()))

    def check_fits(self, identity: ModelIdentity, statistics: tuple[str, ...]) -> None:
        """Raise ``BaselineError`` where the model in memory cannot be compared with the baseline."""
        if self.baseline is not None:
            self._require_fit(self.baseline, identity, statistics)

    def _require_fit(self, baseline: Baseline, identity: ModelIdentity, statistics: tuple[str, ...]) -> None:
        """As ``check_fits``; a baseline that fitted under this name once is this model's, however named.

        It may have been made before the model got its name. Without this it would be refused at the next
        change of weights, which is what it is there to find.
        """
        key = f"fitted {baseline.version}"
        known = self._store.get_meta(key) == identity.name
        check_fits(
            baseline,
            dataclasses.replace(identity, name=baseline.identity.name) if known else identity,
            statistics,
        )
        if not known:
            self._store.set_meta(key, identity.name)

    def _is_first_revision(self) -> bool:
        revision, first = self._revisions()
        return revision == first

    def _revisions(self) -> tuple[str, str]:
        stored = self._store.get_meta("revisions")
        current, first = json.loads(stored) if stored else ("", "")
        return current, first
