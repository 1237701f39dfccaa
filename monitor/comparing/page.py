"""A comparison as one page: no script, no network, dark and light, readable on a phone.

The ramp is cividis (Nunez, Anderton & Renslow 2018, doi 10.1371/journal.pone.0199239): one order for
every colour vision, and in grey. Its scale is logarithmic, since sizes span four powers of ten.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from monitor.comparing.comparison import Comparison, HeadChange
from monitor.comparing.page_style import STYLE
from monitor.comparing.summary import answer_facts, number, sentences
from monitor.drift.changes import parts

SHOWN = 20
MOST_LISTED = 1000
LOWEST, HIGHEST = 0.01, 10.0
CIVIDIS = ("#00224e", "#123570", "#3b496c", "#575d6d", "#707173", "#8a8678", "#a59c74", "#c3b369", "#e1cc55",
           "#fee838")  # fmt: skip
ROLES = {
    "origin": "the change began here",
    "changed": "its own weights differ",
    "beside": "moved in the same layer",
    "downstream": "moved after it",
    "still": "did not move",
}


def page(found: Comparison) -> str:
    """The whole file."""
    names = f"{escape(found.model.name)} → {escape(found.candidate.name)}"
    first, *rest = map(escape, sentences(found))
    parts_ = [
        f"<header><p class=names>headwatch compare · {names}</p><h1>{first}</h1>",
        *(f"<p>{sentence}</p>" for sentence in rest),
        "</header>",
        _facts(found),
        _map(found),
        _moved(found),
        _weights(found),
        _flips(found),
        _all(found),
        _method(found),
    ]
    return (
        '<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport content="width='
        'device-width, initial-scale=1"><meta name=color-scheme content="light dark">'
        f"<title>{names}</title><style>{STYLE}</style></head><body><main>{''.join(parts_)}</main></body></html>\n"
    )


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
    across = found.model.heads
    head = "".join(f"<th scope=col>{number_}</th>" for number_ in range(across))
    rows = "".join(
        f"<tr><th scope=row>{layer}</th>{''.join(_cell(item, highest) for item in heads)}</tr>"
        for layer, heads in enumerate(_layers(found))
    )
    powers = range(round(math.log10(LOWEST)), math.floor(math.log10(highest)) + 1)
    marks = "".join(
        f'<span style="left:{100 * _place(10.0**power, highest):.1f}%">{10.0**power:g}</span>'
        for power in powers
    )
    return (
        "<section><h2>Every head: layers down, heads across</h2>"
        f'<div class=wide><table class=map style="--heads:{across}">'
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
        f"<div class=legend><div class=ramp></div><div class=marks>{marks}</div>"
        "<p>moved, in standard deviations of the model's samples; blank: did not move</p>"
        "<p><span class='key origin'></span> the change began here "
        "<span class='key changed'></span> its own weights differ "
        "<span class=dot>●</span> more important than the median head</p></div></section>"
    )


def _layers(found: Comparison) -> list[tuple[HeadChange, ...]]:
    across = found.model.heads
    return [found.heads[start : start + across] for start in range(0, len(found.heads), across)]


def _cell(item: HeadChange, highest: float) -> str:
    classes = {"origin": " class=origin", "changed": " class=changed"}.get(item.role, "")
    title = escape(f"{item.head}: {item.statistic} {number(item.before)} → {number(item.after)}, "
                   f"{number(item.size)} sd")  # fmt: skip
    dot = "●" if item.important else ""
    if not item.moved:
        return f'<td{classes} title="{title}">{dot}</td>'
    share = _place(item.size, highest)
    ink = "#000" if share > 0.5 else "#fff"
    return f'<td{classes} style="background-color:{_colour(share)};color:{ink}" title="{title}">{dot}</td>'


def _place(size: float, highest: float) -> float:
    """Where a size lies on the logarithmic scale, within [0, 1]."""
    if not math.isfinite(size):
        return 1.0
    lowest, top = math.log(LOWEST), math.log(highest)
    return min(1.0, max(0.0, (math.log(max(size, LOWEST)) - lowest) / (top - lowest)))


def _colour(share: float) -> str:
    """Cividis at this share, between its listed colours.

    >>> _colour(0.0), _colour(1.0)
    ('#00224e', '#fee838')
    """
    position = share * (len(CIVIDIS) - 1)
    index = min(int(position), len(CIVIDIS) - 2)
    one, other = (bytes.fromhex(CIVIDIS[index + step][1:]) for step in (0, 1))
    mixed = (round(a + (b - a) * (position - index)) for a, b in zip(one, other, strict=True))
    return f"#{bytes(mixed).hex()}"


def _moved(found: Comparison) -> str:
    ranked = found.ranked
    if not ranked:
        return ""
    more = f"<p class=note>and {len(ranked) - SHOWN} more</p>" if len(ranked) > SHOWN else ""
    return f"<section><h2>The heads that moved most</h2>{_table(found, ranked[:SHOWN])}{more}</section>"


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
        escape(item.statistic),
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
