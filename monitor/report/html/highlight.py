"""Text with weights as its background: stronger where the weight is larger, signed where it is signed.

Colour is never alone: a negative weight also has a dotted line below it, and every word says its number
when pointed at.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from html import escape

from monitor.report.html.visible import visible


def highlighted(
    words: Sequence[str], weights: Sequence[float], *, unit: str = "", special: Collection[int] = ()
) -> str:
    """One paragraph: each word with its weight relative to the largest of ``weights`` in size.

    A weight that is no number leaves its word plain. ``unit`` follows the number in each word's title.
    ``special`` numbers words that are not of the text itself: they are written smaller.
    """
    largest = max((abs(weight) for weight in weights if math.isfinite(weight)), default=0.0)
    spans = (
        _word(word, weight, largest, unit, " special" if number in special else "")
        for number, (word, weight) in enumerate(zip(words, weights, strict=True))
    )
    return f"<p class=words>{' '.join(spans)}</p>"


def _word(word: str, weight: float, largest: float, unit: str, extra: str) -> str:
    shown = escape(visible(word))
    if not math.isfinite(weight):
        return f'<span class="plain{extra}">{shown}</span>'
    share = abs(weight) / largest if largest else 0.0
    sign = "less" if weight < 0 else "more"
    said = escape(f"{weight:+.3g} {unit}".strip())
    return f'<span class="{sign}{extra}" style="--share:{share:.2f}" title="{said}">{shown}</span>'


def signed_legend(less: str, more: str) -> str:
    """What the two colours mean; both are plain text."""
    keys = "".join(
        f'<span class={sign} style="--share:1">{escape(text)}</span> '
        for sign, text in (("less", less), ("more", more))
    )
    return f'<p class="words keys">{keys}</p>'
