"""The model that is watched: its replayed copy, and whether its files on disk are still the same."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from monitor.reading.analyser import Analyser
from monitor.records import ProbeReading
from monitor.replay.weights import weights_hash, weights_stamp

log = logging.getLogger("headwatch.model")


class WatchedModel:
    """Holds the copy in memory and its newest probe reading; both are replaced together.

    ``load`` loads ``folder`` anew; ``probe_texts`` are the fixed inputs that tell a changed model from
    changed data.
    """

    def __init__(self, *, folder: Path, load: Callable[[], Analyser], probe_texts: Sequence[str]) -> None:
        self._folder = folder
        self._load = load
        self._probe_texts = probe_texts
        # Stamped before it is loaded: files that change meanwhile are seen at the next look.
        self._stamp = weights_stamp(folder)
        self.analyser = load()
        self.reading: ProbeReading | None = None

    @property
    def weights(self) -> str:
        """The hash of the weights in memory."""
        return self.analyser.model.identity.weights_hash

    def follow(self) -> bool:
        """Load the files anew if their content changed; whether it had.

        Raises ``ModelError`` while they cannot be loaded; the former copy stays meanwhile.
        """
        stamp = weights_stamp(self._folder)
        if stamp == self._stamp:
            return False
        changed = weights_hash(self._folder) != self.weights
        if changed:
            log.warning("model.source = %s: its files changed; loading them", self._folder)
            analyser = self._load()
            self.reading = analyser.probe(self._probe_texts)
            self.analyser = analyser
        self._stamp = stamp
        return changed

    def probe(self) -> ProbeReading:
        """Run the fixed inputs again."""
        self.reading = self.analyser.probe(self._probe_texts)
        return self.reading
