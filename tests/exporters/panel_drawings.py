"""One panel of a dashboard as a drawing: the answers of Prometheus in the panel's own form.

Not Grafana's own picture: a stand-in for reviews, for there is no Grafana to be had in tests. It reads
the committed JSON, so a panel with a wrong unit, legend, mapping or transformation looks wrong here.
"""

from __future__ import annotations

import itertools
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from tests.exporters.promql_server import Promql, Series
from tests.exporters.shown_values import mapped, shown

Panel = dict[str, Any]
COLOURS = {
    "text": "#8e8e8e",
    "green": "#56a64b",
    "blue": "#1f78c1",
    "light-blue": "#8ab8ff",
    "yellow": "#f2cc0c",
    "orange": "#ff780a",
    "red": "#e02f44",
    "purple": "#a352cc",
}
LINES = ("#1f78c1", "#e0752d", "#508642", "#a352cc", "#c4162a", "#0a9c9c", "#b5890b", "#6d6d6d", "#e48bc0")
STEP = 1.0


class Asked:
    """The answers to one panel's queries: newest values and values over the scene.

    ``marks``: the annotations of the dashboard, (seconds since the start, colour).
    """

    def __init__(
        self,
        prometheus: Promql,
        panel: Panel,
        start: float,
        end: float,
        marks: Sequence[tuple[float, str]],
    ) -> None:
        self._prometheus = prometheus
        self._targets = panel["targets"]
        self.start, self.end = start, end
        self.marks = marks

    def newest(self) -> list[tuple[str, str, Series]]:
        """(query letter, legend, series) of every series at the end, which is now."""
        return [
            (target["refId"], legend(target.get("legendFormat", ""), series["metric"]), series)
            for target in self._targets
            for series in self._prometheus.instant(target["expr"], at=self.end)
        ]

    def over_time(self) -> list[tuple[str, np.ndarray, np.ndarray]]:
        """(legend, seconds since the start, values) of every series; gaps are NaN."""
        times = np.arange(self.start, self.end + STEP / 2, STEP)
        found = []
        for target in self._targets:
            for series in self._prometheus.over(target["expr"], self.start, self.end, STEP):
                values = np.full(len(times), np.nan)
                for moment, value in series["values"]:
                    values[round((moment - self.start) / STEP)] = float(value)
                name = legend(target.get("legendFormat", ""), series["metric"])
                found.append((name, times - self.start, values))
        return found


def legend(pattern: str, labels: Mapping[str, str]) -> str:
    """A legend with its labels filled in."""
    return re.sub(r"{{\s*(\w+)\s*}}", lambda found: labels.get(found[1], ""), pattern)


def draw(axes: Axes, panel: Panel, asked: Asked) -> int:
    """Draw a panel; how many series, rows or values are in it."""
    return _DRAWN[panel["type"]](axes, panel, asked)


def _timeseries(axes: Axes, panel: Panel, asked: Asked) -> int:
    found = asked.over_time()
    defaults = panel["fieldConfig"]["defaults"]
    custom = defaults["custom"]
    if custom.get("stacking", {}).get("mode") == "normal":
        names, times, values = zip(*found, strict=True)
        axes.stackplot(
            times[0], np.nan_to_num(np.array(values)), labels=names, colors=LINES, alpha=0.6, step="post"
        )
    else:
        steps = custom.get("lineInterpolation") == "stepAfter"
        for index, (name, times_, values_) in enumerate(found):
            axes.plot(
                times_,
                values_,
                label=name,
                color=LINES[index % len(LINES)],
                linewidth=1.5,
                drawstyle="steps-post" if steps else "default",
            )
    _time_axis(axes, asked)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value, defaults)))
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=defaults.get("decimals") == 0))
    # A limit is drawn where it lies within the axis; it does not stretch it.
    top = max(axes.get_ylim()[1], custom.get("axisSoftMax", -np.inf))
    bottom = axes.get_ylim()[0]
    if custom.get("thresholdsStyle", {}).get("mode") == "dashed":
        for step in defaults["thresholds"]["steps"]:
            if step["value"] is not None:
                axes.axhline(step["value"], color=COLOURS[step["color"]], linestyle="--", linewidth=1)
    axes.set_ylim(defaults.get("min", bottom), defaults.get("max", top))
    axes.grid(color="#e6e6e6", linewidth=0.6)
    for moment, colour in asked.marks:
        axes.axvline(moment, color=COLOURS[colour], linestyle=":", linewidth=1)
    if panel["options"]["legend"]["placement"] == "right":
        _legend_beside(axes)
    else:
        _legend_below(axes)
    return len(found)


def _legend_beside(axes: Axes) -> None:
    """Names in a column at the right of the axis, which gives up a third of its width."""
    place = axes.get_position()
    axes.set_position((place.x0, place.y0, 0.68 * place.width, place.height))
    axes.legend(
        loc="upper left",
        bbox_to_anchor=(1.01, 1.03),
        borderaxespad=0,
        fontsize=5.5,
        frameon=False,
        handlelength=1.2,
        labelspacing=0.15,
    )


