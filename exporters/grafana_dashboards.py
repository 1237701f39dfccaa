"""The Grafana dashboard as code.

    python -m exporters.grafana_dashboards > configs/grafana/dashboards/overview.json

It answers the questions of whoever is on call, in their order: is something different, since when,
which heads, does it matter, and can the answer be trusted. Colours are Grafana's own, chosen so that
blue, yellow and red can be told apart by everybody; every state is written out as well.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from typing import TypeAlias

with warnings.catch_warnings():
    # The SDK prefers the schema of Grafana 12; the one used here loads in 10 and 11 too.
    warnings.simplefilter("ignore", DeprecationWarning)
    from grafana_foundation_sdk.builders import common as common_builders
    from grafana_foundation_sdk.builders import dashboard as board
    from grafana_foundation_sdk.builders import prometheus, stat, statetimeline, table, timeseries
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models import common
    from grafana_foundation_sdk.models import dashboard as model
    from grafana_foundation_sdk.models.prometheus import PromQueryFormat

UID = "headwatch-overview"
SOURCE = common.DataSourceRef(type_val="prometheus", uid="${datasource}")
SELECTOR = '{job="$job", instance=~"$instance", model=~"$model"}'

Panel: TypeAlias = stat.Panel | statetimeline.Panel | table.Panel | timeseries.Panel

# Number that the state query gives: its word and colour. Alarms are 5 and up, by severity.
STATES = {
    0: ("starting", "text"),
    1: ("learning", "blue"),
    2: ("quiet", "green"),
    3: ("too few samples", "purple"),
    4: ("stale", "orange"),
    5: ("drift: note", "light-blue"),
    6: ("drift: ticket", "yellow"),
    7: ("drift: page", "red"),
}


def overview() -> str:
    """The overview dashboard's JSON, as it is committed."""
    built = (
        board.Dashboard("headwatch / overview")
        .uid(UID)
        .description("What the attention heads, tokens and predictions of a model do against their baseline.")
        .tags(["headwatch"])
        .timezone("browser")
        .time("now-24h", "now")
        .refresh("1m")
        .readonly()
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .annotation(_alerts())
    )
    for variable in _variables():
        built = built.with_variable(variable)
    for title, panels in (
        ("Is something different?", _state_panels()),
        ("Which heads, which tokens, which predictions?", _drift_panels()),
        ("Can the answer be trusted?", _flow_panels()),
        ("headwatch itself", _work_panels()),
    ):
        built = built.with_row(board.Row(title))
        for panel in panels:
            built = built.with_panel(panel)
    return json.dumps(built.build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def _state_panels() -> list[Panel]:
    words = {str(n): model.ValueMappingResult(text=text, color=color) for n, (text, color) in STATES.items()}
    mapping: list[model.ValueMapping] = [model.ValueMap(words)]
    age = f"time() - max by (model) ({_metric('window_end_timestamp_seconds')})"
    ratio = f"{_metric('evidence')} / {_metric('evidence_limit')}"
    return [
        _stat("State", "What headwatch says now.", "none", 6, (_state(), "{{model}}"))
        .mappings(mapping)
        .color_mode(common.BigValueColorMode.BACKGROUND),
        _stat(
            "Cause",
            "data: other inputs. model: other weights. environment: same weights, other numbers. "
            "serving: the server's answers differ from the replay.",
            "none",
            6,
            (f"{_metric('cause')} == 1", "{{cause}}"),
        )
        .text_mode(common.BigValueTextMode.NAME)
        .no_value("no alarm"),
        _stat(
            "Drift began",
            "Start of the window in which the evidence began to rise.",
            "dateTimeFromNow",
            4,
            (f"{_metric('alarm_since_timestamp_seconds')} * 1000", "{{model}}"),
        ).no_value("no alarm"),
        _stat("Heads named", "Heads named as drifted.", "none", 4, (_metric("heads_drifted"), "{{model}}")),
        _stat(
            "Age of the last window", "Time since the last judged window ended.", "s", 4, (age, "{{model}}")
        ),
        statetimeline.Panel()
        .title("State over time")
        .description("Only green means that drift was looked for and not found.")
        .datasource(SOURCE)
        .unit("none")
        .mappings(mapping)
        .merge_values(True)
        .show_value(common.VisibilityMode.NEVER)
        .height(5)
        .span(24)
        .with_target(_query(_state(), "{{model}}", "A")),
        _lines(
            "Evidence against its limit",
            "Each channel's evidence divided by the limit at which it alarms. Alarms stay up until they have "
            "recovered, also when the line falls below 1 again.",
            "none",
            16,
            (ratio, "{{model}} {{channel}}"),
        )
        .thresholds(_limit(1))
        .thresholds_style(_threshold_line())
        .min(0),
        _lines(
            "Heads named over time",
            "Heads named as drifted.",
            "none",
            8,
            (_metric("heads_drifted"), "{{model}}"),
        ),
    ]


def _drift_panels() -> list[Panel]:
    return [
        _top_heads(),
        _lines(
            "Tokens gained and lost",
            "How many tokens changed their share. Which ones stands in the episode's run in MLflow: "
            "no token is ever a label.",
            "none",
            10,
            (_metric("tokens_gained"), "gained"),
            (_metric("tokens_lost"), "lost"),
        ),
        _lines(
            "Changes of predictions and inputs",
            "Change of each measure in standard deviations of the baseline.",
            "none",
            12,
            (_metric("measure_effect"), "{{channel}}: {{measure}}"),
        ),
        _lines(
            "Attention by layer",
            "Mean normalised entropy of attention in each layer: 0 looks at one token, 1 at all alike.",
            "percentunit",
            12,
            (_metric("layer_statistic", 'statistic="entropy"'), "layer {{layer}}"),
        ),
        _lines(
            "Attribution",
            "Attention is no explanation by itself: how far rollout and Integrated Gradients agree, and the "
            "share of attributions that did not converge.",
            "percentunit",
            12,
            (_metric("attribution_agreement"), "agreement: {{measure}}"),
            (_metric("attribution_unconverged_ratio"), "not converged"),
        ),
        _lines(
            "Fidelity",
            "Share of served labels that the replay gives too.",
            "percentunit",
            6,
            (_metric("fidelity_ratio"), "{{model}}"),
        ),
        _runs(),
    ]


def _flow_panels() -> list[Panel]:
    return [
        _lines(
            "Samples received and dropped",
            "Samples a second that arrived, and those of them that were dropped, by reason.",
            "cps",
            12,
            (
                f"sum by (source) (rate({_metric('samples_received_total')}[$__rate_interval]))",
                "received: {{source}}",
            ),
            (
                f"sum by (reason) (rate({_metric('samples_dropped_total')}[$__rate_interval]))",
                "dropped: {{reason}}",
            ),
        ),
        _lines(
            "Samples a window",
            "Samples that each window was judged on, of those it received.",
            "none",
            12,
            (_metric("window_samples"), "judged"),
            (_metric("window_received"), "received"),
        ),
        _lines(
            "Windows by outcome",
            "Windows closed in the last hour.",
            "none",
            12,
            (f"sum by (outcome) (increase({_metric('windows_total')}[1h]))", "{{outcome}}"),
        ),
        _lines(
            "Samples that wait",
            "In memory, to be written; and in the state file, to be analysed.",
            "none",
            12,
            (_metric("ingest_queue_samples"), "in memory"),
            (_metric("ingest_queue_limit_samples"), "limit in memory"),
            (_metric("pending_samples"), "in the state file"),
        ),
    ]


def _work_panels() -> list[Panel]:
    failures = f"sum by (job_name) (increase({_metric('job_failures_total')}[1h]))"
    skipped = f"sum by (job_name) (increase({_metric('job_skipped_total')}[1h]))"
    return [
        _lines(
            "Duration of jobs",
            "The last run of each.",
            "s",
            8,
            (_metric("job_last_duration_seconds"), "{{job_name}}"),
        ),
        _lines(
            "Failed and skipped jobs",
            "In the last hour.",
            "none",
            8,
            (failures, "failed: {{job_name}}"),
            (skipped, "skipped: {{job_name}}"),
        ),
        _lines(
            "Deliveries",
            "Records that a sink took or refused in the last hour.",
            "none",
            8,
            (f"sum by (sink) (increase({_metric('sink_deliveries_total')}[1h]))", "{{sink}} took"),
            (f"sum by (sink) (increase({_metric('sink_failures_total')}[1h]))", "{{sink}} refused"),
        ),
        _lines(
            "Outbox", "Evidence that waits for its sinks.", "none", 8, (_metric("outbox_records"), "{{kind}}")
        ),
        _lines("Size of the outbox", "On disk.", "bytes", 8, (_metric("outbox_bytes"), "{{model}}")),
        _lines(
            "Memory",
            "Resident memory of the sidecar: mostly its copy of the weights.",
            "bytes",
            8,
            ('process_resident_memory_bytes{job="$job", instance=~"$instance"}', "{{instance}}"),
        ),
    ]


def _state() -> str:
    """One number per model: the keys of ``STATES``."""
    by = "sum by (model)"
    names = ("learning", "quiet", "too_few_samples", "stale", "alarm")
    states = {name: f"{by} ({_metric('state', _equals('state', name))})" for name in names}
    plain = " + ".join(f"{factor} * {states[name]}" for factor, name in enumerate(states, start=1))
    severe = " + ".join(
        f"{factor} * {by} ({_metric('severity', _equals('severity', name))})"
        for factor, name in ((1, "ticket"), (2, "page"))
    )
    # A sidecar without a verdict has no severity yet.
    return f"({plain} + {states['alarm']} * ({severe})) or ({plain})"


def _top_heads() -> table.Panel:
    columns = ("head_evidence", "head_effect", "head_before", "head_after", "head_importance_ratio")
    panel = (
        table.Panel()
        .title("Top heads")
        .description(
            "The heads with the strongest evidence: what they did in the baseline and do now. "
            "The effect is in standard deviations of the baseline."
        )
        .datasource(SOURCE)
        .unit("none")
        .decimals(2)
        .height(8)
        .span(14)
        .no_value("no window judged yet")
    )
    for name, letter in zip(columns, "ABCDE", strict=True):
        expression = f"max by (model, layer, head, statistic) ({_metric(name)})"
        query = _query(expression, "", letter).instant().format(PromQueryFormat.TABLE)
        panel = panel.with_target(query)
    names = {f"Value #{letter}": title for letter, title in zip("ABCDE", _COLUMNS, strict=True)}
    order = ("model", "layer", "head", "statistic", *names)
    return panel.with_transformation(
        model.DataTransformerConfig(id_val="merge", options={})
    ).with_transformation(
        model.DataTransformerConfig(
            id_val="organize",
            options={
                "excludeByName": {"Time": True},
                "indexByName": {name: index for index, name in enumerate(order)},
                "renameByName": names,
            },
        )
    )


_COLUMNS = ("evidence", "effect", "before", "after", "importance")


def _runs() -> table.Panel:
    link = (
        board.DashboardLink("Open the run in MLflow")
        .url("${mlflow}/#/experiments/${__data.fields.experiment_id}/runs/${__data.fields.run_id}")
        .target_blank(True)
    )
    query = _query(_metric("mlflow_run_info"), "", "A").instant()
    return (
        table.Panel()
        .title("Evidence in MLflow")
        .description("Today's run; the episodes are its neighbours. Set the server's address above.")
        .datasource(SOURCE)
        .unit("none")
        .height(8)
        .span(6)
        .no_value("MLflow is not configured")
        .data_links([link])
        .with_target(query.format(PromQueryFormat.TABLE))
        .with_transformation(
            model.DataTransformerConfig(
                id_val="filterFieldsByName",
                options={"include": {"names": ["model", "experiment_id", "run_id"]}},
            )
        )
    )


def _stat(title: str, text: str, unit: str, span: int, *queries: tuple[str, str]) -> stat.Panel:
    panel = stat.Panel().title(title).description(text).datasource(SOURCE).unit(unit).height(5).span(span)
    panel = panel.graph_mode(common.BigValueGraphMode.NONE)
    for letter, (expression, legend) in zip("ABCDEF", queries, strict=False):
        panel = panel.with_target(_query(expression, legend, letter).instant())
    return panel


def _lines(title: str, text: str, unit: str, span: int, *queries: tuple[str, str]) -> timeseries.Panel:
    panel = (
        timeseries.Panel().title(title).description(text).datasource(SOURCE).unit(unit).height(8).span(span)
    )
    for letter, (expression, legend) in zip("ABCDEF", queries, strict=False):
        panel = panel.with_target(_query(expression, legend, letter))
    return panel


def _query(expression: str, legend: str, letter: str) -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(expression).legend_format(legend).ref_id(letter).datasource(SOURCE)


def _metric(name: str, *labels: str) -> str:
    return f"headwatch_{name}{', '.join([SELECTOR[:-1], *labels])}}}"


def _equals(label: str, value: str) -> str:
    return f'{label}="{value}"'


def _variables() -> Sequence[board.DatasourceVariable | board.QueryVariable | board.TextBoxVariable]:
    def values(name: str, label: str, query: str, *, several: bool) -> board.QueryVariable:
        return (
            board.QueryVariable(name)
            .label(label)
            .datasource(SOURCE)
            .query(query)
            .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
            .multi(several)
            .include_all(several)
        )

    state = "headwatch_state"
    return (
        board.DatasourceVariable("datasource").label("Data source").type("prometheus"),
        values("job", "Job", f"label_values({state}, job)", several=False),
        values("instance", "Instance", f'label_values({state}{{job="$job"}}, instance)', several=True),
        values(
            "model",
            "Model",
            f'label_values({state}{{job="$job", instance=~"$instance"}}, model)',
            several=True,
        ),
        board.TextBoxVariable("mlflow").label("MLflow").default_value("http://localhost:5000"),
    )


def _alerts() -> board.AnnotationQuery:
    return (
        board.AnnotationQuery()
        .name("Alerts")
        .datasource(SOURCE)
        .enable(True)
        .icon_color("red")
        .expr('ALERTS{alertname=~"Headwatch.*", alertstate="firing", model=~"$model"}')
        .title_format("{{alertname}}")
        .text_format("{{model}}: {{severity}}")
    )


def _limit(value: float) -> board.ThresholdsConfig:
    steps = [model.Threshold(value=None, color="green"), model.Threshold(value=value, color="red")]
    return board.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps)


def _threshold_line() -> common_builders.GraphThresholdsStyleConfig:
    return common_builders.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED)


if __name__ == "__main__":
    print(overview(), end="")
