"""Weights of patches over their picture: the picture in grey, so that colour is the weight alone."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from monitor.report.html.head_view import Picture
from monitor.report.html.highlight import highlighted


def patched(picture: Picture, names: Sequence[str], weights: Sequence[float], *, unit: str = "") -> str:
    """The picture with a cell for each patch; what stands before the patches goes above it, as words."""
    before = picture.before
    largest = max(map(abs, weights), default=0.0) or 1.0
    cells = "".join(
        f'<span class={"less" if weight < 0 else "more"} style="--share:{abs(weight) / largest:.2f}" '
        f'title="{escape(f"{name}: {weight:+.3g} {unit}".strip())}"></span>'
        for name, weight in zip(names[before:], weights[before:], strict=True)
    )
    first = highlighted(names[:before], weights[:before], unit=unit, special=range(before)) if before else ""
    return (
        f'{first}<div class="picture weighted"><img src="{escape(picture.address)}" '
        f'alt="The image as the model saw it"><div class=patches '
        f'style="grid-template-columns:repeat({picture.columns},1fr)">{cells}</div></div>'
    )
