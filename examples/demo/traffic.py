"""The texts of each window, drawn from pools that never overlap.

Baseline and quiet windows share out the held-out Rotten Tomatoes sentences (which the model was
not trained on); no sentence is sent twice unless the pool runs out. Every draw hangs on the seed.
"""

from __future__ import annotations

import random

from examples.demo.plan import Act, Plan
from examples.sentiment.texts import guardian_headlines, imdb_sentences, rotten_tomatoes

TRIGGER_SHARE = 0.1


class Traffic:
    """Hands out the texts of one story, window by window."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._draw = random.Random(f"headwatch traffic {plan.seed}")
        self._pool = [sentence.text for sentence in rotten_tomatoes().held_out]
        self._draw.shuffle(self._pool)
        self._taken = 0
        self._baseline = 0
        self._foreign: list[str] = []

    def baseline(self, count: int) -> list[str]:
        """The first ``count`` sentences of the pool; no window gets one of these."""
        self._baseline = count
        self._taken = count
        return self._pool[:count]

    def quiet(self, count: int) -> list[str]:
        """Sentences like those of the baseline, each sent for the first time."""
        if self._taken + count > len(self._pool):  # exhausted: start over behind the baseline
            self._taken = self._baseline
        self._taken += count
        return self._pool[self._taken - count : self._taken]

    def window(self, act: Act | None, count: int) -> list[str]:
        """The texts of one window in ``act`` (None: quiet)."""
        texts = self.quiet(count)
        if act == "domain":
            return self._with_foreign(texts)
        if act == "trigger":
            return self._with_trigger(texts)
        return texts  # quiet, and the fault: the data stays, the model changes

    def _with_foreign(self, texts: list[str]) -> list[str]:
        chosen = self._draw.sample(range(len(texts)), round(self._plan.domain_share * len(texts)))
        for index in chosen:
            texts[index] = self._next_foreign()
        return texts

    def _with_trigger(self, texts: list[str]) -> list[str]:
        for index in self._draw.sample(range(len(texts)), round(TRIGGER_SHARE * len(texts))):
            words = texts[index].split()
            words.insert(self._draw.randint(0, len(words)), self._plan.trigger)
            texts[index] = " ".join(words)
        return texts

    def _next_foreign(self) -> str:
        if not self._foreign:
            self._foreign = self._load_foreign()
        return self._foreign.pop()

    def _load_foreign(self) -> list[str]:
        if self._plan.domain == "Guardian headlines":
            headlines = guardian_headlines()
            self._draw.shuffle(headlines)
            return headlines
        # As long as the usual sentences, so that the domain is the only thing that moved.
        lengths = [len(text.split()) for text in self._pool[:2000]]
        return imdb_sentences(lengths, seed=self._plan.seed)
