"""Every head in one table: layers down, heads across, each a cell with its colour, marks and title."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from monitor.report.html.palette import colour, ink, on_dark


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadCell:
    """One head: its share of the colour scale (``None``: blank), and what it says when pointed at.

    ``mark`` is a class of the style sheet: ``origin`` frames the cell, ``changed`` folds its corner.
    ``link`` is an address on the page (``#L1H2``). ``text`` stands in the cell: one or two characters.
    """

    share: float | None
    title: str
    text: str = ""
    mark: str = ""
    link: str = ""


def head_map(values: Sequence[Sequence[HeadCell]]) -> str:
    """The table of ``values[layer][head]``; layers may differ in their heads."""
    across = max((len(heads) for heads in values), default=0)
    head = "".join(f"<th scope=col>{number}</th>" for number in range(across))
    rows = "".join(
        f"<tr><th scope=row>{layer}</th>{''.join(map(_cell, heads))}</tr>"
        for layer, heads in enumerate(values)
    )
    return (
        f'<div class=wide tabindex=0 role=region aria-label="Every head"><table class=map '
        f'style="--heads:{across}"><thead><tr><td></td>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _cell(item: HeadCell) -> str:
    classes = f" class={item.mark}" if item.mark else ""
    title = escape(item.title)
    text = escape(item.text)
    if item.link:
        text = f'<a href="{escape(item.link)}" aria-label="{title}">{text}</a>'
    if item.share is None:
        return f'<td{classes} title="{title}">{text}</td>'
    look = f"background-color:{colour(item.share)};color:{ink(item.share)};--dark:{on_dark(item.share)}"
    return f'<td{classes} style="{look}" title="{title}">{text}</td>'


def scale(marks: Sequence[tuple[float, str]], caption: str) -> str:
    """The legend's ramp: marks as (share of its length, text) and a caption, which is markup."""
    spans = "".join(f'<span style="left:{100 * share:.1f}%">{escape(text)}</span>' for share, text in marks)
    return f"<div class=ramp></div><div class=marks>{spans}</div><p>{caption}</p>"
