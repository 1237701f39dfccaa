"""What an engineer reads first: a headline, and three sentences."""

from __future__ import annotations

from types import MappingProxyType

from monitor.records import Verdict
from monitor.report.episode_clauses import as_a_whole, clauses, label_moved, quoted, texts
from monitor.report.episode_data import EpisodeReport
from monitor.report.episode_shift import SMALLEST_MOVE, differs_as_a_whole, is_hidden, single_word
from monitor.report.episode_steps import steps
from monitor.report.episode_words import (
    SUSPECTED,
    capital,
    change_in_sd,
    in_alarm,
    joined,
    lower,
    moved_labels,
    named_heads,
    number,
    percent,
    probe_compared,
    since,
    utc,
)

MOST_CLAUSES = 3
_URGENCY = MappingProxyType(
    {
        "page": "Look at it now",
        "ticket": "Look at it in working hours",
        "note": "Nothing needs to be done now",
        None: "Look at the evidence below",
    }
)
_ENDS = MappingProxyType(
    {
        "over": "it is over",
        "accepted": "the new traffic was accepted as the new normal",
        "superseded": "another revision's baseline took its place",
    }
)


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
    word = single_word(report)
    if word is not None:
        name = "a word that is hidden here" if is_hidden(word) else f"the word {quoted(word)}"
        return f"New in the inputs: {name}"
    if differs_as_a_whole(report):
        return f"{capital(texts(report))} read differently: {as_a_whole(report)}"
    return _by_channel(report)


def _by_channel(report: EpisodeReport) -> str:
    """Where neither words nor the shape of the texts moved: what the model makes of them."""
    alarms = {channel.channel for channel in in_alarm(report.verdict)}
    heads, label = named_heads(report.verdict), moved_labels(report)
    if "prediction" in alarms and label is not None and label_moved(report):
        shares = f"{percent(label.after)} of the requests, not {percent(label.before)}"
        return f"“{label.name}” is predicted for {shares}"
    if "prediction" in alarms:
        return "The predictions changed"
    if "heads" in alarms and heads:
        more = f" and {len(heads) - 1} more" if len(heads) > 1 else ""
        return f"Attention changed on the traffic: head {heads[0].head}{more}"
    if alarms & {"heads", "rollout"}:
        return "Attention changed on the traffic, in no single head"
    return "The traffic is unlike that of the baseline"


def sentences(report: EpisodeReport) -> tuple[tuple[str, str], ...]:
    """(label, sentence) three times: what and since when; data or model and does it matter; what to do."""
    return (
        ("What changed", _what(report)),
        ("Why, and does it matter", _why(report)),
        ("What to do", _todo(report)),
    )


def _what(report: EpisodeReport) -> str:
    moved = clauses(report)[:MOST_CLAUSES]
    ended = "it was over by" if report.outcome == "over" else "the episode was closed at"
    over = "" if report.ended is None else f"; {ended} {utc(report.ended)}"
    said = "; ".join(moved) if moved else "the requests as a whole are unlike those of the baseline"
    return f"Since {since(report)}, {said}{over}."


def _why(report: EpisodeReport) -> str:
    """Data or model, how that is known, and whether the predictions moved."""
    verdict = report.verdict
    announced = ", as was announced" if verdict.declared else ""
    looks = [f"it looks like {SUSPECTED[item.name]} ({item.sign})" for item in verdict.suspicions]
    return f"{capital('; '.join([f'{_cause(report)}{announced}', *looks, _harm(report)]))}."


def _cause(report: EpisodeReport) -> str:
    verdict = report.verdict
    if not verdict.causes:
        return "the cause is not known"
    told = {
        "data": _by_data,
        "model": _by_model,
        "environment": _by_environment,
        "serving": lambda _: (
            "the serving changed, not the model (replayed here it does what it always did, but the server no "
            "longer agrees with it)"
        ),
    }
    return joined([told[one](report) for one in verdict.causes])


def _by_data(report: EpisodeReport) -> str:
    if "model" in report.verdict.causes or "environment" in report.verdict.causes:
        return "besides that the data (words or inputs that no model has a part in)"
    if not probe_compared(report.verdict):
        return "the data are taken to have changed (no fixed inputs were re-run that could show it)"
    return (
        "the data changed, not the model (its fixed probe inputs give the same numbers as on the day of the "
        "baseline)"
    )


