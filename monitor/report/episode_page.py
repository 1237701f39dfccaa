"""The report of a drift episode as one page that needs nothing from anywhere: no script, no network."""

from __future__ import annotations

from html import escape

from monitor.report.episode_data import EpisodeReport
from monitor.report.episode_evidence import cause_section, evidence_section
from monitor.report.episode_heads import head_maps, head_stories
from monitor.report.episode_sentences import headline, sentences
from monitor.report.episode_steps import steps
from monitor.report.episode_tokens import attribution_section, prediction_section, token_section
from monitor.report.episode_words import (
    CHANNELS,
    SEVERITY,
    in_alarm,
    joined,
    known_time,
    named_heads,
    number,
    utc,
)
from monitor.report.html.skeleton import asset, document

LIMITS = """
Attention is not an explanation. It says where a head looks, not why the model decides; that is why
attribution stands beside it, and how far the two agree.

Drift is not loss of accuracy. Without labels nobody can say from the inputs alone whether answers became
worse; compare with the truth where you have it.

“Since” is an estimate: the window in which the evidence began to rise. A slow change began earlier.

A head that is not named may have changed too: naming asks for more evidence than the alarm does.

Everything is seen through a sample of the requests. What happens to one request in thousands is not seen.

Importance is measured one head at a time: heads that stand in for each other look unimportant.
"""


def episode_page(report: EpisodeReport) -> str:
    """The whole file."""
    sections = {
        "cause": cause_section(report),
        "map": head_maps(report),
        "heads": head_stories(report),
        "words": token_section(report),
        "predictions": prediction_section(report),
        "attribution": attribution_section(report),
        "evidence": evidence_section(report),
        "limits": _limits(),
    }
    body = _top(report, [name for name, markup in sections.items() if markup])
    title = f"{report.verdict.model}: {headline(report)}"
    return document(
        title, f"{body}{''.join(sections.values())}{_foot(report)}", styles=[asset("episode_report.css")]
    )


def _top(report: EpisodeReport, sections: list[str]) -> str:
    verdict = report.verdict
    told = "".join(f"<div><dt>{label}</dt><dd>{escape(text)}</dd></div>" for label, text in sentences(report))
    return (
        f"<header class={verdict.severity or 'none'}><p class=eyebrow>Drift report · "
        f"{escape(verdict.model)} · episode "
        f"{escape(verdict.episode or '')}</p><h1>{escape(headline(report))}</h1>{_chips(report)}"
        f"<dl class=said>{told}</dl>{_todo(report)}{_contents(sections)}</header>"
    )


def _chips(report: EpisodeReport) -> str:
    verdict = report.verdict
    severity = verdict.severity
    alarmed = [CHANNELS[item.channel] for item in in_alarm(verdict)]
    named = named_heads(verdict)
    standing = "over" if report.ended is not None else "open"
    if known_time(verdict.since_time):
        until = verdict.end if report.ended is None else report.ended
        after = "after" if report.ended is not None else "for"
        standing += f" {after} {_lasting(until - (verdict.since_time or until))}"
    rank = "no severity" if severity is None else f"{SEVERITY[severity]} ({severity})"
    chips = [
        f"<li class=severity>{rank}</li>",
        f"<li>cause: {escape(joined(list(verdict.causes)) or 'unknown')}</li>",
        f"<li>{standing}</li>",
        f"<li>in alarm: {escape(joined(alarmed) or 'none')}</li>",
    ]
    if named:
        chips.append(f"<li>{len(named)} of {report.layers * report.heads} heads named</li>")
    return f"<ul class=chips>{''.join(chips)}</ul>"


def _lasting(seconds: float) -> str:
    """A length of time in its largest unit."""
    for size, name in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= 1.5 * size or (seconds >= size and name == "minute"):
            count = round(seconds / size)
            return f"{count} {name}{'' if count == 1 else 's'}"
    return "less than a minute"


def _todo(report: EpisodeReport) -> str:
    """The steps after the one that the sentences end with."""
    given = steps(report)
    calm = report.verdict.severity == "note"
    more = given if calm else given[1:]
    if not more or report.ended is not None:
        return ""
    items = "".join(f"<li>{_code(one)}</li>" for one in more)
    return f"<div class=todo><h3>{'To look into it' if calm else 'Then'}</h3><ol>{items}</ol></div>"


def _contents(sections: list[str]) -> str:
    titles = {
        "cause": "Cause and severity",
        "map": "Where in the model",
        "heads": "Heads",
        "words": "Words",
        "predictions": "Predictions",
        "attribution": "Attribution and examples",
        "evidence": "Evidence over time",
        "limits": "What this cannot tell",
    }
    items = "".join(f"<li><a href='#{name}'>{titles[name]}</a></li>" for name in sections)
    return f"<nav aria-label=Contents><ul>{items}</ul></nav>"


def _limits() -> str:
    items = "".join(f"<li>{escape(one)}</li>" for one in LIMITS.strip().split("\n\n"))
    return f"<section id=limits><h2>What this report cannot tell</h2><ul class=list>{items}</ul></section>"


def _foot(report: EpisodeReport) -> str:
    verdict = report.verdict
    span = report.baseline_span
    spanning = f", {utc(span[0])} to {utc(span[1])}" if span is not None else ""
    made_of = "live traffic" if report.baseline_source == "live" else "a log"
    built = f", built {utc(report.baseline_created)}" if known_time(report.baseline_created) else ""
    drawn = f" on {utc(report.made)}" if known_time(report.made) else ""
    windows = f"{report.windows} window{'' if report.windows == 1 else 's'}"
    return (
        f"<footer><p>Compared: {number(report.samples, 9)} samples of {windows} since the alarm with "
        f"{number(report.baseline_samples, 9)} samples of baseline {escape(verdict.baseline)} "
        f"({made_of}{spanning}{built}). "
        f"Model {escape(verdict.model)}, revision {escape(verdict.revision or 'not given')}, "
        f"{escape(report.architecture)}, {report.layers} layers × {report.heads} heads, files "
        f"{escape(report.weights[:12])}. "
        f"Written by headwatch {escape(report.version)}{drawn}; its numbers are in report.json.</p></footer>"
    )


def _code(text: str) -> str:
    pieces = escape(text).split("`")
    return "".join(f"<code>{piece}</code>" if place % 2 else piece for place, piece in enumerate(pieces))
