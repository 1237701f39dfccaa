"""The kinds of panels that the dashboards are made of, all in one look.

Every panel says three things to whoever hovers over its title: what it shows, when that is bad, and
what to do next. Colours that mean something are blue, yellow, orange and red, never green against
red alone, and every state is written out as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from exporters.grafana.queries import metric, query, table_query
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
    """A panel's description: ``shows``, when it is ``bad``, and what comes ``then``."""

    shows: str
    bad: str
    then: str

    def __str__(self) -> str:
        return f"{self.shows}\n\n**Bad:** {self.bad}\n\n**Next:** {self.then}"


def lines(title: str, words: Words, unit: str, span: int, *queries: Query) -> timeseries.Panel:
    """Values over time."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(str(words))
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


def number(title: str, words: Words, unit: str, span: int, asked: Query) -> stat.Panel:
    """The newest value, one for each series."""
    expression, legend = asked
    return (
        stat.Panel()
        .title(title)
        .description(str(words))
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


def bars(title: str, words: Words, unit: str, span: int, asked: Query) -> bargauge.Panel:
    """The newest values as bars beside each other."""
    expression, legend = asked
    return (
        bargauge.Panel()
        .title(title)
        .description(str(words))
        .datasource(SOURCE)
        .unit(unit)
        .height(8)
        .span(span)
        .min(0)
        .orientation(common.VizOrientation.HORIZONTAL)
        .display_mode(common.BarGaugeDisplayMode.BASIC)
        .color_scheme(_one_colour("blue"))
        .with_target(query(expression, legend, "A").instant())
    )


def rows(
    title: str, words: Words, span: int, columns: Mapping[str, str], labels: Mapping[str, str]
) -> table.Panel:
    """A table with a row for each set of ``labels`` (label -> heading).

    ``columns``: heading -> expression; one without a heading has no column, it only gives the rows.
    """
    panel = (
        table.Panel()
        .title(title)
        .description(str(words))
        .datasource(SOURCE)
        .unit("none")
        .height(8)
        .span(span)
    )
    for letter, expression in zip(LETTERS, columns.values(), strict=False):
        panel = panel.with_target(table_query(expression, letter))
    values = ("Value",) if len(columns) == 1 else tuple(f"Value #{letter}" for letter in LETTERS)
    headings = {**labels, **dict(zip(values, columns, strict=False))}
    options = {
        "excludeByName": {"Time": True, **{name: True for name, heading in headings.items() if not heading}},
        "indexByName": {name: index for index, name in enumerate(headings)},
        "renameByName": {name: heading for name, heading in headings.items() if heading not in ("", name)},
    }
    return panel.with_transformation(
        model.DataTransformerConfig(id_val="merge", options={})
    ).with_transformation(model.DataTransformerConfig(id_val="organize", options=options))


def heads_table(title: str, words: Words, span: int, columns: Sequence[str]) -> table.Panel:
    """The top heads with these numbers of theirs: evidence, effect, before, after, importance_ratio."""
    by = "max by (model, layer, head, statistic)"
    labels = {name: name for name in ("model", "layer", "head", "statistic")}
    headings = {name.removesuffix("_ratio"): f"{by} ({metric(f'head_{name}')})" for name in columns}
    panel = rows(title, words, span, headings, labels).no_value("no window judged yet")
    panel = panel.sort_by([common_builders.TableSortByFieldState().display_name("evidence").desc(True)])
    for heading in headings:
        unit = "percentunit" if heading == "importance" else "none"
        panel = column_unit(panel, heading, unit, 2)
    return panel


def column_unit(panel: table.Panel, column: str, unit: str, decimals: int) -> table.Panel:
    """The table with one column's numbers in a unit of their own."""
    return panel.override_by_name(
        column,
        [
            model.DynamicConfigValue(id_val="unit", value=unit),
            model.DynamicConfigValue(id_val="decimals", value=decimals),
        ],
    )


def column_link(panel: table.Panel, column: str, title: str, url: str, *, away: bool) -> table.Panel:
    """The table with a link on each cell of a column; ``away``: in a tab of its own."""
    link = {"title": title, "url": url, "targetBlank": away}
    return panel.override_by_name(column, [model.DynamicConfigValue(id_val="links", value=[link])])


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


def _one_colour(name: str) -> board.FieldColor:
    return board.FieldColor().mode(model.FieldColorModeId.FIXED).fixed_color(name)
