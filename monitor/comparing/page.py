"""A comparison as one page: no network, dark and light, readable on a phone.

The scale of the map is logarithmic, since sizes span four powers of ten.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from monitor.comparing.comparison import Comparison, HeadChange
from monitor.comparing.summary import answer_facts, number, sentences
from monitor.drift.changes import parts
from monitor.records.statistic_names import readable
from monitor.report.html.head_view import SCRIPT, HeadView, head_view
from monitor.report.html.head_view import STYLE as HEAD_VIEW_STYLE
from monitor.report.html.heads import HeadCell, head_map, scale
from monitor.report.html.skeleton import document

SHOWN = 20
MOST_LISTED = 1000
LOWEST, HIGHEST = 0.01, 10.0
MARKED = ("origin", "changed")
ROLES = {
    "origin": "the change began here",
    "changed": "its own weights differ",
    "beside": "moved in the same layer",
    "downstream": "moved after it",
    "still": "did not move",
}


def page(found: Comparison, example: tuple[str, HeadView] | None = None) -> str:
    """The whole file. ``example``: a sample's id and the moved heads over it, in both checkpoints.

    Without an example there is no script in it.
    """
    names = f"{found.model.name} → {found.candidate.name}"
    # a browser would break the terminal's arrow in two
    told = [sentence.replace(" -> ", " → ") for sentence in sentences(found, name=readable)]
    first, *rest = map(escape, told)
    parts_ = [
        f"<header><p class=names>headwatch compare · {escape(names)}</p><h1>{first}</h1>",
        *(f"<p>{sentence}</p>" for sentence in rest),
        "</header>",
        _facts(found),
        _map(found),
        _moved(found),
        _looks(example),
        _weights(found),
        _flips(found),
        _all(found),
        _method(found),
    ]
    styles, scripts = ([], []) if example is None else ([HEAD_VIEW_STYLE], [SCRIPT])
    return document(names, "".join(parts_), styles=styles, scripts=scripts)


def _facts(found: Comparison) -> str:
    same = found.attributions
    rows = [
        ("heads moved", f"{len(found.moved)} of {len(found.heads)}"),
        *answer_facts(found),
        ("attributions agree", "–" if same is None else f"{same.mean:.2f} rank correlation"),
        ("samples", str(found.samples)),
    ]
    return f"<dl class=facts>{''.join(f'<div><dt>{k}</dt><dd>{v}</dd></div>' for k, v in rows)}</dl>"


def _map(found: Comparison) -> str:
    highest = max([HIGHEST, *(item.size for item in found.heads if math.isfinite(item.size))])
    powers = range(round(math.log10(LOWEST)), math.floor(math.log10(highest)) + 1)
    marks = [(_place(10.0**power, highest), f"{10.0**power:g}") for power in powers]
    cells = [[_cell(item, highest) for item in heads] for heads in _layers(found)]
    caption = "moved, in standard deviations of the model's samples; blank: did not move"
    return (
        f"<section><h2>Every head: layers down, heads across</h2>{head_map(cells)}"
        f"<div class=legend>{scale(marks, caption)}"
        "<p><span class='key origin'></span> the change began here "
        "<span class='key changed'></span> its own weights differ "
        "<span class=dot>●</span> more important than the median head</p></div></section>"
    )


def _layers(found: Comparison) -> list[tuple[HeadChange, ...]]:
    across = found.model.heads
    return [found.heads[start : start + across] for start in range(0, len(found.heads), across)]


def _cell(item: HeadChange, highest: float) -> HeadCell:
    return HeadCell(
        share=_place(item.size, highest) if item.moved else None,
        title=f"{item.head}: {readable(item.statistic)} {number(item.before)} → {number(item.after)}, "
        f"{number(item.size)} sd",
        text="●" if item.important else "",
        mark=item.role if item.role in MARKED else "",
    )


def _place(size: float, highest: float) -> float:
    """Where a size lies on the logarithmic scale, within [0, 1]."""
    if not math.isfinite(size):
        return 1.0
    lowest, top = math.log(LOWEST), math.log(highest)
    return min(1.0, max(0.0, (math.log(max(size, LOWEST)) - lowest) / (top - lowest)))


def _moved(found: Comparison) -> str:
    ranked = found.ranked
    if not ranked:
        return ""
    more = f"<p class=note>and {len(ranked) - SHOWN} more</p>" if len(ranked) > SHOWN else ""
    return f"<section><h2>The heads that moved most</h2>{_table(found, ranked[:SHOWN])}{more}</section>"


def _looks(example: tuple[str, HeadView] | None) -> str:
    if example is None:
        return ""
    name, view = example
    return (
        "<section><h2>Where the moved heads look, in both</h2>"
        f"<p>Over one input, <i>{escape(name)}</i>: of those short enough to show, the one on which these "
        "heads differ most. Where a head looks does not say what it does to the answer.</p>"
        f"{head_view(view)}</section>"
    )


def _all(found: Comparison) -> str:
    listed = sorted(found.heads, key=lambda item: -item.size)[:MOST_LISTED]
    left = f", the {MOST_LISTED} that moved most" if len(found.heads) > MOST_LISTED else ""
    return f"<details><summary>Every head{left}</summary>{_table(found, listed)}</details>"


def _table(found: Comparison, items: Sequence[HeadChange]) -> str:
    titles = ("head", "role", "importance", "statistic", "before → after", "moved, sd")
    head = "".join(f"<th scope=col>{title}</th>" for title in titles)
    # without one place where it began, a head that moved under its own old weights only says so
    roles = ROLES if found.origins else ROLES | {"downstream": "moved, its weights are the same"}
    cell = "<td data-name='{}'>{}</td>".format
    rows = "".join(f"<tr>{''.join(map(cell, titles, _cells(item, roles)))}</tr>" for item in items)
    return f"<table class=heads><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _cells(item: HeadChange, roles: Mapping[str, str]) -> tuple[str, ...]:
    return (
        f"<b>{item.head}</b>",
        roles[item.role],
        "–" if item.relative is None else f"{item.relative:.1f} × median",
        escape(readable(item.statistic)),
        f"{number(item.before)} → {number(item.after)}",
        number(item.size),
    )


def _weights(found: Comparison) -> str:
    differ = found.changes
    if not differ.compared:
        text = "The parameters could not be compared: behaviour alone tells."
    elif not differ.parameters:
        text = "Every parameter is the same."
    else:
        text = f"These differ: {escape(parts(differ))}."
    files = "" if differ.parameters or not differ.files else " Some other file of the two folders differs."
    return f"<section><h2>Weights</h2><p>{text}{files}</p></section>"


def _flips(found: Comparison) -> str:
    said = found.predictions
    if said is None or not said.flips:
        return ""
    rows = "".join(
        f"<tr><td data-name=sample>{escape(flip.id)}</td>"
        f"<td data-name=before>{escape(flip.before)} {flip.probability_before:.2f}</td>"
        f"<td data-name=after>{escape(flip.after)} {flip.probability_after:.2f}</td></tr>"
        for flip in said.flips[:SHOWN]
    )
    more = f"<p class=note>and {len(said.flips) - SHOWN} more</p>" if len(said.flips) > SHOWN else ""
    head = "<tr><th scope=col>sample</th><th scope=col>model</th><th scope=col>candidate</th></tr>"
    return (
        "<section><h2>Answers that changed</h2><table class=heads>"
        f"<thead>{head}</thead><tbody>{rows}</tbody></table>{more}</section>"
    )


def _method(found: Comparison) -> str:
    floor = (
        "more than five times what running the model in bfloat16 does to it (or to the median head)"
        if found.noise
        else "more than 0.01 sd"
    )
    return (
        "<section class=note><h2>How to read this</h2><p>Both checkpoints read the same "
        f"{found.samples} samples. Per head and statistic, <i>moved</i> is the root mean square of candidate "
        "less model over the samples, in standard deviations of the model's samples; a head's is that of "
        f"the statistic that moved most. A head counts as moved where that is {floor}. Importance is "
        "|Σ context · ∂output/∂context| in the model (Michel et al. 2019). A changed head moves those of "
        "later layers: they are listed as moved after it.</p></section>"
    )
