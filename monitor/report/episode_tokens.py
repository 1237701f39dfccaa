"""Words and predictions: what was gained and lost, what drives the model, and how far to trust that."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from types import MappingProxyType

from monitor.records import WordEvidence
from monitor.report.episode_charts import KEYS, bar, rows, shares
from monitor.report.episode_data import Change, EpisodeReport, Example
from monitor.report.episode_shift import is_hidden
from monitor.report.episode_words import number, percent, words_of
from monitor.report.html.visible import visible

FEW = 30
_MEASURES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "overlap_at_5": (
            "overlap of the five strongest tokens, attention and attribution",
            "1: the same five; below about a half, what a head looks at is not what decides",
        ),
        "spearman": (
            "rank agreement of attention rollout and attribution",
            "1: the same order of all tokens; 0: none",
        ),
        "gradient_times_input_spearman": (
            "rank agreement of the quick method and attribution",
            "how far the top words of single requests can be trusted",
        ),
        "integrated_gradients_comprehensiveness": (
            "attribution: lost without its top tokens",
            "high is good: the tokens it names carry the prediction",
        ),
        "integrated_gradients_sufficiency": (
            "attribution: lost with nothing but them",
            "low is good: they are enough",
        ),
        "rollout_comprehensiveness": (
            "attention rollout: lost without its top tokens",
            "compare with attribution: attention is rarely as faithful",
        ),
        "top_3_drop": (
            "prediction lost without the three strongest tokens",
            "high: the model hangs on few words",
        ),
        "top_3_flips": ("labels flipped without them", "share of the samples"),
        "unconverged_share": ("attributions that did not converge", "these are left out of the rest"),
    }
)


def token_section(report: EpisodeReport) -> str:
    """Words gained and lost, as shares of the requests."""
    words = words_of(report.verdict)
    gained = [item for item in words if item.after >= item.before]
    lost = [item for item in words if item.after < item.before]
    if not words:
        body = "<p class=lead>No word was gained or lost beyond what chance explains.</p>"
    else:
        top = max((max(item.before, item.after) for item in words), default=1.0)
        body = _words("Gained", gained, top) + _words("Lost", lost, top)
        body += _hidden(report, words)
    return f"<section id=words><h2>Words gained and lost</h2>{body}</section>"


def _words(title: str, items: list[WordEvidence], top: float) -> str:
    if not items:
        return ""
    body = "".join(
        f"<tr><th scope=row>{_named(item)}</th><td>"
        f"{'stands in the text' if item.kind == 'present' else 'drives the prediction'}"
        f"</td><td>{shares(item.before, item.after, top, _said(item))}</td>"
        f"<td class=num>{percent(item.before)} → {percent(item.after)}</td><td class=num "
        f"data-name='requests'>{item.requests}</td></tr>"
        for item in items
    )
    return (
        f"<h3 style='margin:1.4rem 0 .2rem'>{title}</h3>"
        "<table class='plain stack words'><thead><tr><th scope=col style='width:22%'>word</th><th "
        "scope=col style='width:20%'>how</th>"
        "<th scope=col>share of requests, before and after</th><th scope=col class=num>before → after</th>"
        f"<th scope=col class=num>requests</th></tr></thead><tbody>{body}</tbody></table>"
    )


def _named(item: WordEvidence) -> str:
    if is_hidden(item):
        return f"<b>a hidden word</b> <small>{escape(item.word)}</small>"
    return f"<b>{_shown(item.word)}</b>"


def _said(item: WordEvidence) -> str:
    return f"{visible(item.word)}: {percent(item.before)} to {percent(item.after)}"


def _hidden(report: EpisodeReport, words: tuple[WordEvidence, ...]) -> str:
    if not any(map(is_hidden, words)):
        return ""
    return (
        f"<p class=quiet>A word that fewer than {report.hidden_below} requests share is hidden and told by "
        "a keyed hash (#…): the same word has the same hash.</p>"
    )


def prediction_section(report: EpisodeReport) -> str:
    """What is predicted and what the inputs look like, before and after."""
    labels = [item for item in report.predictions if item.name != "confidence"]
    confidence = [item for item in report.predictions if item.name == "confidence"]
    parts = []
    if labels:
        parts.append(_labels(labels))
    measured = [*confidence, *report.inputs]
    if measured:
        names = [
            "confidence of the prediction" if item.name == "confidence" else _input(item) for item in measured
        ]
        parts.append(
            "<figure style='margin-top:1.6rem'><figcaption>Confidence and inputs</figcaption>"
            f"{KEYS}{rows(measured, names)}</figure>"
        )
    if not parts:
        return ""
    return f"<section id=predictions><h2>Predictions and inputs</h2>{''.join(parts)}</section>"


def _labels(labels: list[Change]) -> str:
    shown = sorted(labels, key=lambda item: -abs((item.after or 0.0) - (item.before or 0.0)))[:10]
    body = "".join(
        f"<tr><th scope=row><b>{escape(item.name)}</b></th><td>"
        f"{shares(item.before or 0.0, item.after or 0.0, 1.0, item.name)}</td>"
        f"<td class=num>{percent(item.before)} → {percent(item.after)}</td></tr>"
        for item in shown
    )
    more = (
        f"<p class=quiet>The {len(shown)} of {len(labels)} labels that moved most.</p>"
        if len(labels) > len(shown)
        else ""
    )
    return (
        "<table class='plain stack'><thead><tr><th scope=col style='width:22%'>predicted label</th><th "
        "scope=col>share of requests, 0 to 100 %"
        "</th><th scope=col class=num style='width:24%'>before → after</th></tr></thead><tbody>"
        f"{body}</tbody></table>{more}"
    )


def _input(item: Change) -> str:
    return {
        "tokens": "tokens per input",
        "unknown tokens": "share of unknown tokens",
        "cut short": "share of inputs cut short",
        "special tokens": "special tokens per input",
        "capital letters": "share of capital letters",
        "punctuation": "share of punctuation",
    }.get(item.name, item.name)


def attribution_section(report: EpisodeReport) -> str:
    """What drives predictions, how far attention agrees with it, and examples where they may be shown."""
    if not report.attributed:
        body = (
            "<p class=lead>No sample since the change has been attributed yet. The sidecar attributes a "
            "few samples "
            "of a window every quarter of an hour and then writes a newer version of this report.</p>"
        )
        return (
            f"<section id=attribution><h2>Attention and attribution</h2>{body}{_examples(report)}</section>"
        )
    few = ", few enough to be read as a hint" if report.attributed < FEW else ""
    lead = (
        f"Integrated Gradients of {report.attributed} samples since the change{few}: which tokens carry the "
        "prediction. "
        "Attention alone does not say that, so the two are compared."
    )
    return (
        f"<section id=attribution><h2>Attention and attribution</h2><p class=lead>{lead}</p>"
        f"{_measures(report.attribution)}{_driving(report)}{_examples(report)}</section>"
    )


def _measures(items: tuple[Change, ...]) -> str:
    body = "".join(
        f"<tr><th scope=row>{escape(_MEASURES[item.name][0])}</th><td class=num data-name=before>"
        f"{_hundredths(item.before)}</td>"
        f"<td class=num data-name=after><b>{_hundredths(item.after)}</b></td><td>"
        f"{escape(_MEASURES[item.name][1])}</td></tr>"
        for item in items
        if item.name in _MEASURES
    )
    return (
        "<table class='plain stack'><thead><tr><th scope=col style='width:42%'>agreement and "
        "faithfulness</th><th scope=col class=num>before</th>"
        "<th scope=col class=num>after</th><th scope=col>how to read it</th></tr></thead><tbody>"
        f"{body}</tbody></table>"
    )


def _hundredths(value: float | None) -> str:
    """Means of few samples: what stands behind the second decimal says nothing."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:.2f}".replace("-", "−").replace("−0.00", "0.00")


