"""What an engineer reads first: a headline and three sentences, then what to do."""

from __future__ import annotations

import math

from monitor.records import HeadEvidence, Verdict, WordEvidence
from monitor.report.episode_data import EpisodeReport
from monitor.report.episode_words import (
    MEASURES,
    PHRASES,
    SUSPECTED,
    capital,
    change_in_sd,
    figure,
    in_alarm,
    joined,
    moved_labels,
    named_heads,
    number,
    past,
    percent,
    present,
    since,
    utc,
    words_of,
)

MOST_CLAUSES = 3
FEW_HEADS = 3
LABEL_MOVED = 0.02
"""Of the requests; a label that moved by less is not the news."""
SMALLEST_MOVE = 0.2
"""sd: the default of ``drift.minimum_effect``; chance is taken at 3 standard errors, as severity takes it."""


def headline(report: EpisodeReport) -> str:
    """One line: what it is about."""
    verdict = report.verdict
    heads = named_heads(verdict)
    first = verdict.cause
    if first == "model":
        where = f", first in head {heads[0].head}" if heads else ""
        return f"The model itself changed{where}"
    if first == "serving":
        return "The server no longer answers as its model does"
    if first == "environment":
        return "The same model files give other numbers"
    gained = [item for item in words_of(verdict) if item.after > item.before]
    alarms = {channel.channel for channel in in_alarm(verdict)}
    if gained and "tokens" in alarms:
        return f"New in the inputs: the word {_quoted(gained[0])}"
    if "heads" in alarms or "rollout" in alarms:
        return "The inputs changed, and what attention does with them"
    if "prediction" in alarms:
        return "The inputs changed, and with them the predictions"
    return "The inputs changed"


def sentences(report: EpisodeReport) -> tuple[tuple[str, str], ...]:
    """(label, sentence) three times: what changed and since when, the cause, whether it matters."""
    return (
        ("What changed", _what(report)),
        ("Why", _why(report)),
        ("Does it matter", _harm(report)),
    )


def _what(report: EpisodeReport) -> str:
    clauses = _clauses(report)[:MOST_CLAUSES]
    over = "" if report.ended is None else f"; it was over by {utc(report.ended)}"
    said = "; ".join(clauses) if clauses else "the requests as a whole are unlike those of the baseline"
    return f"Since {since(report)}, {said}{over}."


def _clauses(report: EpisodeReport) -> list[str]:
    """What moved, most telling first."""
    verdict = report.verdict
    alarms = {channel.channel: channel for channel in in_alarm(verdict)}
    said: list[str] = []
    if "model" in alarms:
        said.append(_model(report))
    words = [item for item in words_of(verdict) if "tokens" in alarms]
    if words:
        said.append(_words(words))
    if "heads" in alarms and "model" not in alarms:
        said.append(_heads(report))
    if "fidelity" in alarms:
        by_name = {item.measure: item for item in alarms["fidelity"].measures}
        differs = by_name.get("label_differs")
        said.append(
            "served and replayed predictions part"
            if differs is None
            else f"the server gave another label than the replay on {percent(differs.after)} of the requests "
            f"(before: {percent(differs.before)})"
        )
    if "prediction" in alarms:
        label = moved_labels(report)
        said.append(
            "the predictions moved"
            if label is None or abs((label.after or 0) - (label.before or 0)) < LABEL_MOVED
            else f"“{label.name}” is predicted for {percent(label.after)} of the requests (before: "
            f"{percent(label.before)})"
        )
    for name in ("input", "rollout"):
        if name in alarms and alarms[name].measures:
            item = alarms[name].measures[0]
            towards = "up" if item.effect > 0 else "down"
            said.append(f"{MEASURES.get(item.measure, item.measure)} went {towards} by {_size(item.effect)}")
    return said


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


def _words(words: list[WordEvidence]) -> str:
    """The strongest word, and how many there are besides."""
    first = words[0]
    does = "stands in" if first.kind == "present" else "is among the words that drive the prediction of"
    before = "never" if first.before < 1e-4 else percent(first.before)
    others = [_quoted(item) for item in words[1:3]]
    more = f" and {len(words) - 3} more" if len(words) > 3 else ""
    also = f"; moved too: {', '.join(others)}{more}" if others else ""
    return f"the word {_quoted(first)} {does} {percent(first.after)} of the requests (before: {before}){also}"


def _quoted(item: WordEvidence) -> str:
    return (
        f"{item.word} (hidden: too few requests share it)" if item.word.startswith("#") else f"“{item.word}”"
    )


def _size(effect: float) -> str:
    return f"{number(abs(effect), 2)} standard deviations"


def _why(report: EpisodeReport) -> str:
    verdict = report.verdict
    if not verdict.causes:
        return "The cause is not known."
    told = {
        "data": _by_data(report),
        "model": _by_model(report),
        "environment": _by_environment(verdict),
        "serving": "the model replayed here does what it always did, but the server no longer agrees with it",
    }
    names = {
        "data": "the data",
        "model": "the model",
        "environment": "the environment",
        "serving": "the serving",
    }
    cause = joined([names[one] for one in verdict.causes])
    many = "are" if len(verdict.causes) > 1 else "is"
    noun = "The causes" if len(verdict.causes) > 1 else "The cause"
    announced = " The change was announced." if verdict.declared else ""
    suspected = "".join(f" It looks like {SUSPECTED[item.name]}: {item.sign}." for item in verdict.suspicions)
    return f"{noun} {many} {cause}: {'; '.join(told[one] for one in verdict.causes)}.{announced}{suspected}"


