"""The windows since an alarm rose, kept so that a baseline can be made of them: the new normal, if it is one.

A uniform sample of bounded size: a sample stays while the keyed hash of its id is below 2^(64 - level);
the level rises, and halves what is kept, whenever there would be too many (adaptive sampling, Wegman
1984, in Flajolet 1990). Words lie on disk as keyed hashes, as while a baseline is being learnt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

import numpy as np

from monitor.analysis.heads.survey_sums import SurveySums, sum_of
from monitor.live import evidence
from monitor.live.learning import map_words
from monitor.privacy import WordPrivacy
from monitor.records import Features
from monitor.sampling import bottom_k, hash_id
from monitor.state.store import StateStore

KEY = b"headwatch:normal"
_BITS = 64
NO_SURVEY = SurveySums()


class NewNormal:
    """What is kept of the windows since the alarm; survives restarts in the state file.

    ``size``: how many samples a baseline is made of; up to twice as many are kept.
    """

    def __init__(self, *, store: StateStore, privacy: WordPrivacy, size: int) -> None:
        self.privacy = privacy
        self._store = store
        self._size = size
        self._seen: Counter[str] = Counter()
        self._hashes: dict[int, list[int]] = {}
        self._context, self._level = "", 0
        for index in store.episode_windows():
            features, context, level, _ = self._load(index)
            self._context, self._level = context, max(self._level, level)
            self._hashes[index] = [hash_id(identity, KEY) for identity in features.ids]

    @property
    def samples(self) -> int:
        """How many samples are kept."""
        # A list of its own: the status is asked for from another thread.
        return sum(map(len, list(self._hashes.values())))

    def pack(self, features: Features, context: str, survey: SurveySums = NO_SURVEY) -> bytes:
        """A window's share of what is kept, for the commit of its verdict; makes room for it first.

        Its ``survey`` is kept whole, however few of its samples stay.

        ``context`` is what features depend on besides their samples; what was kept under another goes.
        """
        if context != self._context:
            self._store.thin_episode(dict.fromkeys(self._hashes))
            self._hashes, self._seen = {}, Counter()
            self._context, self._level = context, 0
        new = [hash_id(identity, KEY) for identity in features.ids]
        level = self._level
        while self._count(new, level) > 2 * self._size:
            level += 1
        if level > self._level:
            self._thin(level)
        return self._packed(features, level, survey)

    def survey(self, context: str) -> SurveySums:
        """What was surveyed since the alarm."""
        if context != self._context:
            return NO_SURVEY
        return sum_of(self._load(index)[3] for index in self._hashes)

    def add(self, index: int, features: Features) -> None:
        """Take a window whose commit has kept its share; counts which words many requests had."""
        self._hashes[index] = self._below([hash_id(identity, KEY) for identity in features.ids], self._level)
        self._seen.update(word for words in features.words for word in set(words))

    def features(self, context: str) -> Features | None:
        """A uniform sample of at most ``size``, in order, words hashed; None if none is of ``context``."""
        if context != self._context:
            return None
        parts = [self._load(index)[0] for index in sorted(self._hashes)]
        if not any(map(len, parts)):
            return None
        joined = Features.concatenate(parts)
        chosen = bottom_k(joined.ids, key=KEY, size=self._size).ids
        rows = [row for row, identity in enumerate(joined.ids) if identity in chosen]
        return joined.take(rows)

    def shown(self, known: Iterable[str]) -> Callable[[str], str]:
        """Gives hashed words in clear again: those that enough requests had, and the ``known`` ones."""
        enough = self.privacy.minimum_requests
        shared = [word for word, count in self._seen.items() if count >= enough]
        clear = {self.hashed(word): word for word in (*known, *shared)}
        return lambda word: clear.get(word, word)

    def forget(self) -> None:
        """The alarm is over; the commit that said so has dropped what was kept."""
        self._hashes, self._seen, self._context, self._level = {}, Counter(), "", 0

    def hashed(self, word: str) -> str:
        """A word as it may lie on disk for as long as the alarm stands."""
        return self.privacy.name(word, 0)

    def _count(self, new: list[int], level: int) -> int:
        return sum(len(self._below(own, level)) for own in (*self._hashes.values(), new))

    def _below(self, hashes: list[int], level: int) -> list[int]:
        return [value for value in hashes if value < 1 << (_BITS - level)]

    def _thin(self, level: int) -> None:
        loaded = {index: self._load(index) for index in self._hashes}
        self._store.thin_episode(
            {index: self._packed(one[0], level, one[3]) for index, one in loaded.items()}
        )
        self._hashes = {index: self._below(own, level) for index, own in self._hashes.items()}
        self._level = level

    def _packed(self, features: Features, level: int, survey: SurveySums) -> bytes:
        rows = [row for row, one in enumerate(features.ids) if hash_id(one, KEY) < 1 << (_BITS - level)]
        private = map_words(features.take(rows), self.hashed)
        arrays = {"context": np.array(self._context), "level": np.array(level)}
        return evidence.npz({**private.to_arrays(), **survey.to_arrays(), **arrays})

    def _load(self, index: int) -> tuple[Features, str, int, SurveySums]:
        arrays = evidence.load_npz(self._store.load_features(index))
        survey = SurveySums.from_arrays(arrays)
        return Features.from_arrays(arrays), str(arrays["context"]), int(arrays["level"]), survey
