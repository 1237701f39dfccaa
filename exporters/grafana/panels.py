"""The kinds of panels that the dashboards are made of, all in one look.

Every panel says three things to whoever hovers over its title: what it shows, when that is bad, and
what to do next. Colours that mean something are blue, yellow, orange and red, never green against
red alone, and every state is written out as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from exporters.grafana.queries import query
from exporters.grafana.sdk import (
    SOURCE,
    bargauge,
    board,
    common,
    common_builders,
    heatmap,
    heatmap_model,
    model,
    stat,
    statetimeline,
    table,
    timeseries,
)

Panel: TypeAlias = (
    bargauge.Panel | heatmap.Panel | stat.Panel | statetimeline.Panel | table.Panel | timeseries.Panel
)
Query: TypeAlias = tuple[str, str]
"""An expression and its legend."""
LETTERS = "ABCDEFGH"


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """A panel's description: ``shows``, when it is ``bad``, and what comes ``then``.

    ``empty``: what stands in the panel while there is nothing to show, so that nobody takes it for calm.
    """

    shows: str
    bad: str
    then: str
    empty: str = "no window judged yet"

    def __str__(self) -> str:
        return f"{self.shows}\n\n**Bad:** {self.bad}\n\n**Next:** {self.then}"


def lines(title: str, words: Words, unit: str, span: int, *queries: Query) -> timeseries.Panel:
    """Values over time."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(str(words))
        .no_value(words.empty)
        .datasource(SOURCE)
        .unit(unit)
        .height(8)
        .span(span)
        .line_width(2)
        .show_points(common.VisibilityMode.NEVER)
        .legend(_legend())
        .tooltip(
            common_builders.VizTooltipOptions()
            .mode(common.TooltipDisplayMode.MULTI)
            .sort(common.SortOrder.DESCENDING)
        )
    )
    for letter, (expression, legend) in zip(LETTERS, queries, strict=False):
        panel = panel.with_target(query(expression, legend, letter))
    return panel


def steps(panel: timeseries.Panel) -> timeseries.Panel:
    """The same, for counts that jump: whole numbers, no slopes between them."""
    return panel.line_interpolation(common.LineInterpolation.STEP_AFTER).decimals(0).min(0).axis_soft_max(1)


def stacked(panel: timeseries.Panel) -> timeseries.Panel:
    """The same, as parts of a whole."""
    return (
        panel.stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL))
        .fill_opacity(50)
        .line_width(1)
        .min(0)
    )


def names_beside(panel: timeseries.Panel) -> timeseries.Panel:
    """The same, its many names in a column at the right, where they can be scrolled."""
    return panel.legend(_legend().placement(common.LegendPlacement.RIGHT))


def limited(panel: timeseries.Panel, limit: float) -> timeseries.Panel:
    """The same, with a dashed red line between good and bad."""
    style = common_builders.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED)
    return panel.thresholds(_steps((limit, "red"))).thresholds_style(style)


def coloured(panel: stat.Panel, limit: float, colour: str) -> stat.Panel:
    """The same, in a colour from ``limit`` on."""
    return panel.color_mode(common.BigValueColorMode.VALUE).thresholds(_steps((limit, colour), base="text"))


def number(title: str, words: Words, unit: str, span: int, asked: Query) -> stat.Panel:
    """The newest value, one for each series."""
    expression, legend = asked
    return (
        stat.Panel()
        .title(title)
        .description(str(words))
        .no_value(words.empty)
        .datasource(SOURCE)
        .unit(unit)
        .height(4)
        .span(span)
        .graph_mode(common.BigValueGraphMode.NONE)
        .color_mode(common.BigValueColorMode.NONE)
        .text_mode(common.BigValueTextMode.VALUE_AND_NAME)
        .with_target(query(expression, legend, "A").instant())
    )


def states(
    title: str, words: Words, asked: Query, mapping: Mapping[int, tuple[str, str]]
) -> statetimeline.Panel:
    """A row for each series over time, in the colour of its state."""
    expression, legend = asked
    return (
        statetimeline.Panel()
        .title(title)
        .description(str(words))
        .no_value(words.empty)
        .datasource(SOURCE)
        .unit("none")
        .mappings(value_words(mapping))
        .merge_values(True)
        .show_value(common.VisibilityMode.AUTO)
        .row_height(0.8)
        .height(5)
        .span(24)
        .legend(_legend())
        .with_target(query(expression, legend, "A"))
    )


def heat(
    title: str, words: Words, unit: str, span: int, asked: Query, *, brightest: float | None = None
) -> heatmap.Panel:
    """A row for each series over time, its value as the colour.

    Rows stand in numeric order where the legend is a plain number. ``brightest``: the colours go from
    0 to this, so that chance looks dull; without it from the smallest value shown to the largest.
    """
    expression, legend = asked
    colours = (
        heatmap.HeatmapColorOptions()
        .mode(heatmap_model.HeatmapColorMode.SCHEME)
        .scheme("Cividis")
        .scale(heatmap_model.HeatmapColorScale.LINEAR)
        .exponent(1)
        .steps(64)
        .fill("blue")
    )
    if brightest is not None:
        colours = colours.min(0).max(brightest)
    return (
        heatmap.Panel()
        .title(title)
        .description(str(words))
        .no_value(words.empty)
        .datasource(SOURCE)
        .unit(unit)
        .height(9)
        .span(span)
        .calculate(False)
        .color(colours)
        .cell_gap(1)
        .cell_values(heatmap.CellValues().unit(unit).decimals(3))
        .y_axis(heatmap.YAxisConfig().axis_label("layer").unit("none").decimals(0))
        .show_value(common.VisibilityMode.NEVER)
        .tooltip(heatmap.HeatmapTooltip().mode(common.TooltipDisplayMode.SINGLE))
        .show_legend()
        .with_target(query(expression, legend, "A"))
    )


def bars(
    title: str, words: Words, unit: str, span: int, asked: Query, *, limit: float | None = None
) -> bargauge.Panel:
    """The newest values as bars under each other; red from ``limit`` on."""
    expression, legend = asked
    return (
        bargauge.Panel()
        .title(title)
        .description(str(words))
        .no_value(words.empty)
        .datasource(SOURCE)
        .unit(unit)
        .height(8)
        .span(span)
        .min(0)
        .orientation(common.VizOrientation.HORIZONTAL)
        .display_mode(common.BarGaugeDisplayMode.BASIC)
        .thresholds(_steps(*([] if limit is None else [(limit, "red")])))
        .with_target(query(expression, legend, "A").instant())
    )


def value_words(mapping: Mapping[int, tuple[str, str]]) -> list[model.ValueMapping]:
    """Numbers shown as words, each in its colour."""
    found = {
        str(number): model.ValueMappingResult(text=text, color=colour)
        for number, (text, colour) in mapping.items()
    }
    return [model.ValueMap(found)]


def _legend() -> common_builders.VizLegendOptions:
    return (
        common_builders.VizLegendOptions()
        .display_mode(common.LegendDisplayMode.LIST)
        .placement(common.LegendPlacement.BOTTOM)
        .show_legend(True)
    )


def _steps(*above: tuple[float, str], base: str = "blue") -> board.ThresholdsConfig:
    steps = [model.Threshold(value=None, color=base)]
    steps += [model.Threshold(value=value, color=colour) for value, colour in above]
    return board.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps)
