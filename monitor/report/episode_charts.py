"""The small pictures of the report, as SVG that scales with the page and says itself in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from monitor.report.episode_data import Change, Distances
from monitor.report.episode_words import change_in_sd, figure, number, percent

SMALLEST_RANGE, LARGEST_RANGE = 2.0, 6.0
SPECIAL = "special"
LABELLED = {0: "−65", 2: "−32", 4: "−8", 7: "−1", 8: "0", 9: "+1", 12: "+8", 14: "+32", 16: "+65"}
"""Bins of the distance profile that get a label, and its text: the end that is nearer to the token."""
WIDTH, HEIGHT, LEFT, FOOT = 380.0, 168.0, 34.0, 22.0
CEILING = 2.0
"""Evidence over twice its limit is drawn at the top: how far beyond does not matter."""

KEYS = (
    "<ul class=keys><li><svg aria-hidden=true><rect class=band width=100% height=9 y=3 /></svg>8 of 10 "
    "baseline "
    "samples</li><li><svg aria-hidden=true><circle class=was cx=50% cy=7 r=4 /></svg>before</li>"
    '<li><svg aria-hidden=true viewBox="0 0 24 14"><path class=is d="M12 1l5 6-5 6-5-6z"/></svg>after, '
    "with two "
    "standard errors</li></ul>"
)


def rows(items: Sequence[Change], names: Sequence[str], *, shown: int = 20) -> str:
    """Each quantity before and after on one axis in standard deviations of its own baseline samples.

    The first ``shown`` are open to see, the others can be unfolded.
    """
    reach = _reach(items)
    drawn = [_row(item, name, reach, most=place == 0) for place, (item, name) in
             enumerate(zip(items, names, strict=True))]  # fmt: skip
    edge = number(reach, 2)
    axis = (
        f"<div class='row axis'><span></span><div><span>−{edge} sd</span><span>baseline</span>"
        f"<span>+{edge} sd</span></div><span></span><span></span></div>"
    )
    rest = "".join(drawn[shown:])
    more = f"<details><summary>{len(drawn) - shown} more</summary><div class=rows>{rest}</div></details>"
    return f"<div class=rows>{''.join(drawn[:shown])}{axis}</div>{more if rest else ''}"


def _reach(items: Sequence[Change]) -> float:
    """How far the axis goes either way, in sd; what lies beyond gets an arrow."""
    known = [abs(item.effect) for item in items if item.effect is not None and math.isfinite(item.effect)]
    return min(LARGEST_RANGE, max(SMALLEST_RANGE, 1.15 * max(known, default=0.0)))


def _row(item: Change, name: str, reach: float, *, most: bool) -> str:
    values = f"{figure(item.before)} → {figure(item.after)}"
    effect = change_in_sd(item.effect)
    title = f"{name}: {values}, {effect}"
    return (
        f"<div class='row{' most' if most else ''}'><span class=nam>{escape(name)}</span>"
        f"<svg role=img aria-label='{escape(title)}'>{_interval(item, reach)}</svg>"
        f"<span class=val>{values}</span><span class=sd>{effect.replace('over ', '&gt; ')}</span></div>"
    )


def _interval(item: Change, reach: float) -> str:
    drawn = "<line class=grid x1=0 x2=100% y1=10 y2=10 />"
    spread = item.spread or 0.0
    if item.before is not None and item.low is not None and item.high is not None and spread > 0:
        left, right = (_across((edge - item.before) / spread, reach) for edge in (item.low, item.high))
        width = max(right - left, 0.4)
        drawn += f"<rect class=band x={left:.1f}% width={width:.1f}% y=4 height=12 rx=2 />"
    drawn += "<circle class=was cx=50% cy=10 r=3.5 />"
    if item.effect is None or not math.isfinite(item.effect):
        return drawn
    if item.error is not None and spread > 0 and abs(item.effect) <= reach:
        ends = [_across(item.effect + sign * 2 * item.error / spread, reach) for sign in (-1, 1)]
        drawn += f"<line class=whisker x1={ends[0]:.1f}% x2={ends[1]:.1f}% y1=10 y2=10 />"
    place = _across(item.effect, reach)
    beyond = "M-4-5L5 0-4 5z" if item.effect > reach else "M4-5L-5 0 4 5z" if item.effect < -reach else ""
    # A nested drawing of no size is what lets a path stand at a percentage.
    mark = beyond or "M0-6L5 0 0 6-5 0z"
    return f"{drawn}<svg x={place:.1f}% y=10 overflow=visible><path class=is d='{mark}'/></svg>"


def _across(effect: float, reach: float) -> float:
    """Where a change in sd lies on the axis, in per cent."""
    return 50 + 48 * min(1.0, max(-1.0, effect / reach))


def distances(item: Distances, name: str) -> str:
    """Mean attention by relative distance: grey bars before, an orange outline after."""
    top = _ceiling(max((*item.before, *item.after, 0.01)))
    drawn = "".join(_gridline(share, top) for share in (0.0, top / 2, top))
    gap = (WIDTH - LEFT - 8) / (len(item.bins) + 0.8)
    for place, label in enumerate(item.bins):
        left = LEFT + gap * (place + (0.8 if label == SPECIAL else 0.0))
        drawn += _bin(item, place, left, gap, top)
        text = "special" if label == SPECIAL else LABELLED.get(place, "")
        if text:
            drawn += f"<text x={left + gap / 2:.1f} y={HEIGHT - 8:.0f} text-anchor=middle>{text}</text>"
    said = f"Attention of {name} by distance. {_most_moved(item)}"
    box = f"0 0 {WIDTH:.0f} {HEIGHT:.0f}"
    return f"<svg class=chart viewBox='{box}' role=img aria-label='{escape(said)}'>{drawn}</svg>"


def _bin(item: Distances, place: int, left: float, gap: float, top: float) -> str:
    was, now = (_down(values[place], top) for values in (item.before, item.after))
    floor, middle = HEIGHT - FOOT, left + gap / 2
    right = left + gap - 1.5
    ends = [_down(max(0.0, item.after[place] + sign * 2 * item.error[place]), top) for sign in (-1, 1)]
    title = f"{item.bins[place]}: {percent(item.before[place])} → {percent(item.after[place])}"
    return (
        f"<g><title>{escape(title)}</title>"
        f"<rect class=bar x={left + 1.5:.1f} y={was:.1f} width={gap - 3:.1f} height={floor - was:.1f} />"
        f"<path class=step d='M{left + 1.5:.1f} {now:.1f}H{right:.1f}'/>"
        f"<line class=whisker x1={middle:.1f} x2={middle:.1f} y1={ends[0]:.1f} y2={ends[1]:.1f} /></g>"
    )


def _gridline(share: float, top: float) -> str:
    place = _down(share, top)
    return (
        f"<line class=grid x1={LEFT:.0f} x2={WIDTH:.0f} y1={place:.1f} y2={place:.1f} />"
        f"<text x={LEFT - 5:.0f} y={place + 3:.1f} text-anchor=end>{percent(share)}</text>"
    )


def _down(share: float, top: float) -> float:
    return (HEIGHT - FOOT) - (HEIGHT - FOOT - 10) * min(1.0, share / top)


def _ceiling(share: float) -> float:
    """The next round number from ``share`` on."""
    return next((top for top in (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8) if share <= top), 1.0)


def _most_moved(item: Distances) -> str:
    place = max(range(len(item.bins)), key=lambda one: abs(item.after[one] - item.before[one]))
    where = "special tokens" if item.bins[place] == SPECIAL else f"distance {item.bins[place]}"
    return f"Largest change at {where}: {percent(item.before[place])} to {percent(item.after[place])}."


def shares(before: float, after: float, top: float, title: str) -> str:
    """Two shares on one line from 0 to ``top``: a dot before, a diamond after."""
    places = [2 + 96 * min(1.0, max(0.0, value / top if top else 0.0)) for value in (before, after)]
    return (
        f"<svg role=img aria-label='{escape(title)}' width=100% height=20>"
        "<line class=grid x1=2% x2=98% y1=10 y2=10 />"
        f"<line class=zero x1={places[0]:.1f}% x2={places[1]:.1f}% y1=10 y2=10 />"
        f"<circle class=was cx={places[0]:.1f}% cy=10 r=3.5 />"
        f"<svg x={places[1]:.1f}% y=10 overflow=visible><path class=is d='M0-6L5 0 0 6-5 0z'/></svg></svg>"
    )


def bar(share: float, title: str) -> str:
    """One bar of this share of the width."""
    return (
        f"<svg role=img aria-label='{escape(title)}' width=100% height=20><rect class=is x=0 y=5 height=10 "
        "rx=2 "
        f"width={100 * share:.1f}% opacity=.75 /></svg>"
    )


def sparkline(ratios: Sequence[float], alarms: Sequence[bool], onset: int | None, title: str) -> str:
    """Evidence as a share of its limit over windows; the change began with the window at ``onset``.

    A point is a whole window and stands in the middle of its shade, so what began with it began before.
    """
    count = max(len(ratios) - 1, 1)
    places = [
        (100 * index / count, 100 - 48 * min(CEILING, max(0.0, value))) for index, value in enumerate(ratios)
    ]
    shaded = "".join(
        f"<rect class=alarm x={max(0.0, 100 * (index - 0.5) / count):.2f} width={100 / count:.2f} y=0 "
        "height=100 />"
        for index, alarm in enumerate(alarms)
        if alarm
    )
    path = " ".join(f"{x:.2f},{y:.2f}" for x, y in places)
    start = 0.0 if onset is None else max(0.0, 100 * (onset - 0.5) / count)
    began = "" if onset is None else f"<line class=onset x1={start:.2f} x2={start:.2f} y1=0 y2=100 />"
    return (
        f"<svg viewBox='0 0 100 100' preserveAspectRatio=none role=img aria-label='{escape(title)}'>{shaded}"
        f"{began}<line class=limit x1=0 x2=100 y1=52 y2=52 /><polyline class=line points='{path}'/></svg>"
    )
