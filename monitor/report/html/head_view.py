"""Every head's attention over one input, to be explored: thumbnails of all heads, and one head's lines.

``head_view`` gives the markup with the numbers in it; the page needs ``STYLE`` and ``SCRIPT`` too. It
works without a network, by mouse, touch and keyboard. What comes from the input reaches the page as
JSON and is written by the script as text, never as markup.
"""

from __future__ import annotations

import zlib
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from monitor.report.html.palette import CIVIDIS
from monitor.report.html.skeleton import asset, data, script
from monitor.report.html.visible import visible

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What looks or is looked at: a name for each item, and the numbers of those that are special."""

    names: tuple[str, ...]
    special: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadNote:
    """One head: its name, its role in a word, and what is known of it as (name, text).

    All heads of a view have the same names there.
    """

    name: str
    role: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    mark: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadRow:
    """A row of the model view: ``matrices`` (head, query, key), 255 times the weight's root.

    ``queries`` and ``keys`` name the sides; ``heads`` has a note for each matrix.
    """

    title: str
    queries: str
    keys: str
    matrices: Bytes
    heads: tuple[HeadNote, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """An image as the model saw it (a data address) and its patches; ``before`` stand before them."""

    address: str
    rows: int
    columns: int
    before: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadView:
    """``rows`` down and ``columns`` (their names) across; ``notes``: what was merged or left out.

    ``words``: what a row and a column are called. ``together``: a row's heads are shown side by side.
    ``start``: the row and the column that are open at first. ``toggle`` names the special items.
    """

    sides: Mapping[str, Side]
    rows: tuple[HeadRow, ...]
    columns: tuple[str, ...]
    words: tuple[str, str] = ("Layer", "Head")
    together: bool = False
    start: tuple[int, int] = (0, 0)
    toggle: str = "special tokens"
    picture: Picture | None = None
    notes: tuple[str, ...] = ()


def head_view(view: HeadView, name: str = "heads") -> str:
    """The markup of the model view and the head view; ``name`` tells several on one page apart."""
    notes = "".join(f"<p class=note>{escape(note)}</p>" for note in view.notes)
    return (
        f'<div class=head-view data-view="{escape(name)}">'
        f"{data(name, as_json(view))}{notes}"
        "<noscript><p>The heads are drawn by a script of this page, which is switched off.</p></noscript>"
        "</div>"
    )


def as_json(view: HeadView) -> dict[str, object]:
    """What the script reads: the matrices one after another, deflated, in base64."""
    return {
        "sides": {
            name: {"names": [visible(one) for one in side.names], "special": side.special}
            for name, side in view.sides.items()
        },
        "rows": [
            {
                "title": row.title,
                "queries": row.queries,
                "keys": row.keys,
                "heads": [
                    {
                        "name": head.name,
                        "role": head.role,
                        "facts": [text for _, text in head.facts],
                        "mark": head.mark,
                    }
                    for head in row.heads
                ],
            }
            for row in view.rows
        ],
        "columns": view.columns,
        "facts": [name for name, _ in view.rows[0].heads[0].facts],
        "words": view.words,
        "together": view.together,
        "start": view.start,
        "toggle": view.toggle,
        "ramp": CIVIDIS,
        "picture": None
        if view.picture is None
        else {
            "address": view.picture.address,
            "rows": view.picture.rows,
            "columns": view.picture.columns,
            "before": view.picture.before,
        },
        "matrices": b64encode(packed(view)).decode(),
    }


def packed(view: HeadView) -> bytes:
    """Every matrix row by row, deflated."""
    return zlib.compress(b"".join(row.matrices.tobytes() for row in view.rows), 9)


STYLE = asset("head_view.css")
SCRIPT = script(
    "elements.js",
    "head_view_data.js",
    "head_view_model.js",
    "head_view_items.js",
    "head_view_lines.js",
    "head_view_picture.js",
    "head_view.js",
)
