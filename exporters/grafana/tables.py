"""Tables: rows of the newest values, with the units, words and links of their columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from exporters.grafana.panels import LETTERS, Words
from exporters.grafana.queries import metric, table_query
from exporters.grafana.sdk import SOURCE, common_builders, model, table


def rows(
    title: str, words: Words, span: int, columns: Mapping[str, str], labels: Mapping[str, str]
) -> table.Panel:
    """A table with a row for each set of ``labels`` (label -> heading).

    ``columns``: heading -> expression; one without a heading has no column, it only gives the rows.
    The label ``instance`` stands last: it is asked for when the rest is known.
    """
    panel = (
        table.Panel()
        .title(title)
        .description(str(words))
        .no_value(words.empty)
        .datasource(SOURCE)
        .unit("none")
        .height(8)
        .span(span)
    )
    for letter, expression in zip(LETTERS, columns.values(), strict=False):
        panel = panel.with_target(table_query(expression, letter))
    values = ("Value",) if len(columns) == 1 else tuple(f"Value #{letter}" for letter in LETTERS)
    headings = {**labels, **dict(zip(values, columns, strict=False))}
    if "instance" in headings:
        headings["instance"] = headings.pop("instance")
    options = {
        "excludeByName": {"Time": True, **{name: True for name, heading in headings.items() if not heading}},
        "indexByName": {name: index for index, name in enumerate(headings)},
        "renameByName": {name: heading for name, heading in headings.items() if heading not in ("", name)},
    }
    return panel.with_transformation(
        model.DataTransformerConfig(id_val="merge", options={})
    ).with_transformation(model.DataTransformerConfig(id_val="organize", options=options))


def heads_table(
    title: str, words: Words, span: int, labels: Sequence[str], columns: Sequence[str]
) -> table.Panel:
    """The top heads with these numbers of theirs: evidence, effect, before, after, importance_ratio.

    ``labels`` of each row; the instance is one of them, for replicas each have heads of their own.
    """
    by = f"max by ({', '.join(labels)})"
    headings = {name.removesuffix("_ratio"): f"{by} ({metric(f'head_{name}')})" for name in columns}
    panel = rows(title, words, span, headings, {name: name for name in labels})
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


def column_words(panel: table.Panel, column: str, words: Mapping[str, str]) -> table.Panel:
    """The table with one column's words (word -> colour) in colours of their own."""
    mappings = {word: {"color": colour, "index": index} for index, (word, colour) in enumerate(words.items())}
    return panel.override_by_name(
        column,
        [
            model.DynamicConfigValue(id_val="mappings", value=[{"type": "value", "options": mappings}]),
            model.DynamicConfigValue(id_val="custom.cellOptions", value={"type": "color-text"}),
        ],
    )


def column_page(panel: table.Panel, column: str, title: str, url: str) -> table.Panel:
    """The table with addresses shown as ``title`` and opened in a tab of their own."""
    shown = [
        {"type": "regex", "options": {"pattern": pattern, "result": {"text": text, "index": index}}}
        for index, (pattern, text) in enumerate({"/^http.*$/": title, "/^$/": "not in MLflow (yet)"}.items())
    ]
    # Only what the pattern matches is replaced, so it matches all. Overrides of one column add up.
    linked = column_link(panel, column, title, url, away=True)
    return linked.override_by_name(column, [model.DynamicConfigValue(id_val="mappings", value=shown)])


def column_link(panel: table.Panel, column: str, title: str, url: str, *, away: bool) -> table.Panel:
    """The table with a link on each cell of a column; ``away``: in a tab of its own."""
    link = {"title": title, "url": url, "targetBlank": away}
    return panel.override_by_name(column, [model.DynamicConfigValue(id_val="links", value=[link])])
