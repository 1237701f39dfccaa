"""What a person reads in MLflow: names of runs, tags and notes, made from a verdict's JSON.

The overview of a run shows only the first lines of its note until "Show more" is clicked, so a note
opens with what decides: what changed, since when, why, whether it matters, and the link to the evidence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from exporters.severity_words import alert_severity
from exporters.verdict_text import alarmed, head_changed, head_name, measure_changed, suspected, utc

Json = Mapping[str, Any]

DAY_TAG = "headwatch.day"
CLOSED_TAG = "headwatch.closed"
NOTE_LIMIT = 8000
"""Characters of a tag's value that every MLflow server takes."""
CUT = "(The rest does not fit into a note; verdict.json has all of it.)"
FAINT = 0.1
"""sd below which a measure that does not lead its channel is no news."""
SHOWN_HEADS, SHOWN_MEASURES, SHOWN_WORDS = 5, 3, 10

_CAUSES: Mapping[str, str] = MappingProxyType(
    {
        "model": "the model: it is not the one that the baseline was made with",
        "serving": "the serving: the replay behaves as before, and the server's answers differ from it",
        "environment": "the environment: the same weights give other numbers",
        "data": "the data: nothing says that the model changed",
    }
)
_PARTS: Mapping[str, str] = MappingProxyType(
    {
        "rollout": "the flow of attention",
        "prediction": "the predictions",
        "input": "the inputs",
        "fidelity": "the agreement of the served with the replayed answers",
        "model": "the model's answers to the fixed probe inputs",
    }
)
_HARM: Mapping[str, str] = MappingProxyType(
    {
        "page": "Yes: look at it now",
        "ticket": "It may: look at it in working hours",
        "note": "Not as far as can be seen: nothing needs to be done now",
    }
)
_OUTCOMES: Mapping[str, str] = MappingProxyType(
    {
        "over": "The drift is over since {end}{lasted}.",
        "accepted": "Accepted as the new normal at {end}{lasted}; another baseline stands since.",
        "superseded": "Ended at {end}{lasted}, with its baseline: another revision was declared.",
    }
)
_NO_BEGINNING = " Its beginning never arrived: its run was deleted, or the outbox was full."


def began(verdict: Json) -> float:
    """When the drift began as far as is known now, seconds since the epoch."""
    return float(verdict["since_time"] or verdict["start"])


def run_tags(verdict: Json) -> dict[str, str]:
    """The tags that the runs table is filtered by, all of an alarm's moment."""
    return {
        "model": verdict["model"],
        "revision": verdict["revision"],
        "baseline": verdict["baseline"],
        "episode": str(verdict["episode"]),
        "since": utc(began(verdict)),
        "state": "open",
        "cause": ",".join(verdict["causes"]) or "unknown",
        "severity": verdict["severity"] or "none",
        "channel": ",".join(alarmed(verdict)),
        "suspicion": ",".join(suspected(verdict)) or "none",
    }


def episode_name(verdict: Json) -> str:
    """The run's name: ``Drift of sentiment since 2026-11-21 10:35 UTC``."""
    return f"Drift of {verdict['model']} since {utc(began(verdict))}"


def end_name(verdict: Json) -> str:
    """The name of the run of an episode of which only the end arrived."""
    return f"Drift of {verdict['model']} until {utc(verdict['end'])}"


def closed_name(name: str, verdict: Json) -> str:
    """The same run's name when it is over: ``Drift of sentiment from 2026-11-21 10:35 to 14:40 UTC``."""
    end = utc(verdict["end"])
    since = re.search(r" since (\d{4}-\d\d-\d\d) (\d\d:\d\d) UTC", name)
    if since is None:
        return name
    shown = end.removeprefix(f"{since[1]} ")
    return name.replace(since[0], f" from {since[1]} {since[2]} to {shown}")


def sentences(verdict: Json) -> list[tuple[str, str]]:
    """(label, sentence) three times: what changed and since when; the cause; whether it matters."""
    changes = [_moved(name, verdict["channels"][name]) for name in alarmed(verdict)]
    since = f"Since {utc(began(verdict))}"
    if verdict["since"] is not None:
        since += f" (window {verdict['since']})"
    against = f"{verdict['model']} is not as in its baseline {verdict['baseline']}"
    return [
        ("What changed", f"{since} {against}: {_joined(changes) or 'something'} changed."),
        ("Why", f"{_cause(verdict)}."),
        ("Does it matter", f"{_harm(verdict)}."),
    ]


def alarm_body(verdict: Json, told: Sequence[Sequence[str]] = ()) -> str:
    """What an episode's note tells of a standing alarm: three sentences, then what moved (Markdown).

    ``told``: the (label, sentence) pairs of the episode's report; without a report they are made here.
    """
    said = [f"**{label}:** {_plain(sentence)}" for label, sentence in told or sentences(verdict)]
    return "\n\n".join([" ".join(said), *_details(verdict)])


def _details(verdict: Json) -> list[str]:
    """Heads, measures and words of every channel in alarm, the most important first."""
    blocks = []
    for name in alarmed(verdict):
        channel = verdict["channels"][name]
        lines = [f"**{name}**: evidence {channel['evidence']:.1f}, limit {channel['limit']:.1f}"]
        lines += [f"- {line}" for line in _lines(name, channel)]
        blocks.append("\n".join([lines[0], "", *lines[1:]] if lines[1:] else lines))
    return blocks


def closing(verdict: Json, outcome: str, since: str | None) -> str:
    """What a note begins with once its episode is over; ``since`` is the episode's tag, None if unknown."""
    lasted = ""
    if since is not None:
        beginning = datetime.strptime(since, "%Y-%m-%d %H:%M %Z").replace(tzinfo=UTC)
        lasted = f", after {duration(verdict['end'] - beginning.timestamp())}"
    said = _OUTCOMES.get(outcome, _OUTCOMES["over"]).format(end=utc(verdict["end"]), lasted=lasted)
    return said if since is not None else f"{said}{_NO_BEGINNING}"