def _by_data(report: EpisodeReport) -> str:
    if "model" in report.verdict.causes or "environment" in report.verdict.causes:
        return "besides that, words or inputs changed that no model has a part in"
    if report.probe is None:
        return "no fixed inputs were re-run, so that it is the data is taken for granted, not shown"
    return (
        "the model gives the same numbers for its fixed probe inputs as on the day of the baseline, so what "
        "changed is what it is given"
    )


def _by_model(report: EpisodeReport) -> str:
    differ = f" (those of {report.changed_parts})" if report.changed_parts else ""
    return f"its files are other ones{differ}, and the same fixed inputs give other numbers"


def _by_environment(verdict: Verdict) -> str:
    if verdict.upgrades:
        return f"the files are the same, but {joined(list(verdict.upgrades))}"
    return (
        "the files are the same, but the same fixed inputs give other numbers: a library, the hardware or "
        "the precision changed"
    )


def _harm(report: EpisodeReport) -> str:
    verdict = report.verdict
    label, moved = moved_labels(report), _prediction_moved(report)
    if moved and label is not None and abs((label.after or 0) - (label.before or 0)) >= LABEL_MOVED:
        state = (
            f"predictions moved too: “{label.name}” went from {percent(label.before)} to "
            f"{percent(label.after)} of the requests"
        )
    elif moved:
        state = f"predictions moved too: {_prediction(report)}"
    elif report.predictions:
        state = "the predictions hold so far"
    else:
        state = "this model predicts nothing that could be compared"
    todo = {
        "page": "look at it now",
        "ticket": "look at it in working hours",
        "note": "nothing needs to be done now",
        None: "",
    }[verdict.severity]
    lead = {"page": "Yes", "ticket": "It may", "note": "Not as far as can be seen", None: "Not known"}
    if verdict.severity == "page" and not moved:
        unknown = (
            "the server's answers are not its model's"
            if verdict.cause == "serving"
            else ("what runs is not what was known to be well")
        )
        state = f"{unknown}, even though {state}"
    if report.ended is not None:
        todo = f"while it stood, the advice was to {todo}" if verdict.severity != "note" else todo
    return f"{lead[verdict.severity]}: {state}{'; ' if todo else ''}{todo}."


def _prediction(report: EpisodeReport) -> str:
    """The measure of the predictions that moved most, in the detector's numbers."""
    item = max(report.verdict.channels["prediction"].measures, key=lambda one: abs(one.effect))
    names = {"top_probability": "their confidence", "entropy": "their entropy"}
    return (
        f"{names.get(item.measure, item.measure)} went from {number(item.before)} to {number(item.after)} "
        f"({change_in_sd(item.effect)})"
    )


def _prediction_moved(report: EpisodeReport) -> bool:
    """By the detector's effects, with the length taken out, where chance does not explain them."""
    channel = report.verdict.channels.get("prediction")
    effect = 0.0 if channel is None else max((abs(item.effect) for item in channel.measures), default=0.0)
    return effect >= max(SMALLEST_MOVE, 0.75 * report.chance)


def steps(report: EpisodeReport) -> list[str]:
    """What to do now, most urgent first: plain text."""
    verdict = report.verdict
    found = [f"Look for {SUSPECTED[item.name]} first." for item in verdict.suspicions]
    if "model" in verdict.causes:
        found.append(
            "Compare the deployed revision with the one that should run. Roll back, or, if the change was "
            "meant, declare the revision in the traffic."
        )
        if named_heads(verdict):
            found.append(
                "The framed heads point at the weights: compare the files with what should be deployed."
            )
    if "serving" in verdict.causes:
        found.append(
            "Check that the server runs the same revision and the same preprocessing; replay one request by "
            "hand with `headwatch explain`."
        )
    if "environment" in verdict.causes:
        found.append(
            "Build the baseline again when there is time."
            if verdict.upgrades
            else "Look for a new image, node type, driver, or a changed precision."
        )
    if "data" in verdict.causes:
        found.append(_about_words(verdict))
        found.append(
            "If the new traffic is wanted, accept it: `headwatch baseline promote --config FILE` makes it "
            "the "
            "baseline."
        )
    if verdict.severity == "page":
        found.append("If answers are wrong, put the fallback in front of the model before looking for more.")
    return [capital(one) for one in found if one]


def _about_words(verdict: Verdict) -> str:
    words = words_of(verdict)
    if not words or not any(channel.channel == "tokens" for channel in in_alarm(verdict)):
        return "Find out who sends the traffic and what they changed since then."
    return (
        f"Find out who sends {_quoted(words[0])}: one sender, a template, a campaign, or somebody who "
        "tries a "
        "trigger. Your own logs have the requests."
    )
