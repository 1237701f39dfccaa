"""One explained input as a page: the answer, what drives it by each method, and where every head looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from monitor.report.html.head_view import SCRIPT, HeadView, Picture, head_view
from monitor.report.html.head_view import STYLE as HEAD_VIEW_STYLE
from monitor.report.html.highlight import highlighted, signed_legend
from monitor.report.html.patches import patched
from monitor.report.html.skeleton import asset, document
from monitor.report.html.visible import visible

AGREES, DISAGREES = 0.6, 0.3
TOLD = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """A way to give every token a value; ``signed``: whether values below zero speak against."""

    title: str
    meaning: str
    signed: bool = False
    unit: str = ""


METHODS: Mapping[str, Method] = {
    "attribution": Method(
        title="Integrated Gradients",
        meaning="What each {one} adds to the output that is explained, over {nothing} in its place, in "
        "logits. They sum to the whole difference.",
        signed=True,
        unit="logits",
    ),
    "gradient_times_input": Method(
        title="gradient × input",
        meaning="The same question asked by one gradient at this input: quick and rough.",
        signed=True,
    ),
    "relevance": Method(
        title="relevance",
        meaning="Attention weighted by its gradient, carried through the layers (Chefer et al. 2021).",
    ),
    "gradient_times_attention": Method(
        title="gradient × attention",
        meaning="Attention times its gradient in the last layer: what the output would lose with it.",
    ),
    "attention_flow": Method(
        title="attention flow",
        meaning="How much could pass from each token to where the answer is read (Abnar & Zuidema 2020).",
    ),
    "rollout": Method(
        title="attention rollout",
        meaning="Attention multiplied through the layers. It knows nothing of the answer: the same for "
        "every label.",
    ),
}
COLUMNS = (
    "ranks the tokens as Integrated Gradients do",
    f"without its {TOLD} strongest tokens",
    "loss without the first 1 to 50 % (high is good)",
    "loss with them alone (low is good)",
)
TEXT_WORDS = {"one": "word", "nothing": "padding"}
IMAGE_WORDS = {"one": "patch", "nothing": "a blank patch"}
REMOVED_WORDS = (
    "Taking words out of a text makes texts that the model never read; an answer that survives it does not "
    "prove that a word was not used."
)
REMOVED_PATCHES = (
    "Blanking patches makes pictures that the model never saw; an answer that survives it does not prove "
    "that a patch was not used."
)
IN_TABLE = {"integrated_gradients": "attribution"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownItem:
    """A word, a special token or a patch of the page, and the numbers of its tokens."""

    name: str
    tokens: tuple[int, ...]
    special: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedPage:
    """``document`` is what ``headwatch explain --json`` prints; ``sentences`` its summary in parts.

    ``items`` in the order of the text; for an image the ``picture`` has one patch for each item from
    ``picture.before`` on. ``view`` is None where the model's attention cannot be read. ``answered``: a
    given answer is explained, not what the model says.
    """

    model: str
    document: Mapping[str, Any]
    sentences: Sequence[str]
    items: Sequence[ShownItem]
    picture: Picture | None
    view: HeadView | None
    answered: bool = False


def explained_page(given: ExplainedPage) -> str:
    """The whole file."""
    first, *rest = given.sentences
    title = f"headwatch explain · {given.model}"
    body = [
        f"<header><p class=names>{escape(title)}</p><h1>{escape(first)}</h1>",
        f"<p>{escape(' '.join(rest))}</p></header>",
        _facts(given),
        _drives(given),
        _reliance(given),
        _heads(given),
    ]
    styles, scripts = [asset("explained_page.css")], []
    if given.view is not None:
        styles, scripts = [*styles, HEAD_VIEW_STYLE], [SCRIPT]
    return document(title, "".join(body), styles=styles, scripts=scripts)


def _facts(given: ExplainedPage) -> str:
    said, gap = given.document["prediction"], given.document["convergence"]
    agreed = given.document["agreement"]["spearman"]
    rows = [
        (
            "own first choices" if given.answered else "answer",
            said["label"] if not said.get("values") else f"{said['values'][said['target']]:.4g}",
        ),
        (
            "probability a token" if given.answered else "probability",
            "–" if said["probability"] is None else f"{said['probability']:.2f}",
        ),
        ("tokens read", str(len(given.document["tokens"]))),
        ("left unexplained", _share(gap["relative_delta"]) if gap["converged"] else "not settled"),
        ("rollout agrees", "–" if agreed is None else f"{agreed:.2f} rank correlation"),
    ]
    cells = "".join(f"<div><dt>{name}</dt><dd>{escape(text)}</dd></div>" for name, text in rows)
    return f"<dl class=facts>{cells}</dl>"


def _drives(given: ExplainedPage) -> str:
    present = [name for name in METHODS if _present(given.document, name)]
    choices = "".join(
        f"<input type=radio name=method id=method-{name}{' checked' if name == present[0] else ''}>"
        f"<label for=method-{name}>{escape(METHODS[name].title)}</label>"
        for name in present
    )
    panels = "".join(_panel(given, name) for name in present)
    return (
        "<section><h2>What drives the answer</h2>"
        f"<div class=switch role=group aria-label=Method>{choices}{panels}</div>"
        f"{_numbers(given, present)}</section>"
    )


def _present(document: Mapping[str, Any], name: str) -> bool:
    """Whether this method gave anything; a rollout of zeros stands for none."""
    values = [token.get(name) for token in document["tokens"]]
    return name == "attribution" or any(values)


def _values(given: ExplainedPage, name: str) -> list[float]:
    tokens = given.document["tokens"]
    return [sum(tokens[place][name] for place in item.tokens) for item in given.items]


def _panel(given: ExplainedPage, name: str) -> str:
    method, values = METHODS[name], _values(given, name)
    names = [item.name for item in given.items]
    special = {number for number, item in enumerate(given.items) if item.special}
    if given.picture is None:
        shown = highlighted(names, values, unit=method.unit, special=special)
    else:
        shown = patched(given.picture, names, values, unit=method.unit)
    words = IMAGE_WORDS if given.picture is not None else TEXT_WORDS
    legend = signed_legend("speaks against it", "speaks for it") if method.signed else ""
    return (
        f'<div class=panel data-method="{name}"><h3>{escape(method.title)}</h3>'
        f"<p class=note>{escape(method.meaning.format_map(words))}</p>{shown}{legend}</div>"
    )


def _numbers(given: ExplainedPage, present: Sequence[str]) -> str:
    columns = {name: _values(given, name) for name in present}
    head = "".join(f"<th scope=col>{escape(METHODS[name].title)}</th>" for name in present)
    rows = "".join(
        f"<tr><th scope=row><bdi>{escape(visible(item.name))}</bdi></th>"
        + "".join(
            f"<td>{column[number]:{'+' if METHODS[name].signed else ''}.3f}</td>"
            for name, column in columns.items()
        )
        + "</tr>"
        for number, item in enumerate(given.items)
    )
    what = (IMAGE_WORDS if given.picture is not None else TEXT_WORDS)["one"]
    return (
        "<details><summary>The numbers</summary><div class=wide tabindex=0 role=region aria-label=Numbers>"
        f"<table class=numbers><thead><tr><th scope=col>{what}</th>{head}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div></details>"
    )


def _reliance(given: ExplainedPage) -> str:
    document, rows = given.document, []
    removed = REMOVED_PATCHES if given.picture is not None else REMOVED_WORDS
    for name in dict.fromkeys([*document["faithfulness"], *document["agreements"]]):
        title = METHODS[IN_TABLE.get(name, name)].title
        cells = (_agreement(document["agreements"].get(name)), *_faithful(document["faithfulness"].get(name)))
        columns = "".join(
            f"<td data-name='{label}'>{text}</td>" for label, text in zip(COLUMNS, cells, strict=True)
        )
        rows.append(f"<tr><td data-name=method><b>{escape(title)}</b></td>{columns}</tr>")
    head = "".join(f"<th scope=col>{title}</th>" for title in ("method", *COLUMNS))
    table = (
        f"<table class='heads methods'><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )
    return (
        f"<section><h2>How far to rely on this</h2><p>{_convergence(document['convergence'])}</p>"
        f"{table if rows else ''}<p class=note>Support is the probability of the answer "
        f"(of a number, its share that is left). {removed}</p></section>"
    )


def _convergence(gap: Mapping[str, Any]) -> str:
    missing = f"{_share(gap['relative_delta'])} of what they should sum to is left unexplained"
    if gap["converged"]:
        return f"The attributions settled after {gap['steps']} steps; {missing}."
    return f"<b>Do not rely on them:</b> they had not settled after {gap['steps']} steps; {missing}."


def _share(value: float) -> str:
    return f"{value:.1%}" if value >= 0.001 else "under 0.1%"


def _agreement(found: Mapping[str, float] | None) -> str:
    if found is None:
        return "–"
    rank = found["spearman"]
    words = "much the same" if rank >= AGREES else "in part" if rank >= DISAGREES else "differently"
    return f"{words} ({rank:.2f}; {found['overlap_at_5']:.0%} of the top 5)"


def _faithful(found: Mapping[str, Any] | None) -> tuple[str, str, str]:
    if found is None:
        return "–", "–", "–"
    lost = "–"
    for removal in found["removals"]:
        if removal["tokens"] == TOLD:
            falls = "falls" if removal["drop"] >= 0 else "rises"
            moved = f"{falls} by {abs(removal['drop']):.2f}" if abs(removal["drop"]) >= 0.005 else "stays"
            lost = f"support {moved}{', the label changes' if removal['flips'] else ''}"
    return lost, _hundredths(found["comprehensiveness"]), _hundredths(found["sufficiency"])


def _hundredths(value: float) -> str:
    return f"{value:.2f}".replace("-", "−").replace("−0.00", "0.00")


def _heads(given: ExplainedPage) -> str:
    if given.view is None:
        return (
            "<section><h2>Where every head looks</h2><p>This model's attention cannot be read, so no head is "
            "shown.</p></section>"
        )
    rank = given.document["agreement"]["spearman"]
    here = "" if rank is None else f" Here attention rollout and the attribution correlate by {rank:.2f}."
    return (
        "<section><h2>Where every head looks</h2><p class=warning><b>Attention is not an explanation.</b> It "
        "says where a head reads from, not what made the answer: a head may look at a word and change "
        f"nothing.{here} For what drives the answer, see above.</p>{head_view(given.view)}</section>"
    )