def baseline_text(payload: Json, created: float) -> str:
    """What a baseline was made from."""
    made_of = "live traffic" if payload.get("source") == "live" else "a log"
    revision = f", revision {payload['revision']}" if payload.get("revision") else ""
    samples = payload.get("samples", "an unknown number of")
    return (
        f"Baseline {payload['version']} of {payload['name']}{revision}: {samples} samples from {made_of}, "
        f"built {utc(created)}."
    )


def baseline_note(model: str, baseline: str) -> str:
    """What a baseline's run says until its own record arrives, which one that was loaded does not have."""
    if not baseline:
        return f"The days of {model} before its first baseline was learnt; nothing was judged yet."
    return f"Baseline {baseline} of {model}. Windows are judged against it; the days below it show them."


def day_note(model: str, day: str, baseline: str) -> str:
    """What a day's run shows."""
    against = f"baseline {baseline}" if baseline else "no baseline yet"
    return (
        f"The windows of {model} on {day} (UTC), judged against {against}, one step each. "
        "The charts under *alarm level* show the evidence for drift over its limit: 1 raises an alarm."
    )


def fitting(note: str, limit: int = NOTE_LIMIT) -> str:
    """The note, cut after a whole line where MLflow would refuse it or cut it anywhere."""
    if len(note) <= limit:
        return note
    kept = note[: limit - len(CUT) - 2].rpartition("\n")[0].rstrip()
    return f"{kept}\n\n{CUT}"


def duration(seconds: float) -> str:
    """How long something lasted, as people say it.

    >>> duration(2700), duration(9000), duration(3 * 86400 + 3600)
    ('45 min', '2 h 30 min', '3 d 1 h')
    """
    minutes = max(1, round(seconds / 60))
    days, hours, rest = minutes // 1440, minutes // 60 % 24, minutes % 60
    parts = [(days, "d"), (hours, "h"), (rest, "min")]
    shown = [f"{number} {unit}" for number, unit in parts if number]
    return " ".join(shown[:2])


def date(time: float) -> str:
    """The UTC day: ``2026-09-21``."""
    return datetime.fromtimestamp(time, UTC).date().isoformat()


def _moved(name: str, channel: Json) -> str:
    """What of a channel moved; figures follow below the sentences."""
    heads = [head_name(head) for head in channel["top"] if head["named"]]
    if name == "tokens":
        words = sorted(channel["words"], key=lambda item: -(item["evidence"] or 0.0))
        return "the words" + (f" (most “{words[0]['word']}”)" if words else "")
    if name == "heads":
        if not heads:
            return "attention as a whole"
        named = list(dict.fromkeys(heads))
        count = f"{len(named)} attention heads" if len(named) > 1 else "1 attention head"
        return f"{count} ({', '.join(named[:3])}{', …' if len(named) > 3 else ''})"
    return _PARTS.get(name, name)


def _word(item: Json) -> str:
    return f"{_code(item['word'])} ({_share(item['before'])} → {_share(item['after'])} of the inputs)"


def _plain(text: str) -> str:
    """Text that shows as it is: words of the traffic are in it, which may look like links."""
    return re.sub(r"([\\`*_\[\]#])", r"\\\1", text.replace("&", "&amp;").replace("<", "&lt;"))


def _code(word: str) -> str:
    """A word of the traffic, which must not be read as Markdown."""
    return "`" + " ".join(word.replace("`", "'").split()) + "`"


def _share(rate: float | None) -> str:
    return "?" if rate is None else f"{100 * rate:.2g} %"


def _cause(verdict: Json) -> str:
    causes = [_CAUSES[name] for name in verdict["causes"]]
    if not causes:
        return "The cause is not known"
    said = f"The cause is {causes[0]}"
    if len(causes) > 1:
        said += f"; beside it {_joined([text.partition(':')[0] for text in causes[1:]])} changed too"
    if verdict.get("declared"):
        said += "; a rollout was declared, so a change was expected"
    if verdict.get("upgrades") and "environment" in verdict["causes"]:
        said += f"; upgraded: {', '.join(verdict['upgrades'])}"
    for item in verdict.get("suspicions", ()):
        said += f"; it looks like {item['name'].replace('_', ' ')} ({item['sign']})"
    return said


def _harm(verdict: Json) -> str:
    severity = verdict["severity"] or "note"
    prediction = verdict["channels"].get("prediction")
    said = [f"{_HARM[severity]} ({alert_severity(severity)}, {severity})"]
    if prediction and prediction["alarm"]:
        said.append("the predictions are in alarm too")
    elif severity != "page":
        said.append("the predictions raise no alarm")
    return "; ".join(said)


def _lines(name: str, channel: Json) -> Iterator[str]:
    heads = [head for head in channel["top"] if head["named"]] or channel["top"][:3]
    for head in heads[:SHOWN_HEADS]:
        yield head_changed(head)
    if len(heads) > SHOWN_HEADS:
        yield f"and {len(heads) - SHOWN_HEADS} more heads, all in verdict.json"
    for place, item in enumerate(channel["measures"][:SHOWN_MEASURES]):
        if place == 0 or abs(item["effect"] or 0.0) >= FAINT:
            yield measure_changed(name, item)
    words = {item["word"]: item for item in channel["words"]}
    for kind in ("gained", "lost"):
        shown = [_word(words[word]) for word in channel[kind][:SHOWN_WORDS]]
        if shown:
            yield f"words {kind}: {', '.join(shown)}"


def _joined(names: list[str]) -> str:
    """``a, b and c``."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
