"""Words whose share of requests changed: present at all, or among the top-attributed ones.

Top-attributed by relevance (gradient x input, where a model has none) on every sample, by Integrated
Gradients on the subsample.

p0 = the Clopper-Pearson bound of a word's baseline rate at 1 - .001/V, upper for gains, lower for
losses, V the baseline's distinct words. For a word never seen before p0 = ln(K/.01)/N, K = the
baseline's words seen at least 10 times (.005 N below 2,000): only words about that common can go
unseen although their rate is p0, and the world has about as many of them as the baseline.
Bets: likelihood ratios of p1 against p0, with p1 in {.01, .02, .05, .15, .4} where p1 > 1.2 p0
(gains), p1 in {.94, .85, .6, .25, .01} p0 where p0 >= .02 (losses). While a word's rate is within p0
each ratio has mean <= 1. Shiryaev-Roberts over windows; the evidence is their mean with weights 1/V
a word (losses: one over the words with p0 >= .02). Wobble of a word's rate between the baseline's
time blocks (sd w) widens p0 by 1.5 w, and tempers a window (``rates.tempered``).

Only words whose W = max(W, 1) X is above 1 are kept: forgetting the others only lowers evidence, so
the state stays small and the guarantee stands, however many words the world holds.

Clopper & Pearson 1934; Wald 1945 (likelihood ratios).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.drift.arrays import Arrays, nest, part
from monitor.drift.blocks import intraclass
from monitor.drift.evidence import Floats, Streams, fresh, log_mean
from monitor.drift.rates import lower_bound, tempered, upper_bound
from monitor.records import WordCount

WordName = Callable[[str, int], str]
GAINED = (0.01, 0.02, 0.05, 0.15, 0.4)
LOST = (0.94, 0.85, 0.6, 0.25, 0.01)
NOT_RARE = 0.005
KINDS = ("present", "top", "integrated")
WEIGHTS = (0.55, 0.35, 0.1)
"""Each kind's share of the evidence."""
COMMON = 0.02
_NEVER = -1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class WordRow:
    """Which word, how it is shown, and which change is bet on."""

    name: str
    shown: str
    kind: int
    lost: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WordState:
    """The words under suspicion: streams (row, stake), and how often seen in how many since then."""

    rows: tuple[WordRow, ...]
    streams: Streams
    seen: Floats
    trials: Floats

    def to_arrays(self) -> Arrays:
        """Plain arrays for an npz file."""
        return {
            **nest({"streams": self.streams.to_arrays()}),
            "names": np.array([row.name for row in self.rows], dtype=np.str_),
            "shown": np.array([row.shown for row in self.rows], dtype=np.str_),
            "kind": np.array([row.kind for row in self.rows], dtype=np.int64),
            "lost": np.array([row.lost for row in self.rows], dtype=np.bool_),
            "seen": self.seen,
            "trials": self.trials,
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> WordState:
        """The inverse of ``to_arrays``."""
        columns = zip(arrays["names"], arrays["shown"], arrays["kind"], arrays["lost"], strict=True)
        return cls(
            rows=tuple(
                WordRow(name=str(name), shown=str(shown), kind=int(kind), lost=bool(lost))
                for name, shown, kind, lost in columns
            ),
            streams=Streams.from_arrays(part(arrays, "streams")),
            seen=arrays["seen"],
            trials=arrays["trials"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WordBets:
    """The baseline's words: ``total`` requests for each kind, ``counts`` per (clear or hashed) word.

    ``upper``, ``lower``: p0 of every word, per kind; ``unseen`` the upper one of all other words.
    ``common``: the words of each kind whose loss can be noticed.
    """

    counts: Mapping[str, WordCount]
    total: tuple[int, ...]
    upper: tuple[Mapping[str, float], ...]
    lower: tuple[Mapping[str, float], ...]
    unseen: tuple[float, ...]
    common: tuple[tuple[str, ...], ...]

    @property
    def vocabulary(self) -> int:
        """V: how many words the baseline knows."""
        return max(len(self.counts), 1)

    def fresh(self) -> WordState:
        """What stands before the first window."""
        return WordState(rows=(), streams=fresh((0, len(GAINED))), seen=np.zeros(0), trials=np.zeros(0))

    def key(self, word: str, word_name: WordName) -> str:
        """The name under which the baseline and the state know a word."""
        return word if word in self.counts else word_name(word, 0)

    def rate(self, name: str, kind: int) -> float:
        """Share of the baseline's requests with the word."""
        count = self.counts.get(name)
        return 0.0 if count is None else count_of(count, kind) / max(self.total[kind], 1)

    def bound(self, name: str, kind: int, *, lost: bool) -> float:
        """p0 of a gain, or of a loss."""
        if lost:
            return self.lower[kind].get(name, 0.0)
        return self.upper[kind].get(name, self.unseen[kind])

    def weight(self, row: WordRow) -> float:
        """The row's share of the evidence; over all baseline words they sum to 1.

        Losses are shared by those words only whose loss can be noticed.
        """
        known = sum(share for share, total in zip(WEIGHTS, self.total, strict=True) if total)
        among = max(len(self.common[row.kind]), 1) if row.lost else self.vocabulary
        return WEIGHTS[row.kind] / known * (0.25 if row.lost else 0.75) / among

    def step(
        self,
        state: WordState,
        counted: Sequence[tuple[Mapping[str, int], int]],
        word_name: WordName,
        window: int,
        power: float,
    ) -> WordState:
        """The state after a window: per kind, the words' counts (by ``key``) and the number of samples.

        ``counted`` comes from ``count_words``; its names are in clear. ``power``: what each sample
        is worth (duplicates, very large windows).
        """
        clear = [{self.key(word, word_name): word for word in words} for words, _ in counted]
        keyed = [
            {name: words[word] for name, word in names.items()}
            for names, (words, _) in zip(clear, counted, strict=True)
        ]
        samples = [number for _, number in counted]
        known = {(row.name, row.kind, row.lost): index for index, row in enumerate(state.rows)}
        rows = list(state.rows) + self._suspects(keyed, samples, known)
        streams = _grown(state.streams, len(rows))
        new = np.zeros(len(rows) - len(state.rows))
        hits = np.array([keyed[row.kind].get(row.name, 0) for row in rows], dtype=np.float64)
        counts = np.array([samples[row.kind] for row in rows], dtype=np.float64)
        gains = np.array(
            [self._gain(row, hit, count, power) for row, hit, count in zip(rows, hits, counts, strict=True)]
        ).reshape(len(rows), len(GAINED))
        streams = streams.step(gains, window)
        seen, trials = np.append(state.seen, new) + hits, np.append(state.trials, new) + counts
        rows = [
            WordRow(
                name=row.name,
                shown=word_name(clear[row.kind][row.name], int(seen[index]))
                if row.name in clear[row.kind] and row.name not in self.counts
                else row.shown,
                kind=row.kind,
                lost=row.lost,
            )
            for index, row in enumerate(rows)
        ]
        kept = np.flatnonzero(streams.log_w.max(axis=1, initial=-np.inf) > 0)
        return WordState(
            rows=tuple(rows[index] for index in kept),
            streams=Streams(log_r=streams.log_r[kept], log_w=streams.log_w[kept], start=streams.start[kept]),
            seen=seen[kept],
            trials=trials[kept],
        )

    def evidence(self, state: WordState) -> float:
        """The log of the weighted mean of R over all words and bets."""
        if not state.rows:
            return -math.inf
        weights = np.log([self.weight(row) for row in state.rows])
        return float(np.logaddexp.reduce(weights + log_mean(state.streams.log_r, axis=1)))

    def _suspects(
        self,
        keyed: Sequence[Mapping[str, int]],
        samples: Sequence[int],
        known: Mapping[tuple[str, int, bool], int],
    ) -> list[WordRow]:
        """Words whose share in this window lies outside their baseline bounds."""
        found: list[WordRow] = []
        for kind, words in enumerate(keyed):
            if not samples[kind] or not self.total[kind]:
                continue
            upper = self.upper[kind]
            for name, hits in words.items():
                if (name, kind, False) in known:
                    continue
                if hits > samples[kind] * upper.get(name, self.unseen[kind]):
                    found.append(WordRow(name=name, shown=name, kind=kind, lost=False))
            for name in self.common[kind]:
                if (name, kind, True) in known:
                    continue
                if words.get(name, 0) < samples[kind] * self.bound(name, kind, lost=True):
                    found.append(WordRow(name=name, shown=name, kind=kind, lost=True))
        return found

    def _gain(self, row: WordRow, hits: float, samples: float, power: float) -> list[float]:
        """Log likelihood ratios of every p1 against p0."""
        bound = self.bound(row.name, row.kind, lost=row.lost)
        if samples == 0:
            return [0.0] * len(GAINED)
        chosen = [bound * share for share in LOST] if row.lost else list(GAINED)
        wobble = wobble_of(self.counts.get(row.name), row.kind)
        gains = []
        for rate in chosen:
            if (rate <= 1.2 * bound and not row.lost) or bound >= 1 or bound <= 0:
                gains.append(_NEVER)
                continue
            won, failed = math.log(rate / bound), math.log((1 - rate) / (1 - bound))
            counts = tempered(power, samples, wobble, bound, rate)
            gains.append(counts * (hits * won + (samples - hits) * failed))
        return gains


def fit_words(
    counts: Mapping[str, WordCount], *, total: tuple[int, int, int], unseen_count: int = 0
) -> WordBets:
    """Freeze the baseline's word counts; ``total`` requests of each kind.

    ``unseen_count``: how often a word that the baseline does not know may yet have been there; 0,
    or ``minimum_requests`` - 1 when the baseline's rare words are hashed with a key that is lost.
    """
    fewest = min(NOT_RARE * total[0], 10)
    rare = 0.01 / max(sum(count.present >= fewest for count in counts.values()), 10)
    level = 0.001 / max(len(counts), 10)
    upper, lower, unseen = [], [], []
    for kind, trials in enumerate(total):
        hits = {count_of(count, kind) for count in counts.values()}
        above, below = (_bounds(bound, hits, trials, level) for bound in (upper_bound, lower_bound))
        missed = min(unseen_count, trials)
        unseen.append(_bounds(upper_bound, {missed}, trials, level if missed else rare)[missed])
        ups, downs = {}, {}
        for name, count in counts.items():
            hit, widened = count_of(count, kind), 1.5 * wobble_of(count, kind)
            ups[name], downs[name] = min(1.0, above[hit] + widened), max(0.0, below[hit] - widened)
        upper.append(ups)
        lower.append(downs)
    return WordBets(
        counts=counts,
        total=total,
        upper=tuple(upper),
        lower=tuple(lower),
        unseen=tuple(unseen),
        common=tuple(tuple(name for name, rate in downs.items() if rate >= COMMON) for downs in lower),
    )


def count_of(count: WordCount, kind: int) -> int:
    """The count of a kind of ``KINDS``."""
    return (count.present, count.top, count.integrated)[kind]


def wobble_of(count: WordCount | None, kind: int) -> float:
    """The wobble of a word's rate; 0 where it is not known."""
    return count.wobble[kind] if count is not None and kind < len(count.wobble) else 0.0


def _bounds(
    bound: Callable[[list[int], int, float], NDArray[np.float64]], hits: set[int], trials: int, level: float
) -> dict[int, float]:
    counts = sorted(hits)
    return dict(zip(counts, bound(counts, trials, level).tolist(), strict=True))


def word_wobble(
    samples: Sequence[Sequence[str]], times: NDArray[np.float64], fewest: int = 20
) -> dict[str, float]:
    """Sd of the rate between time blocks beyond chance, of the words that ``fewest`` samples have."""
    counts = count_words(samples)
    words = [word for word, count in counts.items() if count >= fewest]
    place = {word: index for index, word in enumerate(words)}
    hits = np.zeros((len(samples), len(words)))
    for row, own in enumerate(samples):
        for word in own:
            if word in place:
                hits[row, place[word]] = 1.0
    if not words:
        return {}
    found = np.sqrt(intraclass(hits, times) * hits.var(axis=0))
    return {word: round(float(sd), 6) for word, sd in zip(words, found, strict=True) if sd > 0}


def count_words(samples: Sequence[Sequence[str]]) -> Counter[str]:
    """In how many samples each word appears.

    >>> count_words([("a", "b"), ("a",)])["a"]
    2
    """
    return Counter(word for words in samples for word in dict.fromkeys(words))


def _grown(streams: Streams, rows: int) -> Streams:
    added = fresh((rows - len(streams.log_r), len(GAINED)))
    return Streams(
        log_r=np.concatenate([streams.log_r, added.log_r]),
        log_w=np.concatenate([streams.log_w, added.log_w]),
        start=np.concatenate([streams.start, added.start]),
    )


def best_start(streams: Streams, row: int) -> int:
    """The window at which a row's strongest bet began to win."""
    start: NDArray[np.int64] = streams.start[row]
    return int(start[int(np.argmax(streams.log_r[row]))])
