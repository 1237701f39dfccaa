"""What an engineer reads first: a headline, and three sentences."""

from __future__ import annotations

from monitor.records import Verdict
from monitor.report.episode_clauses import clauses, label_moved, quoted, single_word
from monitor.report.episode_data import EpisodeReport
from monitor.report.episode_words import (
    SUSPECTED,
    change_in_sd,
    in_alarm,
    joined,
    moved_labels,
    named_heads,
    number,
    percent,
    since,
    utc,
)

MOST_CLAUSES = 3
SMALLEST_MOVE = 0.2
"""sd: the default of ``drift.minimum_effect``; chance is taken at 3 standard errors, as severity takes it."""
_TRAFFIC = {
    "tokens": "other words",
    "input": "another shape",
    "heads": "other attention",
    "prediction": "other predictions",
}


def headline(report: EpisodeReport) -> str:
    """One line: what it is about."""
    verdict = report.verdict
    if verdict.cause == "model":
        heads = named_heads(verdict)
        return f"The model itself changed{f', first in head {heads[0].head}' if heads else ''}"
    if verdict.cause == "serving":
        return "The server no longer answers as its model does"
    if verdict.cause == "environment":
        return "The same model files give other numbers"
    word = single_word(verdict)
    if word is not None:
        hidden = word.word.startswith("#")
        return f"New in the inputs: {'a word that is hidden here' if hidden else f'the word {quoted(word)}'}"
    alarms = {channel.channel for channel in in_alarm(verdict)}
    moved = [name for one, name in _TRAFFIC.items() if one in alarms]
    return f"The inputs changed{': ' if moved else ''}{joined(moved)}"


def sentences(report: EpisodeReport) -> tuple[tuple[str, str], ...]:
    """(label, sentence) three times: what changed and since when, the cause, whether it matters."""
    return (
        ("What changed", _what(report)),
        ("Why", _why(report)),
        ("Does it matter", _harm(report)),
    )


def _what(report: EpisodeReport) -> str:
    moved = clauses(report)[:MOST_CLAUSES]
    over = "" if report.ended is None else f"; it was over by {utc(report.ended)}"
    said = "; ".join(moved) if moved else "the requests as a whole are unlike those of the baseline"
    return f"Since {since(report)}, {said}{over}."


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
    if moved and label is not None and label_moved(report):
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
    names = {"top_probability": "their confidence", "entropy": "their uncertainty"}
    return (
        f"{names.get(item.measure, item.measure)} went from {number(item.before)} to {number(item.after)} "
        f"({change_in_sd(item.effect)})"
    )


def _prediction_moved(report: EpisodeReport) -> bool:
    """By the detector's effects, with the length taken out, where chance does not explain them."""
    channel = report.verdict.channels.get("prediction")
    effect = 0.0 if channel is None else max((abs(item.effect) for item in channel.measures), default=0.0)
    return effect >= max(SMALLEST_MOVE, 0.75 * report.chance)
