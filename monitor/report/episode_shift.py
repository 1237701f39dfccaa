"""What kind of change a drift of the traffic is: one new word, or texts that differ as a whole."""

from __future__ import annotations

import math

from monitor.records import MeasureEvidence, Verdict, WordEvidence
from monitor.report.episode_data import EpisodeReport
from monitor.report.episode_words import change_in_sd, figure, in_alarm, percent, words_of

MANY_WORDS = 4
RARE = 0.01
"""Of the requests: a word that fewer held before is new."""
SMALLEST_MOVE = 0.2
"""sd: the default of ``drift.minimum_effect``; chance is taken at 3 standard errors, as severity takes it."""
LARGEST_BY_A_WORD = 3.0
"""sd by which a word may move a measure of the texts that hold it; what moves further has other reasons."""
_BY_A_WORD = frozenset({"surprisal", "tokens_per_word", "unknown_share"})
"""What any new word moves, however rare it was."""
_SHARES_OF = {
    "unknown_share": "tokens",
    "truncated": "texts",
    "uppercase_share": "letters",
    "punctuation_share": "characters",
}
_WAYS = {
    "log_tokens": ("longer texts", "shorter texts"),
    "unknown_share": ("more unknown tokens", "fewer unknown tokens"),
    "truncated": ("more texts cut short", "fewer texts cut short"),
    "special_tokens": ("more special tokens", "fewer special tokens"),
    "tokens_per_word": ("words cut into more pieces", "words cut into fewer pieces"),
    "uppercase_share": ("more capital letters", "fewer capital letters"),
    "punctuation_share": ("more punctuation", "less punctuation"),
    "surprisal": ("rarer words", "more usual words"),
}


def single_word(report: EpisodeReport) -> WordEvidence | None:
    """The one word that an alarm is about: strongest of few, hardly there before, none lost for it.

    None where the texts differ as a whole: there a word is one sign of many, and seldom the best one.
    """
    verdict = report.verdict
    words = words_of(verdict)
    if "tokens" not in _alarms(verdict) or not 0 < len(words) < MANY_WORDS:
        return None
    if any(item.after < item.before and item.kind == "present" for item in words):
        return None
    first = next((item for item in words if item.after > item.before), None)
    if first is None or first.before >= RARE:
        return None
    held = max(item.after - item.before for item in words)
    shape = [item for item in moved_measures(report) if item.measure not in _BY_A_WORD]
    return None if any(abs(item.effect) > LARGEST_BY_A_WORD * held for item in shape) else first


def differs_as_a_whole(report: EpisodeReport) -> bool:
    """Whether the texts read differently in more than a word or two."""
    if single_word(report) is not None:
        return False
    counted = "tokens" in _alarms(report.verdict) and bool(words_of(report.verdict))
    return counted or bool(moved_measures(report))


def moved_measures(report: EpisodeReport) -> list[MeasureEvidence]:
    """The measures of the inputs that moved by more than chance and than is worth a word, largest first."""
    channel = report.verdict.channels.get("input")
    if channel is None or not channel.alarm:
        return []
    least = max(SMALLEST_MOVE, 0.75 * report.chance)
    moved = [item for item in channel.measures if item.measure in _WAYS and abs(item.effect) >= least]
    return sorted(moved, key=lambda item: -abs(item.effect))


def readable(words: list[WordEvidence]) -> list[WordEvidence]:
    """Those that may be shown, words before punctuation, each in the order of its evidence."""
    shown = [item for item in words if not is_hidden(item)]
    return sorted(shown, key=lambda item: not any(letter.isalnum() for letter in item.word))


def is_hidden(item: WordEvidence) -> bool:
    """Whether a word is a keyed hash, since too few requests share it."""
    return item.hidden


def way(item: MeasureEvidence) -> str:
    """Which way a measure of the inputs moved, in words: ``more capital letters``."""
    more, less = _WAYS[item.measure]
    return more if item.effect > 0 else less


def way_with_figures(item: MeasureEvidence) -> str:
    """The same with its figures in the unit that people know."""
    return f"{way(item)} ({_figures(item)})"


def _figures(item: MeasureEvidence) -> str:
    if item.measure == "surprisal":
        return change_in_sd(item.effect)
    if item.measure in _SHARES_OF:
        return f"{percent(item.before)} → {percent(item.after)} of the {_SHARES_OF[item.measure]}"
    if item.measure == "log_tokens":
        return f"about {math.exp(item.before):.0f} → {math.exp(item.after):.0f} tokens"
    unit = " tokens a word" if item.measure == "tokens_per_word" else " a text"
    return f"{figure(item.before)} → {figure(item.after)}{unit}"


def _alarms(verdict: Verdict) -> set[str]:
    return {channel.channel for channel in in_alarm(verdict)}
