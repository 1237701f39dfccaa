from __future__ import annotations

import json
import re
import time
import urllib.parse
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from promql_parser import parse

from exporters.alert_rules import alert_rules
from exporters.grafana_dashboards import STATES, overview
from exporters.prometheus_metrics import METRICS, HeadwatchCollector, build_registry, render
from tests.exporters import scenes
from tests.servers import get_json, http_server, need, running, start_prometheus, wait_for

GRAFANA = Path(__file__).parents[2] / "configs" / "grafana"
DASHBOARD = json.loads((GRAFANA / "dashboards" / "overview.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]
IDS = [f"{title} {number}" for number, (title, _) in enumerate(QUERIES)]

# Exported for whoever asks, on no dashboard and in no rule.
FOR_QUESTIONS = {
    "headwatch_build_info",
    "headwatch_model_info",
    "headwatch_config_last_reload_successful",
    "headwatch_config_last_reload_success_timestamp_seconds",
    "headwatch_pooled_evidence",
    "headwatch_pooled_evidence_limit",
    "headwatch_measure_before",
    "headwatch_measure_after",
    "headwatch_head_statistic",
    "headwatch_attribution_samples",
    "headwatch_job_runs_total",
    "headwatch_job_last_success_timestamp_seconds",
    "headwatch_outbox_dropped_total",
}


def filled_in(expression):
    values = {"$job": "headwatch", "$instance": ".*", "$model": ".*", "$__rate_interval": "1m"}
    for variable, value in values.items():
        expression = expression.replace(variable, value)
    return expression


def test_the_committed_dashboard_is_the_generated_one():
    assert (GRAFANA / "dashboards" / "overview.json").read_text() == overview()


def test_the_dashboard_survives_the_way_through_the_sdks_types():
    """A key that the SDK does not know, a misspelt one for instance, gets lost on the way."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from grafana_foundation_sdk.cog.encoder import JSONEncoder
        from grafana_foundation_sdk.cog.plugins import register_default_plugins
        from grafana_foundation_sdk.models.dashboard import Dashboard
    register_default_plugins()
    assert json.loads(json.dumps(Dashboard.from_json(DASHBOARD), cls=JSONEncoder)) == DASHBOARD


@pytest.mark.parametrize("title,expression", QUERIES, ids=IDS)
def test_every_expression_is_promql_over_metrics_that_exist(title, expression):
    parse(filled_in(expression))
    assert not set(re.findall(r"headwatch_[a-z_]+", expression)) - set(METRICS)
    assert 'job="$job"' in expression
    assert 'instance=~"$instance"' in expression


def test_every_metric_is_on_the_dashboard_or_in_a_rule_or_known_to_be_for_questions():
    rules = json.dumps(alert_rules())
    used = set(re.findall(r"headwatch_[a-z_]+", " ".join(expression for _, expression in QUERIES) + rules))
    assert set(METRICS) - used == FOR_QUESTIONS


def test_every_panel_has_a_title_a_description_a_unit_and_a_data_source_to_choose():
    assert len({panel["title"] for panel in PANELS}) == len(PANELS)
    for panel in PANELS:
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    names = [variable["name"] for variable in DASHBOARD["templating"]["list"]]
    assert names == ["datasource", "job", "instance", "model", "mlflow"]


def test_no_two_panels_lie_on_each_other():
    taken = {}
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        for cell in [
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        ]:
            assert taken.setdefault(cell, panel["title"]) == panel["title"]


def test_provisioning_points_at_a_fixed_data_source_and_lets_nobody_edit():
    sources = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "headwatch.yaml").read_text())
    assert [source["uid"] for source in sources["datasources"]] == ["headwatch-prometheus"]
    providers = yaml.safe_load((GRAFANA / "provisioning" / "dashboards" / "headwatch.yaml").read_text())
    assert [provider["allowUiUpdates"] for provider in providers["providers"]] == [False]


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory):
    """Prometheus that has scraped a sidecar in alarm, over HTTP, long enough for rates."""
    need("prometheus")
    registry = build_registry(
        HeadwatchCollector(
            lambda: replace(scenes.snapshot(scenes.alarmed()), time=time.time()),
            top_heads=10,
            every_head=False,
        )
    )
    with (
        http_server(get=lambda _, accept: render(registry, accept)) as metrics,
        running(
            start_prometheus(
                tmp_path_factory.mktemp("prometheus"),
                targets={"headwatch": metrics.removeprefix("http://")},
                alertmanager="http://127.0.0.1:9",
                rules={"groups": []},
                interval="1s",
            )
        ) as server,
    ):
        ask = 'count_over_time(headwatch_state{state="alarm"}[1m]) >= 3'
        wait_for("three scrapes", lambda: query(server, ask), seconds=30)
        yield server


def query(server, expression):
    url = f"{server.url}/api/v1/query?query={urllib.parse.quote(expression)}"
    return get_json(url)["data"]["result"]


@pytest.mark.servers
@pytest.mark.parametrize("title,expression", QUERIES, ids=IDS)
def test_every_panel_shows_data_of_a_real_scrape(prometheus, title, expression):
    assert query(prometheus, filled_in(expression))


@pytest.mark.servers
def test_an_alarm_with_severity_ticket_is_shown_as_such(prometheus):
    state = next(expression for title, expression in QUERIES if title == "State")
    (result,) = query(prometheus, filled_in(state))
    assert STATES[int(result["value"][1])][0] == "drift: ticket"
