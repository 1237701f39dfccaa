"""Pipeline faults that have a signature: recognised in the inputs themselves, or in the model's identity.

A fault of the pipeline changes one thing about the inputs it strikes and leaves the rest; another
subject or language changes many things at once. So a sign counts only where it is far more frequent
than in the baseline (binomial tail below 1e-6 against the baseline's rate at its 99.9 % bound), and
where the inputs that carry it are otherwise like the baseline's: the mean of each measure that the
fault does not touch lies within half an sd of the baseline's. A share of the inputs is enough.

Suspicions explain an alarm that stands; they raise none, so they take no part in the false-alarm
budget.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from monitor.drift.changes import Changes
from monitor.drift.rates import upper_bound
from monitor.drift.recent_inputs import MEASURES
from monitor.drift.summary import plain_number
from monitor.records import Suspicion, SuspicionName

Values = NDArray[np.floating]
Rows = NDArray[np.bool_]
RARE = 1e-6
BOUND = 1e-3
SMALLEST_GAIN = 0.02
FEWEST = 15
"""Inputs that must carry a sign before it is told."""
ALIKE = 0.5
"""Sd by which the mean of an untouched measure may lie off, besides one standard error."""
CLEARLY_THERE = 0.9
"""The share of baseline inputs that must have capitals (punctuation) before their loss can be told."""
PADDING_MOVED = 0.1
"""Sd by which padding may move an input: re-batching gives .007."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signs:
    """``before`` and ``now`` (sample, measure): input measures of the baseline and since the onset.

    ``changes`` of the identity; ``padding``: see ``ProbeResult``.
    """

    before: Values
    now: Values
    changes: Changes
    padding: float = 0.0

    def column(self, name: str) -> tuple[Values, Values]:
        """One measure before and now."""
        place = MEASURES.index(name)
        return self.before[:, place], self.now[:, place]

    def gain(self, before: Rows, now: Rows) -> tuple[float, float] | None:
        """The shares of rows with a sign, if there are far more now; else None."""
        if not len(now):
            return None
        share, known = float(now.mean()), float(before.mean())
        bound = float(upper_bound([int(before.sum())], len(before), BOUND)[0])
        tail = float(binom.sf(int(now.sum()) - 1, len(now), bound))
        far_more = tail < RARE and share - known >= SMALLEST_GAIN and int(now.sum()) >= FEWEST
        return (known, share) if far_more else None

    def otherwise_alike(self, rows: Rows, names: Sequence[str], **allowed: float) -> bool:
        """Whether the measures ``names`` of the chosen rows are like the baseline's (sd ``allowed``)."""
        for name in names:
            before, now = self.column(name)
            sd, chosen = float(before.std()), now[rows]
            slack = allowed.get(name, ALIKE) * max(sd, 1e-3) + float(chosen.std()) / len(chosen) ** 0.5
            if abs(float(chosen.mean()) - float(before.mean())) > slack:
                return False
        return True


def suspicions(signs: Signs) -> tuple[Suspicion, ...]:
    """Every fault whose signature is seen, in the order of ``SUSPICIONS``.

    It must be seen with every text counted once, too: what is sent again and again proves nothing.
    """
    found = {name: sign for name, seen in SUSPICIONS.items() if (sign := seen(signs))}
    if found:
        once = replace(signs, before=_distinct(signs.before), now=_distinct(signs.now))
        found = {name: sign for name, sign in found.items() if SUSPICIONS[name](once)}
    return tuple(Suspicion(name=name, sign=sign) for name, sign in found.items())


def other_tokenizer(signs: Signs) -> str:
    """Other tokenizer files; or the same words and characters in far more tokens, or unknown ones."""
    if signs.changes.tokenizer:
        return "the tokenizer's files are not those of the baseline"
    before, now = signs.column("tokens_per_word")
    known, unknown = signs.column("unknown_share")
    usual, unusual = np.quantile(before, 0.99), np.quantile(known, 0.99)
    gained = signs.gain((before > usual) | (known > unusual), (now > usual) | (unknown > unusual))
    rows = (now > usual) | (unknown > unusual)
    untouched = ("uppercase_share", "punctuation_share", "surprisal")
    # Words in many pieces are rare ones, so the rows with most pieces are somewhat more surprising.
    if gained is None or not signs.otherwise_alike(rows, untouched, surprisal=1.0):
        return ""
    pieces = f"words take {_number(before.mean())} -> {_number(now[rows].mean())} tokens each"
    return f"{pieces}; markup or a broken encoding in the texts looks the same"


def cut_short(signs: Signs) -> str:
    """A lower limit; inputs over the limit; or many inputs of exactly one length, and fewer beyond it."""
    limit = _setting(signs.changes, "most tokens", "truncation side")
    if limit:
        return limit
    before, now = signs.column("truncated")
    longer = signs.gain(before > 0, now > 0)
    if longer is not None:
        return f"inputs longer than the model takes: {_shares(longer)}"
    for unit, lengths in (("tokens", _tokens), ("words", _words)):
        known, seen = lengths(signs.before), lengths(signs.now)
        for length in _standing_out(seen):
            gained = _piled_up(signs, known, seen, length)
            if gained is not None:
                return f"inputs of exactly {length} {unit}: {_shares(gained)}"
    return ""


