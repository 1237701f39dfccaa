"""A baseline in the making, from live traffic: what it has so far, and when it is enough.

Learning may last days, longer than text may stay on disk. So words are kept as keyed hashes from the
start, and only in memory is it counted which of them enough requests shared to be shown in clear.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable

import numpy as np

from monitor import evidence
from monitor.config.configuration import BaselineSettings
from monitor.privacy import WordPrivacy
from monitor.records import Features
from monitor.state.settings import WindowSettings
from monitor.state.store import StateStore


class LiveBaseline:
    """The windows learnt so far; they survive a restart in the state file."""

    def __init__(
        self,
        *,
        store: StateStore,
        privacy: WordPrivacy,
        window: WindowSettings,
        settings: BaselineSettings,
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._privacy = privacy
        self._window = window
        self._settings = settings
        self._clock = clock
        self._seen: Counter[str] = Counter()
        self._parts = [Features.from_arrays(evidence.load_npz(data)) for data in store.learning_features()]

    @property
    def samples(self) -> int:
        """How many samples it has."""
        return sum(len(part) for part in self._parts)

    @property
    def wanted(self) -> int:
        """How many samples it will have."""
        return self._settings.samples

    def quota(self) -> int:
        """Samples to take from one window, so that the baseline spans its whole duration."""
        window, settings = self._window, self._settings
        started = float(self._parts[0].times.min()) if self._parts else self._clock()
        late = self._clock() - started >= settings.duration
        if late or window.requests is not None or settings.duration <= window.duration:
            return window.samples
        return min(window.samples, int(np.ceil(settings.samples * window.duration / settings.duration)))

    def without_clear_words(self, features: Features) -> Features:
        """The features as they may lie on disk; which words were common is remembered in memory."""
        self._seen.update(word for words in features.words for word in words)
        return _map_words(features, self._hashed)

    def add(self, features: Features) -> None:
        """Take a window whose commit has kept its features."""
        if len(features):
            self._parts.append(features)

    def complete(self) -> bool:
        """Whether it has its samples and has lasted its duration."""
        if self.samples < self._settings.samples:
            return False
        first, last = self._parts[0].times.min(), self._parts[-1].times.max()
        return float(last - first) >= self._settings.duration or self._settings.duration == 0

    def features(self) -> Features:
        """All of it, in order; words that enough distinct requests had are in clear again."""
        enough = self._privacy.minimum_requests
        clear = {self._hashed(word): word for word, count in self._seen.items() if count >= enough}
        return _map_words(Features.concatenate(self._parts), lambda word: clear.get(word, word))

    def forget(self) -> None:
        """Drop everything, in memory and on disk."""
        self._store.clear_learning_features()
        self._parts, self._seen = [], Counter()

    def _hashed(self, word: str) -> str:
        return self._privacy.name(word, 0)


def _map_words(features: Features, change: Callable[[str], str]) -> Features:
    return dataclasses.replace(
        features,
        words=tuple(tuple(change(word) for word in words) for words in features.words),
        top_words=tuple(tuple(change(word) for word in words) for words in features.top_words),
    )
