"""Where in the model it happened: the map of all heads, and the story of those that matter most."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape

from monitor.records import HeadId
from monitor.records.statistic_names import readable
from monitor.report.episode_charts import KEYS, distances, rows
from monitor.report.episode_data import Change, Distances, EpisodeReport, HeadStory, Table
from monitor.report.episode_words import (
    ROLES,
    change_in_sd,
    named_heads,
    number,
    past,
    percent,
    present,
)
from monitor.report.html.heads import HeadCell, head_map, scale

MOST_LISTED = 8
SHOWN_STATISTICS = 5
SMALLEST_SCALE = 1.0
"""sd at the bright end of the map at least: a quiet map must look quiet."""
SMALLEST_PROBE_SCALE = 0.1
PROBE_CHANCE = 0.01
"""sd below which another batching alone moves the probe."""


def head_maps(report: EpisodeReport) -> str:
    """The section of the maps: in the traffic, and on the fixed inputs where they were read."""
    if not report.effects:
        return ""
    probe = report.probe is not None and max((max(row) for row in report.probe), default=0.0) > PROBE_CHANCE
    moved = sum(abs(value) >= report.chance for layer in report.effects for value in layer)
    every = report.layers * report.heads
    traffic = _map(report, report.effects, least=report.chance, smallest=SMALLEST_SCALE)
    said = (
        f"{moved} of {every} heads moved by more than chance explains ({number(report.chance, 2)} sd for "
        "this "
        "many samples). Layers go down, heads across; each cell is the head's largest change of a mean."
    )
    parts = [f"<section id=map><h2>Where in the model</h2><p class=lead>{said}</p>"]
    if probe and report.probe is not None:
        fixed = _map(report, report.probe, least=PROBE_CHANCE, smallest=SMALLEST_PROBE_SCALE)
        parts.append(
            f"<div class=maps><div><h3>In the traffic</h3>{traffic}</div>"
            f"<div><h3>On the fixed probe inputs</h3>{fixed}</div></div>"
            "<p class=quiet>The probe inputs never change, so what moves in their map is the model "
            "alone. What moves in one head is passed on to the later layers.</p>"
        )
    else:
        parts.append(f"<div class=maps><div>{traffic}</div>{_most(report)}</div>")
        if report.probe is not None:
            parts.append(
                "<p class=quiet>On the fixed probe inputs no head moved: there the map is empty.</p>"
            )
    return "".join([*parts, "</section>"])


def _most(report: EpisodeReport) -> str:
    """The largest changes by name, beside the map."""
    places = [
        (abs(value), HeadId(layer=layer, head=head), value)
        for layer, row in enumerate(report.effects)
        for head, value in enumerate(row)
    ]
    places.sort(key=lambda item: -item[0])
    told = {story.head for story in report.stories}
    rows = "".join(
        f"<tr><th scope=row><b>{_linked(head, told)}</b></th>"
        f"<td>{_statistic(report, head)}</td><td class=num>{change_in_sd(value)}</td></tr>"
        for _, head, value in places[:MOST_LISTED]
    )
    return (
        "<table class='plain moved'><thead><tr><th scope=col>head</th><th scope=col>what moved most</th>"
        f"<th scope=col class=num>by</th></tr></thead><tbody>{rows}</tbody></table>"
    )


def _linked(head: HeadId, told: set[HeadId]) -> str:
    return f"<a href='#{head}'>{head}</a>" if head in told else str(head)


def _statistic(report: EpisodeReport, head: HeadId) -> str:
    return escape(readable(_name(report, head)))


def _name(report: EpisodeReport, head: HeadId) -> str:
    return report.effect_of[head.layer][head.head]


def _map(report: EpisodeReport, values: Table, *, least: float, smallest: float) -> str:
    named = {item.head for item in named_heads(report.verdict)}
    told = {story.head for story in report.stories}
    highest = max([smallest, *(abs(value) for layer in values for value in layer if math.isfinite(value))])
    # A damaged head can move by hundreds: the scale is logarithmic where one would hide all others.
    logarithmic = highest > 6
    cells = []
    for layer, row in enumerate(values):
        cells.append(
            [
                _cell(
                    report,
                    HeadId(layer=layer, head=head),
                    value,
                    _share(abs(value), least, highest, logarithmic=logarithmic),
                    named=named,
                    told=told,
                    traffic=values is report.effects,
                )
                for head, value in enumerate(row)
            ]
        )
    marks = _marks(least, highest, logarithmic=logarithmic)
    frame = "<span class='key origin'></span> named by the detector · " if named else ""
    link = "a cell with a story below is a link" if told else ""
    legend = scale(
        marks,
        f"moved, in standard deviations of the baseline; blank: less<br>{frame}{link}",
    )
    return f"{head_map(cells)}<div class=legend>{legend}</div>"


def _cell(
    report: EpisodeReport,
    head: HeadId,
    value: float,
    share: float | None,
    *,
    named: set[HeadId],
    told: set[HeadId],
    traffic: bool,
) -> HeadCell:
    title = f"{head}: {number(abs(value), 2)} sd"
    if traffic:
        title = f"{head}: {readable(_name(report, head))} {change_in_sd(value)}"
    return HeadCell(
        share=share,
        title=title,
        mark="origin" if head in named else "",
        link=f"#{head}" if head in told else "",
    )


def _share(size: float, least: float, highest: float, *, logarithmic: bool) -> float | None:
    if not size >= least:
        return None
    if not logarithmic:
        return min(1.0, size / highest)
    low = max(least, 1e-2)
    return min(1.0, max(0.0, math.log(max(size, low) / low) / max(math.log(highest / low), 1e-9)))


def _marks(least: float, highest: float, *, logarithmic: bool) -> list[tuple[float, str]]:
    if not logarithmic:
        return [(share, number(share * highest, 2)) for share in (0.0, 0.5, 1.0)]
    low = max(least, 1e-2)
    span = math.log(highest / low)
    powers = [
        power for power in (0.01, 0.1, 1.0, 10.0, 100.0, 1e3, 1e4, 1e5) if low * 1.3 < power < highest / 3
    ]
    inner = [(math.log(power / low) / span, number(power, 2)) for power in powers]
    return [(0.0, number(low, 2)), *inner, (1.0, number(highest, 2))]


def head_stories(report: EpisodeReport) -> str:
    """The heads that are worth a look, one after the other."""
    if not report.effects:
        return ""
    if not report.stories:
        return (
            "<section id=heads><h2>The heads that changed most</h2><p class=lead>None moved by more than "
            "chance explains, and the detector names none.</p></section>"
        )
    lead = (
        "The heads that the detector named come first, then those that moved most, weighed by how much the "
        "predictions hang on them. Grey is the baseline, orange is since the change."
    )
    told = "".join(_story(report, story, first=place == 0) for place, story in enumerate(report.stories))
    title = "<h2>The heads that changed most</h2>"
    return f"<section id=heads>{title}<p class=lead>{lead}</p>{KEYS}{told}</section>"


def _story(report: EpisodeReport, story: HeadStory, *, first: bool) -> str:
    names = [readable(item.name) for item in story.statistics]
    numbers = rows(story.statistics, names, shown=SHOWN_STATISTICS)
    profile = _distances(report, story, explained=first)
    return (
        f"<article class=head id={story.head} tabindex=-1><h3>{story.head}<small>"
        f"{_standing(report, story)}</small></h3>"
        f"<p class=role>{_roles(story)}</p><div class=pair><figure><figcaption>What it does, in standard "
        "deviations "
        f"of the baseline</figcaption>{numbers}</figure>{profile}</div></article>"
    )


def _standing(report: EpisodeReport, story: HeadStory) -> str:
    ranked = sorted((value for row in report.importance for value in row), reverse=True)
    rank = 1 + sum(value > story.importance for value in ranked)
    named = "named by the detector, " if story.named else ""
    if len(set(ranked)) == 1:
        return f"{named}importance not measured"
    return f"{named}importance: {percent(story.importance)} of all heads' (rank {rank} of {len(ranked)})"


def _roles(story: HeadStory) -> str:
    shares = {item.name: item for item in story.roles}
    before, after = story.role_before, story.role_after
    if before is None or after is None:
        return "Its role was not surveyed" + (
            " since the change." if before is not None else " for the baseline."
        )
    if before != after:
        takes = f" (share of that: {_share_change(shares, after)})" if after in shares else ""
        return f"Role: it {past(before)} → <span class=to>it {present(after)} now</span>{takes}."
    moved = story.roles[0] if story.roles else None
    more = ""
    if (
        moved is not None
        and moved.before is not None
        and moved.after is not None
        and abs(moved.after - moved.before) >= 0.05
    ):
        name = ROLES.get(moved.name, moved.name)
        more = f" What moved most: “{name}”, {percent(moved.before)} → {percent(moved.after)}."
    return f"Role: it {present(after)}, as before.{more}"


def _share_change(shares: Mapping[str, Change], role: str) -> str:
    item = shares[role]
    return f"{percent(item.before)} → {percent(item.after)}"


def _distances(report: EpisodeReport, story: HeadStory, *, explained: bool) -> str:
    if story.distances is None:
        return (
            "<p class=quiet>Attention by distance was not surveyed, before or since the change: the "
            "baseline is of "
            "an earlier version, or <code>analysis.scheduled.distance_profile</code> is off.</p>"
        )
    explanation = (
        "Bars: baseline; lines: since the change, with two standard errors. Left of 0: tokens before it. "
        f"{report.surveyed[0]} and {report.surveyed[1]} inputs."
        if explained
        else ""
    )
    return (
        "<figure><figcaption>Where it looks: mean attention by distance to the token</figcaption>"
        f"{distances(story.distances, str(story.head))}"
        f"<p class=quiet>{escape(explanation)}</p>{_numbers(story.distances)}</figure>"
    )


def _numbers(item: Distances) -> str:
    body = "".join(
        f"<tr><th scope=row>{escape(label)}</th><td class=num>{percent(before)}</td><td class=num>"
        f"{percent(after)}</td></tr>"
        for label, before, after in zip(item.bins, item.before, item.after, strict=True)
    )
    return (
        "<details><summary>As numbers</summary><table class=plain><thead><tr><th scope=col>distance</th>"
        "<th scope=col class=num>before</th><th scope=col class=num>after</th></tr></thead>"
        f"<tbody>{body}</tbody></table></details>"
    )
