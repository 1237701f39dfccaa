"""What moved, one clause a channel, the most telling first: the middle of a report's first sentence."""

from __future__ import annotations

import math

from monitor.records import HeadEvidence, MeasureEvidence, WordEvidence
from monitor.records.statistic_names import PHRASES
from monitor.report.episode_data import EpisodeReport
from monitor.report.episode_shift import (
    differs_as_a_whole,
    is_hidden,
    moved_measures,
    readable,
    single_word,
    way,
    way_with_figures,
)
from monitor.report.episode_words import (
    MEASURES,
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
from monitor.report.html.visible import visible

FEW_HEADS = 3
TOLD_WORDS, TOLD_MEASURES = 2, 3
LABEL_MOVED = 0.02
"""Of the requests; a label that moved by less is not the news."""


def clauses(report: EpisodeReport) -> list[str]:
    """What moved in the channels in alarm."""
    verdict = report.verdict
    alarms = {channel.channel: channel for channel in in_alarm(verdict)}
    whole = differs_as_a_whole(report)
    said = [
        _model(report) if "model" in alarms else "",
        _served(alarms["fidelity"].measures) if "fidelity" in alarms else "",
        _texts(report) if whole else _words(report),
        _heads(report, briefly=whole) if "heads" in alarms and "model" not in alarms else "",
        _labels(report) if "prediction" in alarms else "",
    ]
    said += [
        _measure(alarms[name].measures[0])
        for name in ("input", "rollout")
        if name in alarms and alarms[name].measures and not whole
    ]
    return [one for one in said if one]


def as_a_whole(report: EpisodeReport) -> str:
    """Which way the texts differ as a whole, without figures: ``more capital letters and other words``."""
    ways = [way(item) for item in _told_measures(report)[:TOLD_WORDS]]
    return joined([*ways, *([_other_words(report)] if _counted(report) else [])])


def texts(report: EpisodeReport) -> str:
    """What the inputs are called."""
    return "the texts" if "tokens" in report.verdict.channels else "the inputs"


def quoted(item: WordEvidence) -> str:
    """A word as a sentence has it."""
    return (
        f"{item.word} (hidden: too few requests share it)" if is_hidden(item) else f"“{visible(item.word)}”"
    )


def label_moved(report: EpisodeReport) -> bool:
    """Whether the mix of the predictions is news."""
    label = moved_labels(report)
    return label is not None and abs((label.after or 0.0) - (label.before or 0.0)) >= LABEL_MOVED


def _model(report: EpisodeReport) -> str:
    heads = named_heads(report.verdict)
    where = f", first in head {heads[0].head}, {_does(report, heads[0])}" if heads else ""
    return f"the model gives other answers to its fixed probe inputs{where}"


def _heads(report: EpisodeReport, *, briefly: bool) -> str:
    """``briefly``: as one sign of many, without which of them stand beside the first."""
    heads = named_heads(report.verdict)
    if not heads:
        return "" if briefly else "what the attention heads do changed, though none can be named for it"
    lead, count = heads[0], len(heads)
    if briefly:
        lead = max(heads, key=lambda item: abs(_on_the_map(report, item)))
        where = f"{count} heads, above all {lead.head}" if count > 1 else f"head {lead.head}"
        return f"with that, attention changed in {where}, {_does(report, lead)}"
    others = [str(item.head) for item in heads[1:FEW_HEADS]]
    if count > FEW_HEADS:
        others.append(f"{count - FEW_HEADS} more")
    also = f"; so did {joined(others)}" if others else ""
    return f"attention head {lead.head} changed, {_does(report, lead)}{also}"


def _on_the_map(report: EpisodeReport, item: HeadEvidence) -> float:
    """The head's change as the map shows it; the detector's own has the length taken out."""
    known = item.head.layer < len(report.effects)
    return report.effects[item.head.layer][item.head.head] if known else item.effect


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


def _texts(report: EpisodeReport) -> str:
    """How the texts differ as a whole: their strongest measures, then the words that may be shown."""
    ways = [way_with_figures(item) for item in _told_measures(report)[:TOLD_MEASURES]]
    told = joined([*ways, *([_many_words(report)] if _counted(report) else [])])
    return f"{texts(report)} as a whole read differently: {told}"


def _told_measures(report: EpisodeReport) -> list[MeasureEvidence]:
    """Those that moved; how rare the words are is told with the words where these are."""
    counted = bool(_counted(report))
    return [item for item in moved_measures(report) if item.measure != "surprisal" or not counted]


def _other_words(report: EpisodeReport) -> str:
    rarer = any(item.measure == "surprisal" and item.effect > 0 for item in moved_measures(report))
    return "other and rarer words" if rarer else "other words"


def _counted(report: EpisodeReport) -> list[WordEvidence]:
    """The words gained and lost, where their channel is in alarm."""
    alarmed = any(channel.channel == "tokens" for channel in in_alarm(report.verdict))
    return list(words_of(report.verdict)) if alarmed else []


def _many_words(report: EpisodeReport) -> str:
    words = _counted(report)
    shown = [
        f"{quoted(item)} {percent(item.before)} → {percent(item.after)}"
        for item in readable(words)[:TOLD_WORDS]
    ]
    told = f"{joined(shown)} of the requests" if shown else "hidden here, for too few requests share each"
    return f"{_other_words(report)} ({told})"


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


def _words(report: EpisodeReport) -> str:
    """The one word that it is about, and the few that moved with it."""
    first = single_word(report)
    if first is None:
        return ""
    does = "stands in" if first.kind == "present" else "is among the words that drive the prediction of"
    before = "never" if first.before < 1e-4 else percent(first.before)
    others = [quoted(item) for item in _counted(report) if item != first]
    also = f"; moved too: {', '.join(others)}" if others else ""
    name = f"the word {quoted(first)}"
    if is_hidden(first):
        name = f"a word that is hidden here, for fewer than {report.hidden_below} requests share it,"
    return f"{name} {does} {percent(first.after)} of the requests (before: {before}){also}"


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