def _by_model(report: EpisodeReport) -> str:
    differ = (
        f"other weights in {report.changed_parts}" if report.changed_parts else "its files are other ones"
    )
    return f"the model changed ({differ}; the same fixed inputs give other numbers)"


def _by_environment(report: EpisodeReport) -> str:
    verdict = report.verdict
    if verdict.upgrades:
        return (
            f"the environment changed (the model's files are the same, but {joined(list(verdict.upgrades))})"
        )
    return (
        "the environment changed (the model's files are the same, but its fixed inputs give other numbers: a "
        "library, the hardware or the precision)"
    )


def _harm(report: EpisodeReport) -> str:
    """Whether it matters, with what the predictions do as the reason for that or the exception from it."""
    verdict, moved = report.verdict, _prediction_moved(report)
    if verdict.severity == "page" and not moved:
        unknown = (
            "the server's answers are not its model's"
            if verdict.cause == "serving"
            else "what runs is not the model that the baseline knows"
        )
        return f"it matters, for {unknown}, even though {_predictions(report)}"
    if verdict.severity is None:
        return _predictions(report)
    lead, expected = {
        "page": ("it matters", True),
        "ticket": ("it may matter", True),
        "note": ("as far as can be seen it does not matter", False),
    }[verdict.severity]
    link = ", for" if moved == expected else ", though"
    return f"{lead}{link if report.predictions else ':'} {_predictions(report)}"


def _predictions(report: EpisodeReport) -> str:
    """Whether the predictions moved, and which."""
    label = moved_labels(report)
    if not report.predictions:
        return "this model predicts nothing that could be compared"
    if not _prediction_moved(report):
        noticed = _measurably_moved(report) or _prediction_alarm(report)
        return f"the predictions {'moved by less than counts as harm' if noticed else 'hold so far'}"
    if label is not None and label_moved(report):
        return (
            f"the predictions moved too, “{label.name}” from {percent(label.before)} to "
            f"{percent(label.after)} of the requests"
        )
    return f"the predictions moved too{_prediction(report)}"


def _todo(report: EpisodeReport) -> str:
    """How urgent it is, and the first step."""
    severity, urgency = report.verdict.severity, _URGENCY[report.verdict.severity]
    if report.ended is not None:
        advice = "" if severity in ("note", None) else f"; while it stood the advice was: {lower(urgency)}"
        return f"Nothing more: {_ENDS[report.outcome]}{advice}."
    given = steps(report)
    if severity == "note" or not given:
        return f"{urgency}."
    return f"{urgency}: {lower(given[0])}"


def _prediction(report: EpisodeReport) -> str:
    """The measure of the predictions that moved most, in the detector's numbers; empty without any."""
    channel = report.verdict.channels.get("prediction")
    if channel is None or not channel.measures:
        return ""
    item = max(channel.measures, key=lambda one: abs(one.effect))
    names = {"top_probability": "their confidence", "entropy": "their uncertainty"}
    return (
        f", {names.get(item.measure, item.measure)} from {number(item.before)} to {number(item.after)} "
        f"({change_in_sd(item.effect)})"
    )


def _prediction_moved(report: EpisodeReport) -> bool:
    """As the severity took it; where something else decided that, by what was measured."""
    told = _moved_by_severity(report.verdict)
    return _measurably_moved(report) if told is None else told


def _moved_by_severity(verdict: Verdict) -> bool | None:
    """Whether the predictions moved, where the severity tells: drift of the data is a page for that alone.

    None where the model or the serving made it a page, or an announcement or an upgrade made it less.
    """
    known = "environment" in verdict.causes and (verdict.declared or bool(verdict.upgrades))
    if verdict.severity is None or {"model", "serving"} & set(verdict.causes) or known:
        return None
    return verdict.severity == "page" if verdict.causes else None


def _measurably_moved(report: EpisodeReport) -> bool:
    """By the detector's effects, with the length taken out, where chance does not explain them."""
    channel = report.verdict.channels.get("prediction")
    effect = 0.0 if channel is None else max((abs(item.effect) for item in channel.measures), default=0.0)
    return effect >= max(SMALLEST_MOVE, 0.75 * report.chance)


def _prediction_alarm(report: EpisodeReport) -> bool:
    channel = report.verdict.channels.get("prediction")
    return channel is not None and channel.alarm
