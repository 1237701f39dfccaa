"""What all dashboards share: variables, links to each other and to the runbooks, alerts as annotations."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from exporters.alert_rules import RUNBOOKS
from exporters.grafana.panels import Panel
from exporters.grafana.sdk import SOURCE, JSONEncoder, board, model

TAG = "headwatch"
EVERYTHING = ".+"
Sections = Mapping[str, Sequence[Panel]]


def dashboard(
    uid: str, title: str, description: str, sections: Sections, variables: Sequence[board.QueryVariable]
) -> str:
    """The dashboard's JSON; ``sections``: a row's title -> its panels."""
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
        .link(_others())
        .link(_runbooks())
    )
    built = built.with_variable(
        board.DatasourceVariable("datasource").label("Data source").type("prometheus")
    )
    for variable in variables:
        built = built.with_variable(variable)
    for heading, panels in sections.items():
        built = built.with_row(board.Row(heading))
        for panel in panels:
            built = built.with_panel(panel)
    return json.dumps(built.build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def places(*, several_models: bool) -> tuple[board.QueryVariable, ...]:
    """Which job, instance and model; heads and tokens can only be read for one model at a time."""
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


def choice(name: str, label: str, query: str) -> board.QueryVariable:
    """One more thing to choose, one at a time."""
    return _values(name, label, query, several=False)


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
        .expr('ALERTS{alertname=~"Headwatch.*", alertstate="firing", job=~"$job", model=~"$model"}')
        .title_format("{{alertname}}")
        .text_format("{{model}}: {{severity}}")
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


def _runbooks() -> board.DashboardLink:
    return (
        board.DashboardLink("Runbooks")
        .type(model.DashboardLinkType.LINK)
        .icon("doc")
        .tooltip("What to do about each alert")
        .url(f"{RUNBOOKS}/README.md")
        .target_blank(True)
    )