def padded_wrongly(signs: Signs) -> str:
    """Another padding side, or padding that moves what the same files and settings compute."""
    side = _setting(signs.changes, "padding side")
    if side:
        return side
    if signs.padding > PADDING_MOVED and not (signs.changes.files or signs.changes.inputs):
        return f"padding moves the profile of one input by {_number(signs.padding)} sd"
    return ""


def doubled_specials(signs: Signs) -> str:
    """More special tokens than any usual input has, by a whole number."""
    added = _setting(signs.changes, "special tokens added")
    if added:
        return added
    before, now = signs.column("special_tokens")
    usual = float(np.quantile(before, 0.99))
    gained = signs.gain(before > usual, now > usual)
    if gained is None:
        return ""
    count = float(np.median(now[now > usual]))
    return f"inputs with {_number(count)} special tokens instead of {_number(usual)}: {_shares(gained)}"


def lower_cased(signs: Signs) -> str:
    """Inputs without a single capital, where the baseline's have them."""
    setting = _setting(signs.changes, "lower-casing")
    if setting:
        return setting
    untouched = ("log_tokens", "tokens_per_word", "punctuation_share", "surprisal")
    return _lost(signs, "uppercase_share", untouched, "a capital letter")


def stripped(signs: Signs) -> str:
    """Inputs without any punctuation, where the baseline's have it; cut ones lose their full stop too."""
    if cut_short(signs):
        return ""
    untouched = ("log_tokens", "tokens_per_word", "uppercase_share", "surprisal")
    # Full stops are no surprise: without them the other words' mean rises by .8 to .9 sd.
    return _lost(signs, "punctuation_share", untouched, "punctuation", surprisal=1.1)


SUSPICIONS: Mapping[SuspicionName, Callable[[Signs], str]] = MappingProxyType(
    {
        "tokenizer": other_tokenizer,
        "truncation": cut_short,
        "padding": padded_wrongly,
        "special_tokens": doubled_specials,
        "lower_casing": lower_cased,
        "punctuation": stripped,
    }
)
"""Every fault that can be recognised; each function gives what was seen of it, or an empty text."""


def _lost(signs: Signs, name: str, untouched: Sequence[str], what: str, **allowed: float) -> str:
    before, now = (values == 0 for values in signs.column(name))
    if before.mean() > 1 - CLEARLY_THERE:
        return ""
    gained = signs.gain(before, now)
    if gained is None or not signs.otherwise_alike(now, untouched, **allowed):
        return ""
    return f"inputs without {what}: {_shares(gained)}"


def _distinct(values: Values) -> Values:
    """Each row once; rows are told apart by one number, a sum with weights that no measure shares."""
    weights = np.sqrt(np.arange(2.0, 2.0 + values.shape[1]))
    keys = (values.astype(np.float64) * weights).sum(axis=1)
    return values[np.unique(keys, return_index=True)[1]]


def _piled_up(
    signs: Signs, known: NDArray[np.intp], seen: NDArray[np.intp], length: int
) -> tuple[float, float] | None:
    """The shares of one length before, there or beside it, and now; None if it is not far more frequent."""
    rows = seen == length
    usual = max(range(length - 1, length + 2), key=lambda other: int((known == other).sum()))
    gained = signs.gain(known == usual, rows)
    return gained if gained and signs.otherwise_alike(rows, ("uppercase_share", "surprisal")) else None


def _tokens(values: Values) -> NDArray[np.intp]:
    return np.rint(np.exp(values[:, MEASURES.index("log_tokens")])).astype(np.intp)


def _words(values: Values) -> NDArray[np.intp]:
    """How many words each input has: texts that were cut before they were sent are cut by words.

    0 for an image or token ids, whose tokens belong to no word.
    """
    content = _tokens(values) - values[:, MEASURES.index("special_tokens")]
    pieces = values[:, MEASURES.index("tokens_per_word")]
    counts = np.divide(content, pieces, out=np.zeros(len(values)), where=pieces > 0)
    return np.rint(counts).astype(np.intp)


def _standing_out(seen: NDArray[np.intp]) -> list[int]:
    """Lengths that are far more frequent than the ones beside them, the most frequent first."""
    if not len(seen):
        return []
    counts = np.bincount(seen, minlength=2)
    beside = np.maximum(np.append(counts[1:], 0), np.append(0, counts[:-1]))
    chance = binom.sf(counts - 1, counts + beside, 0.5)
    found = np.flatnonzero((chance < BOUND) & (counts >= FEWEST))
    return [int(length) for length in found[np.argsort(-counts[found], kind="stable")]]


def _setting(changes: Changes, *names: str) -> str:
    """A setting of the pipeline that changed: ``padding side right -> left``."""
    return ", ".join(item for item in changes.pipeline if item.startswith(names))


def _shares(shares: tuple[float, float]) -> str:
    before, now = (plain_number(100 * share) for share in shares)
    return f"{before} % -> {now} %"


def _number(value: float) -> str:
    return plain_number(float(value), 3)
