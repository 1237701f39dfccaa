"""What all dashboards share: variables, links to each other and to the runbooks, alerts as annotations."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from exporters.grafana.panels import Panel
from exporters.grafana.queries import MODEL, metric
from exporters.grafana.sdk import SOURCE, JSONEncoder, board, model

TAG = "headwatch"
EVERYTHING = ".+"
Sections = Mapping[str, Sequence[Panel]]


def dashboard(
    uid: str,
    title: str,
    description: str,
    sections: Sections,
    *,
    several_models: bool,
    choices: Sequence[board.QueryVariable] = (),
    runbooks: str | None,
) -> str:
    """The dashboard's JSON.

    ``sections``: a row's title -> its panels. ``several_models``: heads and tokens can only be read for
    one model at a time. ``choices``: what can be chosen besides. ``runbooks``: their address.
    """
    built = (
        board.Dashboard(f"headwatch / {title}")
        .uid(uid)
        .description(description)
        .tags([TAG])
        .timezone("browser")
        .time("now-24h", "now")
        .refresh("1m")
        .readonly()
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .annotation(_alerts())
        .annotation(_onset())
        .annotation(_versions())
        .link(_others())
    )
    if runbooks is not None:
        built = built.link(_runbooks(runbooks))
    built = built.with_variable(
        board.DatasourceVariable("datasource").label("Data source").type("prometheus")
    )
    for variable in (*_places(several_models=several_models), *choices):
        built = built.with_variable(variable)
    for heading, panels in sections.items():
        built = built.with_row(board.Row(heading))
        for panel in panels:
            built = built.with_panel(panel)
    text = json.dumps(built.build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"
    # Grafana escapes a name for a regular expression only where several can be chosen.
    return text if several_models else text.replace(r"model=~\"$model\"", r"model=\"$model\"")


def _places(*, several_models: bool) -> tuple[board.QueryVariable, ...]:
    state = "headwatch_state"
    return (
        _values("job", "Job", f"label_values({state}, job)"),
        _values("instance", "Instance", f'label_values({state}{{job=~"$job"}}, instance)'),
        _values(
            "model",
            "Model",
            f'label_values({state}{{job=~"$job", instance=~"$instance"}}, model)',
            several=several_models,
        ),
    )


def choice(name: str, label: str, query: str, first: str) -> board.QueryVariable:
    """One more thing to choose, one at a time; ``first``: what is chosen before anybody does."""
    chosen = model.VariableOption(selected=True, text=first, value=first)
    return _values(name, label, query, several=False).current(chosen)


def _values(name: str, label: str, query: str, *, several: bool = True) -> board.QueryVariable:
    variable = (
        board.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query(query)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(several)
        .include_all(several)
    )
    if not several:
        return variable
    everything = model.VariableOption(selected=True, text="All", value="$__all")
    return variable.all_value(EVERYTHING).current(everything)


def _alerts() -> board.AnnotationQuery:
    return (
        board.AnnotationQuery()
        .name("Alerts")
        .datasource(SOURCE)
        .enable(True)
        .icon_color("red")
        .expr(f'ALERTS{{alertname=~"Headwatch.*", alertstate="firing", {MODEL}}}')
        .title_format("{{alertname}}")
        .text_format("{{model}}: {{severity}}")
    )


def _onset() -> board.AnnotationQuery:
    """The time that the metric names, not the time at which it began to name it."""
    return (
        board.AnnotationQuery()
        .name("Drift began")
        .datasource(SOURCE)
        .enable(True)
        .icon_color("orange")
        .expr(f"{metric('alarm_since_timestamp_seconds')} * 1000")
        .use_value_for_time(True)
        .title_format("Drift began")
        .text_format("{{model}}")
    )


def _versions() -> board.AnnotationQuery:
    """Only what was not there in the day before: a restart is no change."""
    named = "max by (model, revision, baseline)"
    info = metric("model_info")
    return (
        board.AnnotationQuery()
        .name("Revision or baseline changed")
        .datasource(SOURCE)
        .enable(True)
        .icon_color("blue")
        .expr(f"{named} ({info}) unless {named} (last_over_time({info}[1d] offset 5m))")
        .title_format("Another revision or baseline")
        .text_format("{{model}}: revision {{revision}}, baseline {{baseline}}")
    )


def _others() -> board.DashboardLink:
    return (
        board.DashboardLink("headwatch")
        .type(model.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .as_dropdown(False)
        .include_vars(True)
        .keep_time(True)
    )


def _runbooks(address: str) -> board.DashboardLink:
    return (
        board.DashboardLink("Runbooks")
        .type(model.DashboardLinkType.LINK)
        .icon("doc")
        .tooltip("What to do about each alert")
        .url(f"{address}/README.md")
        .target_blank(True)
    )
