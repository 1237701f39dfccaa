"""Top words by Integrated Gradients, from the attribution job to the verdict or baseline that counts them.

They lie in the state file in between, taken and handed over in the commits of the two, so that a
crash neither loses nor doubles them. Words in clear are text: they stay as long as text may.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

from monitor.state.store import StateStore

Words = tuple[tuple[str, ...], ...]
Meta = Mapping[str, str | None]
PENDING = "integrated"
LEARNT = "learning_integrated"
KEPT = "episode_integrated"
_MOST = 4000
"""Attributed requests that are kept for a baseline; the newest ones."""


class IntegratedWords:
    """What waits for the next verdict, and what is kept, hashed, for a baseline in the making.

    ``hashed`` names a word as it may lie on disk for longer than text; ``context``, given to all
    methods, is what words depend on besides their samples: what was taken under another one goes.
    """

    def __init__(self, store: StateStore, *, hashed: Callable[[str], str]) -> None:
        self._store = store
        self.hashed = hashed

    def waiting(self, context: str) -> Words:
        """The words that the next verdict is to have: one tuple a request."""
        return self._read(PENDING, context)

    def take(self, words: Words, context: str, now: float) -> Meta:
        """What to commit when a window was attributed, to be judged."""
        before = self._read(PENDING, context)
        arrived = self._arrived() if before else now
        return {PENDING: _written((*before, *words), context, arrived)} if words else {}

    def judged(self, context: str, *, alarm: bool) -> Meta:
        """What to commit with the verdict that had the waiting words; in alarm they are kept, hashed."""
        kept = (*self._read(KEPT, context), *self._hash(self.waiting(context))) if alarm else ()
        return {PENDING: None, KEPT: _written(kept, context, 0.0) if kept else None}

    def learn(self, words: Words, context: str) -> Meta:
        """What to commit when a window was attributed that belongs to a baseline being learnt."""
        return {LEARNT: _written((*self._read(LEARNT, context), *self._hash(words)), context, 0.0)}

    def learnt(self, context: str) -> Words:
        """What the baseline being learnt has."""
        return self._read(LEARNT, context)

    def kept(self, context: str) -> Words:
        """What was judged since the alarm rose."""
        return self._read(KEPT, context)

    def over(self) -> Meta:
        """What to commit when the baseline changes: nothing of the former one's is counted."""
        return {PENDING: None, LEARNT: None, KEPT: None}

    def expire(self, cutoff: float) -> None:
        """Drop words in clear that wait since ``cutoff`` or longer."""
        if self._store.get_meta(PENDING) and self._arrived() <= cutoff:
            self._store.set_meta(PENDING, None)

    def _hash(self, words: Words) -> Words:
        return tuple(tuple(self.hashed(word) for word in request) for request in words)

    def _read(self, key: str, context: str) -> Words:
        stored = json.loads(self._store.get_meta(key) or "{}")
        if stored.get("context") != context:
            return ()
        return tuple(tuple(request) for request in stored["words"])

    def _arrived(self) -> float:
        return float(json.loads(self._store.get_meta(PENDING) or "{}").get("arrived", 0.0))


def _written(words: Sequence[Sequence[str]], context: str, arrived: float) -> str:
    return json.dumps({"context": context, "arrived": arrived, "words": list(words)[-_MOST:]})