def _legend_below(axes: Axes) -> None:
    """Names in rows under the axis, which gives up the room that they need."""
    handles, names = axes.get_legend_handles_labels()
    place = axes.get_position()
    wide, high = axes.figure.get_size_inches() * (place.width, place.height)
    columns = max(1, min(len(names), int(wide / (0.3 + 0.047 * max(map(len, names), default=0)))))
    room = 0.12 * (-(-len(names) // columns) - 1)
    taken = place.height * room / high
    axes.set_position((place.x0, place.y0 + taken, place.width, place.height - taken))
    axes.legend(
        handles,
        names,
        loc="upper left",
        bbox_to_anchor=(-0.02, -0.17 / (high - room)),
        borderaxespad=0,
        borderpad=0,
        fontsize=5.5,
        ncols=columns,
        frameon=False,
        handlelength=1.2,
        columnspacing=1.0,
        labelspacing=0.2,
    )


def _short(value: float, defaults: Mapping[str, Any]) -> str:
    return shown(value, defaults["unit"], defaults.get("decimals"), now=0.0)


def _time_axis(axes: Axes, asked: Asked) -> None:
    axes.set_xlim(0, asked.end - asked.start)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f} s"))
    axes.tick_params(labelsize=6, length=2, colors="#555555")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _stat(axes: Axes, panel: Panel, asked: Asked) -> int:
    axes.axis("off")
    defaults = panel["fieldConfig"]["defaults"]
    found = asked.newest()
    if not found:
        axes.text(0.5, 0.5, defaults.get("noValue", "No data"), ha="center", va="center", fontsize=13)
        return 0
    for index, (_, name, series) in enumerate(found):
        value = float(series["value"][1])
        word = mapped(value, defaults.get("mappings", []))
        text = word[0] if word else shown(value, defaults["unit"], defaults.get("decimals"), now=asked.end)
        if panel["options"].get("textMode") == "name":
            text = name
        left, width = index / len(found), 1 / len(found)
        plain = "black"
        if panel["options"].get("colorMode") == "value":
            plain = COLOURS[word[1]] if word else _step(defaults, value)
        if word and panel["options"].get("colorMode") == "background":
            axes.axvspan(left, left + width, color=COLOURS[word[1]], alpha=0.9)
        axes.text(
            left + width / 2,
            0.55,
            text,
            ha="center",
            va="center",
            fontsize=13,
            fontweight="bold",
            color=plain,
        )
        if panel["options"].get("textMode") == "value_and_name":
            axes.text(left + width / 2, 0.15, name, ha="center", va="center", fontsize=6.5)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    return len(found)


def _step(defaults: Mapping[str, Any], value: float) -> str:
    """The colour of the highest threshold that the value reaches."""
    reached = [
        step["color"]
        for step in defaults["thresholds"]["steps"]
        if step["value"] is None or value >= step["value"]
    ]
    return "black" if reached[-1] == "text" else COLOURS[reached[-1]]


def _statetimeline(axes: Axes, panel: Panel, asked: Asked) -> int:
    found = asked.over_time()
    mappings = panel["fieldConfig"]["defaults"]["mappings"]
    for row, (_, times, values) in enumerate(found):
        edges = [0, *(np.flatnonzero(np.diff(values)) + 1), len(values)]
        for first, last in itertools.pairwise(edges):
            if first >= len(values) or np.isnan(values[first]):
                continue
            text, colour = mapped(values[first], mappings) or ("?", "text")
            wide = (last - first) * STEP
            axes.broken_barh([(times[first], wide)], (row - 0.4, 0.8), color=COLOURS[colour])
            if wide > 0.06 * (asked.end - asked.start):
                axes.text(times[first] + wide / 2, row, text, ha="center", va="center", fontsize=7)
    axes.set_yticks(range(len(found)), [name for name, *_ in found])
    _time_axis(axes, asked)
    return len(found)


def _heatmap(axes: Axes, panel: Panel, asked: Asked) -> int:
    # Grafana puts rows in numeric order where all their names are numbers.
    found = sorted(asked.over_time(), key=lambda item: float(item[0]))
    times = found[0][1]
    values = np.array([row for *_, row in found])
    shape = panel["options"]["color"]
    assert shape["scheme"] == "Cividis"
    assert shape["scale"] == "linear"
    mesh = axes.pcolormesh(
        np.append(times, times[-1] + STEP) - STEP / 2,
        np.arange(len(found) + 1) - 0.5,
        values,
        cmap="cividis",
        vmin=shape.get("min"),
        vmax=shape.get("max"),
    )
    axes.set_yticks(range(len(found)), [name for name, *_ in found])
    axes.set_ylabel(panel["options"]["yAxis"]["axisLabel"], fontsize=6)
    bar = axes.figure.colorbar(mesh, ax=axes, pad=0.01, fraction=0.03)
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    bar.ax.tick_params(labelsize=5.5, length=2)
    _time_axis(axes, asked)
    return len(found)


def _bargauge(axes: Axes, panel: Panel, asked: Asked) -> int:
    defaults = panel["fieldConfig"]["defaults"]
    found = [(name, float(series["value"][1])) for _, name, series in asked.newest()]
    places = range(len(found))
    axes.barh(
        places,
        [value for _, value in found],
        color=[_step(defaults, value) for _, value in found],
        height=0.6,
    )
    for place, (_, value) in zip(places, found, strict=True):
        axes.text(value, place, f" {_short(value, defaults)}", va="center", fontsize=6)
    axes.set_yticks(places, [name for name, _ in found])
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.tick_params(labelsize=6, length=0)
    axes.set_xticks([])
    for side in ("top", "right", "bottom"):
        axes.spines[side].set_visible(False)
    return len(found)


def _table(axes: Axes, panel: Panel, asked: Asked) -> int:
    axes.axis("off")
    headings, found = table_rows(panel, asked)
    if not found:
        text = panel["fieldConfig"]["defaults"].get("noValue", "No data")
        axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=9)
        return 0
    widths = [
        max(len(heading), *(len(row[index]) for row in found)) + 2 for index, heading in enumerate(headings)
    ]
    lefts = np.cumsum([0, *widths[:-1]]) / sum(widths)
    linked = {
        override["matcher"]["options"]
        for override in panel["fieldConfig"].get("overrides", [])
        if any(item["id"] == "links" for item in override["properties"])
    }
    height = 1 / (max(len(found), 4) + 1.2)
    for index, heading in enumerate(headings):
        axes.text(lefts[index], 1, heading, fontsize=6.5, fontweight="bold", va="top", color="#444444")
        for place, row in enumerate(found, start=1):
            room = int(1.15 * widths[index])
            text = textwrap.shorten(row[index], room, placeholder="...") if " " in row[index] else row[index]
            colour = "#1f60c4" if heading in linked else _word_colour(panel, heading, row[index])
            axes.text(lefts[index], 1 - place * height, text, fontsize=6.5, va="top", color=colour)
    return len(found)


