"""What moved, one clause a channel, the most telling first: the middle of a report's first sentence."""

from __future__ import annotations

import math

from monitor.records import HeadEvidence, MeasureEvidence, Verdict, WordEvidence
from monitor.report.episode_data import EpisodeReport
from monitor.report.episode_words import (
    MEASURES,
    PHRASES,
    change_in_sd,
    figure,
    in_alarm,
    joined,
    moved_labels,
    named_heads,
    past,
    percent,
    present,
    words_of,
)

FEW_HEADS = 3
MANY_WORDS = 4
RARE = 0.01
"""Of the requests: a word that fewer held before is new."""
LABEL_MOVED = 0.02
"""Of the requests; a label that moved by less is not the news."""


def clauses(report: EpisodeReport) -> list[str]:
    """What moved in the channels in alarm."""
    verdict = report.verdict
    alarms = {channel.channel: channel for channel in in_alarm(verdict)}
    words = list(words_of(verdict)) if "tokens" in alarms else []
    said = [
        _model(report) if "model" in alarms else "",
        _words(verdict, words) if words else "",
        _heads(report) if "heads" in alarms and "model" not in alarms else "",
        _served(alarms["fidelity"].measures) if "fidelity" in alarms else "",
        _labels(report) if "prediction" in alarms else "",
    ]
    said += [
        _measure(alarms[name].measures[0])
        for name in ("input", "rollout")
        if name in alarms and alarms[name].measures
    ]
    return [one for one in said if one]


def single_word(verdict: Verdict) -> WordEvidence | None:
    """The one word that an alarm is about: strongest of few, and hardly there before."""
    words = words_of(verdict)
    if "tokens" not in {channel.channel for channel in in_alarm(verdict)} or not 0 < len(words) < MANY_WORDS:
        return None
    first = next((item for item in words if item.after > item.before), None)
    return first if first is not None and first.before < RARE else None


def quoted(item: WordEvidence) -> str:
    """A word as a sentence has it."""
    hidden = f"{item.word} (hidden: too few requests share it)"
    return hidden if item.word.startswith("#") else f"“{item.word}”"


def label_moved(report: EpisodeReport) -> bool:
    """Whether the mix of the predictions is news."""
    label = moved_labels(report)
    return label is not None and abs((label.after or 0.0) - (label.before or 0.0)) >= LABEL_MOVED


def _model(report: EpisodeReport) -> str:
    heads = named_heads(report.verdict)
    where = f", first in head {heads[0].head}, {_does(report, heads[0])}" if heads else ""
    return f"the model gives other answers to its fixed probe inputs{where}"


def _heads(report: EpisodeReport) -> str:
    heads = named_heads(report.verdict)
    if not heads:
        return "what the attention heads do changed, though no single one can be named for it"
    lead, count = heads[0], len(heads)
    others = [str(item.head) for item in heads[1:FEW_HEADS]]
    if count > FEW_HEADS:
        others.append(f"{count - FEW_HEADS} more")
    also = f"; so did {joined(others)}" if others else ""
    return f"attention head {lead.head} changed, {_does(report, lead)}{also}"


def _does(report: EpisodeReport, item: HeadEvidence) -> str:
    """What a head does now, in words where another role leads, else its statistic in numbers."""
    story = next((one for one in report.stories if one.head == item.head), None)
    if story is not None and story.role_before and story.role_after and story.role_before != story.role_after:
        return f"which {past(story.role_before)} before and {present(story.role_after)} now"
    name = PHRASES.get(item.statistic, item.statistic)
    before, after = item.before, item.after
    if item.statistic == "output_norm":
        # Kept as a logarithm, which nobody reads at night.
        before, after = math.exp(before), math.exp(after)
    return f"where {name} went from {figure(before)} to {figure(after)}"


def _many_words(words: list[WordEvidence]) -> str:
    gained = sum(item.after > item.before for item in words)
    clear = [item for item in words if item.word[:1].isalpha()] or words
    few = [f"{quoted(item)} {percent(item.before)} → {percent(item.after)}" for item in clear[:2]]
    lost = len(words) - gained
    return f"words changed ({gained} gained, {lost} lost, above all {joined(few)} of the requests)"


def _measure(item: MeasureEvidence) -> str:
    """A measure of the inputs in the unit that people know."""
    name = MEASURES.get(item.measure, item.measure)
    if item.measure.endswith("_share") or item.measure == "truncated":
        return f"{name} went from {percent(item.before)} to {percent(item.after)}"
    if item.measure == "log_tokens":
        return f"{name} went from about {math.exp(item.before):.0f} tokens to {math.exp(item.after):.0f}"
    if item.measure == "surprisal":
        return f"the words are {'more' if item.effect > 0 else 'less'} unusual ({change_in_sd(item.effect)})"
    return f"{name} went from {figure(item.before)} to {figure(item.after)}"


def _words(verdict: Verdict, words: list[WordEvidence]) -> str:
    """The one word that it is about and the next ones; else how many there are, and the strongest."""
    first = single_word(verdict)
    if first is None:
        return _many_words(words)
    does = "stands in" if first.kind == "present" else "is among the words that drive the prediction of"
    before = "never" if first.before < 1e-4 else percent(first.before)
    others = [quoted(item) for item in words if item != first]
    also = f"; moved too: {', '.join(others)}" if others else ""
    return f"the word {quoted(first)} {does} {percent(first.after)} of the requests (before: {before}){also}"


def _served(measures: tuple[MeasureEvidence, ...]) -> str:
    differs = next((item for item in measures if item.measure == "label_differs"), None)
    if differs is None:
        return "served and replayed predictions part"
    return (
        f"the server gave another label than the replay on {percent(differs.after)} of the requests "
        f"(before: {percent(differs.before)})"
    )


def _labels(report: EpisodeReport) -> str:
    label = moved_labels(report)
    if label is None or not label_moved(report):
        return "the predictions moved"
    return (
        f"“{label.name}” is predicted for {percent(label.after)} of the requests "
        f"(before: {percent(label.before)})"
    )