def _driving(report: EpisodeReport) -> str:
    if not report.driving:
        return ""
    top = max(item.value for item in report.driving) or 1.0
    body = "".join(
        f"<tr><th scope=row><b>{_shown(item.word)}</b></th><td>"
        f"{bar(item.value / top, f'{visible(item.word)}: {number(item.value, 2)}')}</td>"
        f"<td class=num>{number(item.value, 2)}</td></tr>"
        for item in report.driving
    )
    return (
        "<h3 style='margin:2rem 0 .4rem'>Words that drive the predictions now</h3><table class='plain "
        "tight'><thead><tr><th scope=col style='width:22%'>word</th>"
        "<th scope=col>mean size of its attribution where it occurs</th><th scope=col class=num></th></tr>"
        "</thead>"
        f"<tbody>{body}</tbody></table><p class=quiet>Only words that enough requests share.</p>"
    )


def _examples(report: EpisodeReport) -> str:
    head = "<h3 id=examples style='margin:2rem 0 .4rem'>Example inputs</h3>"
    if not report.examples:
        said = report.without_examples or "None could be shown."
        return f"{head}<p class=lead>{_code(said)}</p>"
    told = "".join(map(_example, report.examples))
    keys = (
        "<p class=quiet><span class='word more' style='--share:1;--seen:0'>for</span> and "
        "<span class='word less' style='--share:1;--seen:0'>against</span> the prediction, by attribution; "
        "<span class=word style='--seen:1'>a bar below</span>: attention (rollout), as wide as the word "
        "where it is "
        "largest; <span class='word hidden' style='--seen:0'>•••</span> a word that too few requests "
        "share.</p>"
    )
    return f"{head}{keys}{told}"


def _example(item: Example) -> str:
    largest = max((abs(value) for value in item.attribution), default=0.0) or 1.0
    most = max(item.attention, default=0.0) or 1.0
    words = " ".join(
        _marked(word, value, value / largest, seen / most)
        for word, value, seen in zip(item.words, item.attribution, item.attention, strict=True)
    )
    says = f"predicted: {item.label} ({percent(item.probability)})"
    return f"<div class=example><p class=says>{escape(says)}</p><p>{words}</p></div>"


def _marked(word: str | None, value: float, share: float, seen: float) -> str:
    kind = "less" if share < 0 else "more"
    hidden = " hidden" if word is None else ""
    title = f"attribution {number(value, 2)}, attention {percent(seen)} of the largest"
    return (
        f"<span class='word {kind}{hidden}' style='--share:{abs(share):.2f};--seen:{seen:.2f}' "
        f"title='{title}'>"
        f"{'•••' if word is None else escape(visible(word))}</span>"
    )


def _shown(word: str) -> str:
    """A word of a request: isolated, so that one written from right to left turns nothing beside it."""
    return f"<bdi>{escape(visible(word))}</bdi>"


def _code(text: str) -> str:
    """Plain text in which what stands between backticks is code."""
    pieces = escape(text).split("`")
    return "".join(f"<code>{piece}</code>" if place % 2 else piece for place, piece in enumerate(pieces))