def _word_colour(panel: Panel, heading: str, word: str) -> str:
    """The colour that a column's own value mappings give a word."""
    for override in panel["fieldConfig"].get("overrides", []):
        if override["matcher"]["options"] != heading:
            continue
        for item in override["properties"]:
            if item["id"] == "mappings" and item["value"][0]["type"] == "value":
                return COLOURS[item["value"][0]["options"][word]["color"]]
    return "black"


def table_rows(panel: Panel, asked: Asked) -> tuple[list[str], list[list[str]]]:
    """Headings and cells of a table after its transformations, as Grafana's ``merge`` and ``organize``."""
    kinds = [item["id"] for item in panel["transformations"]]
    assert kinds == ["merge", "organize"], kinds
    options = panel["transformations"][1]["options"]
    merged: dict[tuple[tuple[str, str], ...], dict[str, str]] = {}
    for letter, _, series in asked.newest():
        name = "Value" if len(panel["targets"]) == 1 else f"Value #{letter}"
        key = tuple(sorted(series["metric"].items()))
        merged.setdefault(key, dict(key))[name] = series["value"][1]
    fields = {name for row in merged.values() for name in row} | {"Time"}
    kept = sorted(
        (name for name in fields if not options["excludeByName"].get(name)),
        key=lambda name: options["indexByName"].get(name, 99),
    )
    headings = [options["renameByName"].get(name, name) for name in kept]
    shown_rows = sorted(merged.values(), key=lambda row: _order(panel, options, row), reverse=True)
    rows = [
        [
            _cell(panel, heading, row.get(name, ""), asked.end)
            for name, heading in zip(kept, headings, strict=True)
        ]
        for row in shown_rows
    ]
    return headings, rows


def _order(panel: Panel, options: Mapping[str, Any], row: Mapping[str, str]) -> float:
    """The number that a table is sorted by, the largest first; 0 where it says nothing of order."""
    for by in panel["options"].get("sortBy", []):
        assert by["desc"], "a table that is sorted upwards"
        name = next(name for name, title in options["renameByName"].items() if title == by["displayName"])
        return float(row.get(name, "nan"))
    return 0.0


def _cell(panel: Panel, heading: str, text: str, now: float) -> str:
    for override in panel["fieldConfig"].get("overrides", []):
        found = {item["id"]: item["value"] for item in override["properties"]}
        if override["matcher"]["options"] != heading:
            continue
        for mapping in found.get("mappings", []):
            if mapping["type"] == "regex" and re.fullmatch(mapping["options"]["pattern"].strip("/"), text):
                return mapping["options"]["result"]["text"]
        if "unit" in found:
            return shown(float(text or "nan"), found["unit"], found.get("decimals"), now=now)
    return text


_DRAWN: Mapping[str, Callable[[Axes, Panel, Asked], int]] = MappingProxyType(
    {
        "timeseries": _timeseries,
        "stat": _stat,
        "state-timeline": _statetimeline,
        "heatmap": _heatmap,
        "bargauge": _bargauge,
        "table": _table,
    }
)
