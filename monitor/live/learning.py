"""A baseline in the making, from live traffic: what it has so far, and when it is enough.

Learning may last days, longer than text may stay on disk. So words are kept as keyed hashes from the
start, and only in memory is it counted which of them enough requests shared to be shown in clear.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from monitor.analysis.heads.survey_sums import SurveySums
from monitor.baselines.build import build_baseline
from monitor.config.configuration import BaselineSettings
from monitor.drift.blocks import SCALES
from monitor.live import evidence
from monitor.privacy import WordPrivacy
from monitor.records import Baseline, Features, ModelIdentity, ProbeReading
from monitor.state.settings import WindowSettings
from monitor.state.store import StateStore

# Seconds after which a baseline with a shorter duration may do with its minimum of samples.
LONG_ENOUGH = 3600.0
ATTRIBUTED = "learning_attribution"
NO_SURVEY = SurveySums()


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
        self.privacy = privacy
        self._window = window
        self._settings = settings
        self._clock = clock
        self._seen: Counter[str] = Counter()
        self._parts: list[Features] = []
        self._survey = SurveySums()
        self._taken = (-1, 0)
        for data in store.learning_features():
            arrays = evidence.load_npz(data)
            self._parts.append(Features.from_arrays(arrays))
            self._survey = self._survey.merge(SurveySums.from_arrays(arrays))

    @property
    def samples(self) -> int:
        """How many samples it has."""
        return sum(len(part) for part in self._parts)

    @property
    def wanted(self) -> int:
        """How many samples it will have."""
        return self._settings.samples

    def quota(self) -> int:
        """Samples to take from the next window, so that the baseline spans its duration evenly.

        They are taken together, from one window in each of the blocks that the wobble of windows is
        read from: one sample of every window would show no difference between windows at all.
        What quiet hours left open is made up slowly, at four times the even share at most.
        """
        window, settings = self._window, self._settings
        missing = settings.samples - self.samples
        if settings.duration <= window.duration:
            return max(0, min(window.samples, missing))
        share = settings.samples / self._blocks
        begun = self._elapsed() // (settings.duration / self._blocks) + 1
        owed = math.ceil(share * begun) - self.samples
        turn, taken = self._taken
        left = math.ceil(share * self._shares_a_turn) - (taken if turn == self._turn() else 0)
        return max(0, min(window.samples, left, owed, missing))

    @property
    def _blocks(self) -> int:
        """Into how many parts of equal length its duration falls."""
        return min(max(SCALES), max(1, int(self._settings.duration // self._window.duration)))

    @property
    def _shares_a_turn(self) -> float:
        """A turn is a quarter of a block, but a window at least; four shares may be taken in a block."""
        return max(1.0, 4 * self._window.duration * self._blocks / self._settings.duration)

    def _turn(self) -> int:
        length = max(self._window.duration, self._settings.duration / self._blocks / 4)
        return int(self._elapsed() // length)

    def without_clear_words(self, features: Features) -> Features:
        """The features as they may lie on disk while the baseline is being learnt."""
        return map_words(features, self.hashed)

    def note_words(self, features: Features) -> None:
        """Remember, in memory, how many requests had each word; once what they came with is stored."""
        self._seen.update(word for words in features.words for word in set(words))

    def belong_to(self, context: str) -> None:
        """Start anew where the model or its revision is not the one that was learnt so far."""
        if self._store.get_meta("learning") != context:
            if self._parts:
                self.forget()
            self._store.set_meta("learning", context)

    def attributed(self, metrics: Mapping[str, float]) -> dict[str, str]:
        """What to commit when a learnt window's subsample was attributed: running sums, by name."""
        sums = json.loads(self._store.get_meta(ATTRIBUTED) or "{}")
        for name, value in metrics.items():
            total, samples = sums.get(name, (0.0, 0.0))
            sums[name] = (total + metrics["samples"] * value, samples + metrics["samples"])
        return {ATTRIBUTED: json.dumps(sums)}

    def add(self, features: Features, survey: SurveySums = NO_SURVEY) -> None:
        """Take a window whose commit has kept its features, and what was surveyed of them."""
        if not len(features):
            return
        self._survey = self._survey.merge(survey)
        if not self._parts:
            self._store.set_meta("learning_since", repr(self._clock()))
        self._parts.append(features)
        turn, taken = self._taken
        now = self._turn()
        self._taken = (now, len(features) + (taken if turn == now else 0))

    def complete(self) -> bool:
        """Whether it has lasted its duration and has its samples.

        Where traffic is thin, ``minimum_samples`` are enough after twice the duration.
        """
        elapsed, settings = self._elapsed(), self._settings
        if self.samples >= settings.samples:
            return elapsed >= settings.duration
        return elapsed >= max(2 * settings.duration, LONG_ENOUGH) and self.samples >= settings.minimum_samples

    def _elapsed(self) -> float:
        """Seconds since its first window was learnt."""
        started = self._store.get_meta("learning_since") if self._parts else None
        return self._clock() - float(started) if started else 0.0

    def features(self) -> Features:
        """All of it, in order; words that enough distinct requests had are in clear again."""
        return map_words(Features.concatenate(self._parts), self.shown())

    def shown(self) -> Callable[[str], str]:
        """Gives those hashed words in clear again that enough distinct requests had."""
        enough = self.privacy.minimum_requests
        clear = {self.hashed(word): word for word, count in self._seen.items() if count >= enough}
        return lambda word: clear.get(word, word)

    def frozen(
        self,
        *,
        identity: ModelIdentity,
        statistics: Sequence[str],
        probe: ProbeReading | None,
        integrated: Sequence[Sequence[str]],
    ) -> Baseline:
        """The baseline, as of now; ``integrated``: hashed top words by Integrated Gradients."""
        shown = self.shown()
        return build_baseline(
            self.features(),
            identity=identity,
            statistics=statistics,
            probe=probe,
            source="live",
            created=self._clock(),
            word_keys=self.privacy.name,
            word_key_fingerprint=self.privacy.fingerprint,
            integrated=[tuple(map(shown, request)) for request in integrated],
            survey=self._survey.record(),
            attribution=self._attribution(),
        )

    def forget(self) -> None:
        """Drop everything, in memory and on disk."""
        self._store.clear_learning_features()
        self._store.set_meta(ATTRIBUTED, None)
        self._parts, self._seen, self._survey = [], Counter(), NO_SURVEY

    def _attribution(self) -> dict[str, float]:
        sums = json.loads(self._store.get_meta(ATTRIBUTED) or "{}")
        return {name: total / samples for name, (total, samples) in sums.items() if samples}

    def hashed(self, word: str) -> str:
        """A word as it may lie on disk for as long as learning lasts."""
        return self.privacy.name(word, 0)


def map_words(features: Features, change: Callable[[str], str]) -> Features:
    """The features with every word changed."""
    return dataclasses.replace(
        features,
        words=tuple(tuple(change(word) for word in words) for words in features.words),
        top_words=tuple(tuple(change(word) for word in words) for words in features.top_words),
    )
