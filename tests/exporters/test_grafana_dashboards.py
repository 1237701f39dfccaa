"""What can be said of the committed dashboards without a server: made, linted, linked, complete."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path

import promql_parser as promql
import pytest
import yaml
from PIL import Image

from exporters.alerts.rules import alert_rules, page_name
from exporters.grafana.write import DASHBOARDS, write
from exporters.prometheus.page import committed_uses
from exporters.prometheus.table import AD_HOC, METRICS
from tests.exporters.promql_server import filled_in

ROOT = Path(__file__).parents[2]
GRAFANA = ROOT / "configs" / "grafana"
FOLDER = GRAFANA / "dashboards"
BOARDS = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
PANELS = [
    pytest.param(board, panel, id=f"{name}: {panel['title']}")
    for name, board in BOARDS.items()
    for panel in board["panels"]
    if panel["type"] != "row"
]
TARGETS = [
    pytest.param(target["expr"], id=f"{name}: {panel['title']} {target['refId']}")
    for name, board in BOARDS.items()
    for panel in board["panels"]
    for target in panel.get("targets", [])
]
BOARD = pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
PANEL = pytest.mark.parametrize("board,panel", PANELS)
TARGET = pytest.mark.parametrize("expression", TARGETS)

# Series that Prometheus itself, or the client library, makes of every scrape.
NOT_OURS = {
    "up",
    "ALERTS",
    "scrape_samples_scraped",
    "scrape_duration_seconds",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
}
# Labels that a name leaves out because the value itself says them.
SAID = {"Cause": {"cause"}}
# Of the units that dashboard-linter knows (Grafana's categories.ts), those in use.
UNITS = {"none", "short", "percentunit", "bytes", "s", "cps", "dateTimeFromNow"}


def selectors(node):
    """Every selector of an expression with the function that is around it, if any."""
    if isinstance(node, promql.VectorSelector):
        yield node, None, None
    elif isinstance(node, promql.MatrixSelector):
        yield node.vector_selector, None, node.range
    elif isinstance(node, promql.Call):
        for argument in node.args:
            for selector, function, span in selectors(argument):
                yield selector, function or (node.func.name if span else None), span
    elif isinstance(node, promql.BinaryExpr):
        yield from selectors(node.lhs)
        yield from selectors(node.rhs)
    elif isinstance(node, promql.AggregateExpr | promql.ParenExpr | promql.UnaryExpr):
        yield from selectors(node.expr)


def kept(node):
    """The labels by which the series of an answer differ: those of the sidecar, and the metric's own."""
    if isinstance(node, promql.AggregateExpr):
        # topk and its like choose series and keep their labels.
        return set(node.modifier.labels) if node.modifier else kept(node.expr)
    if isinstance(node, promql.BinaryExpr):
        sides = kept(node.lhs), kept(node.rhs)
        if str(node.op) == "or":
            return sides[0] | sides[1]
        return sides[0] if str(node.op) in ("and", "unless") else max(sides, key=len)
    if isinstance(node, promql.ParenExpr | promql.UnaryExpr):
        return kept(node.expr)
    if isinstance(node, promql.Call):
        return set().union(*(kept(argument) for argument in node.args))
    if isinstance(node, promql.MatrixSelector):
        return kept(node.vector_selector)
    if isinstance(node, promql.VectorSelector):
        fixed = {item.name for item in node.matchers.matchers if str(item.op) == "MatchOp.Equal"}
        own = METRICS[node.name].labels if node.name in METRICS else ()
        return {*own, "job", "instance"} - fixed
    return set()


def matchers(selector):
    return {(item.name, str(item.op), item.value) for item in selector.matchers.matchers}


def test_the_committed_dashboards_are_what_the_command_writes(tmp_path):
    write(tmp_path)
    assert {path.name: path.read_text() for path in FOLDER.iterdir()} == {
        path.name: path.read_text() for path in tmp_path.iterdir()
    }


def test_the_runbooks_may_lie_elsewhere(tmp_path):
    write(tmp_path, runbooks="https://wiki.example/headwatch/")
    text = (tmp_path / "overview.json").read_text()
    assert '"url": "https://wiki.example/headwatch/README.md"' in text
    assert '"url": "https://wiki.example/headwatch/${__data.fields.page:raw}"' in text


def test_the_four_dashboards_are_there():
    assert {name: board["uid"] for name, board in BOARDS.items()} == {
        name: f"headwatch-{name}" for name in ("heads", "operations", "overview", "tokens")
    }
    assert set(DASHBOARDS) == set(BOARDS)


@BOARD
def test_a_dashboard_survives_the_way_through_the_sdks_types(board):
    """A key that the SDK does not know, a misspelt one for instance, gets lost on the way."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from grafana_foundation_sdk.cog.encoder import JSONEncoder
        from grafana_foundation_sdk.cog.plugins import register_default_plugins
        from grafana_foundation_sdk.models.dashboard import Dashboard
    register_default_plugins()
    assert json.loads(json.dumps(Dashboard.from_json(board), cls=JSONEncoder)) == board


# --- the rules of grafana/dashboard-linter, by their names there --------------------------------


@BOARD
def test_template_datasource_rule(board):
    sources = [item for item in board["templating"]["list"] if item["type"] == "datasource"]
    assert [(item["name"], item["label"], item["query"]) for item in sources] == [
        ("datasource", "Data source", "prometheus")
    ]


@BOARD
@pytest.mark.parametrize("name", ["job", "instance"])
def test_template_job_and_instance_rule(board, name):
    (variable,) = [item for item in board["templating"]["list"] if item["name"] == name]
    assert variable["type"] == "query"
    assert variable["datasource"]["uid"] == "${datasource}"
    assert variable["label"] == name.title()
    assert variable["multi"] is True
    assert variable["allValue"] == ".+"


@BOARD
def test_template_on_time_change_reload_rule(board):
    queries = [item for item in board["templating"]["list"] if item["type"] == "query"]
    assert [item["refresh"] for item in queries] == [2] * len(queries)


@BOARD
def test_template_label_promql_rule(board):
    """Each variable asks for a label that its metric has, or that Prometheus adds."""
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            query = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"])
            selector = promql.parse(filled_in(query[1]))
            assert query[2] in (*METRICS[selector.name].labels, "job", "instance"), variable["name"]


@BOARD
def test_template_unused_rule(board):
    asked = json.dumps([panel.get("targets", []) for panel in board["panels"]])
    names = [item["name"] for item in board["templating"]["list"] if item["type"] == "query"]
    assert [name for name in names if f"${name}" not in asked] == []


@BOARD
def test_uneditable_rule(board):
    assert board["editable"] is False


@PANEL
def test_panel_datasource_rule(board, panel):
    for holder in (panel, *panel["targets"]):
        assert holder["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


@PANEL
def test_panel_title_description_rule(board, panel):
    assert [item["title"] for item in board["panels"]].count(panel["title"]) == 1
    shows, bad, then = panel["description"].split("\n\n")
    assert shows.endswith(".")
    assert re.match(r"\*\*Bad:\*\* .+\.$", bad), "when is it bad?"
    assert re.match(r"\*\*Next:\*\* .+\.$", then), "what next?"


@PANEL
def test_panel_units_rule(board, panel):
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
    for override in panel["fieldConfig"].get("overrides", []):
        assert {item["value"] for item in override["properties"] if item["id"] == "unit"} <= UNITS


@PANEL
def test_panel_no_targets_rule(board, panel):
    assert panel["targets"]
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


@TARGET
def test_target_promql_rule(expression):
    promql.parse(filled_in(expression))


@PANEL
def test_target_job_and_instance_rule(board, panel):
    """And headwatch's own: the model that was chosen, wherever a series has one."""
    for target in panel.get("targets", []):
        for selector, _, _ in selectors(promql.parse(target["expr"].replace("$__rate_interval", "5m"))):
            wanted = {("job", "MatchOp.Re", "$job"), ("instance", "MatchOp.Re", "$instance")}
            if selector.name == "ALERTS" or "model" in getattr(METRICS.get(selector.name), "labels", ()):
                wanted.add(("model", model_matcher(board), "$model"))
            assert wanted <= matchers(selector), selector.name


def model_matcher(board):
    """Grafana escapes a name for a regular expression only where several can be chosen."""
    (several,) = [item["multi"] for item in board["templating"]["list"] if item["name"] == "model"]
    return "MatchOp.Re" if several else "MatchOp.Equal"


@TARGET
def test_target_rate_interval_and_counter_rule(expression):
    """Counters are only read by how much they grew, and rates over an interval that fits the scrapes."""
    marked = promql.parse(expression.replace("$__rate_interval", "98765s"))
    for selector, function, span in selectors(marked):
        assert selector.name.endswith("_total") == (function in ("rate", "increase")), selector.name
        if function == "rate":
            assert span.total_seconds() == 98765


# --- ours -------------------------------------------------------------------------------------


@TARGET
def test_no_dashboard_asks_for_a_series_that_does_not_exist(expression):
    found = {selector.name for selector, _, _ in selectors(promql.parse(filled_in(expression)))}
    assert found
    assert found <= set(METRICS) | NOT_OURS


@TARGET
def test_every_label_that_is_matched_or_kept_is_one_of_the_metrics(expression):
    for selector, _, _ in selectors(promql.parse(filled_in(expression))):
        if selector.name in METRICS:
            known = {*METRICS[selector.name].labels, "job", "instance"}
            assert {item.name for item in selector.matchers.matchers} <= known, selector.name


@PANEL
def test_every_legend_names_labels_that_the_answer_keeps(board, panel):
    for target in panel["targets"]:
        wanted = set(re.findall(r"{{(\w+)}}", target.get("legendFormat", "")))
        expression = promql.parse(filled_in(target["expr"]))
        known = {"job", "instance"}
        for selector, _, _ in selectors(expression):
            known |= set(METRICS[selector.name].labels) if selector.name in METRICS else set()
        if isinstance(expression, promql.AggregateExpr):
            known = set(expression.modifier.labels)
        assert wanted <= known, target["expr"]


@PANEL
def test_two_series_of_a_panel_never_have_the_same_name(board, panel):
    """Two replicas of a model, or two models: their lines can be told apart, or are one line."""
    (model,) = [item for item in board["templating"]["list"] if item["name"] == "model"]
    # An instance has one job; some dashboards show one model at a time.
    told = {"job"} if model["multi"] else {"job", "model"}
    if panel["type"] == "table":
        options = panel["transformations"][1]["options"]
        told |= set(options["indexByName"]) - {name for name, out in options["excludeByName"].items() if out}
    for target in panel["targets"]:
        named = set(re.findall(r"{{(\w+)}}", target.get("legendFormat", "")))
        assert kept(promql.parse(filled_in(target["expr"]))) - named <= told | SAID.get(panel["title"], set())


@PANEL
def test_an_empty_panel_says_why(board, panel):
    said = panel["fieldConfig"]["defaults"]["noValue"]
    assert len(said) > 7
    assert said.lower() != "no data"


@PANEL
def test_a_value_that_has_words_or_a_limit_has_them_in_order(board, panel):
    steps = panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", [])
    assert [step["value"] is None for step in steps] == [True, *[False] * (len(steps) - 1)][: len(steps)]
    shown = panel["options"].get("colorMode", "none") != "none"
    assert not shown or steps or panel["fieldConfig"]["defaults"]["mappings"]


@PANEL
def test_a_link_names_columns_that_the_table_has(board, panel):
    """A column that ``organize`` leaves out is gone: Grafana then leaves the variable in the address."""
    named = set(re.findall(r"__data\.fields\.(\w+)", json.dumps(panel["fieldConfig"])))
    if named:
        options = panel["transformations"][1]["options"]
        left_out = {name for name, out in options["excludeByName"].items() if out}
        assert named <= set(options["indexByName"]) - left_out


def test_a_head_is_opened_with_the_choices_that_were_made():
    (panel,) = [panel for panel in BOARDS["overview"]["panels"] if panel["title"] == "Top heads"]
    (link,) = _links(panel, "model")
    assert link["url"] == (
        "/d/headwatch-heads?${datasource:queryparam}&${job:queryparam}"
        "&var-instance=${__data.fields.instance}&var-model=${__data.fields.model}&${__url_time_range}"
    )


@BOARD
def test_alerts_the_onset_and_other_revisions_are_marked_in_every_chart(board):
    marks = {item["name"]: item for item in board["annotations"]["list"]}
    assert set(marks) == {"Alerts", "Drift began", "Revision or baseline changed"}
    assert len({item["iconColor"] for item in marks.values()}) == 3
    assert all(item["datasource"]["uid"] == "${datasource}" for item in marks.values())
    # The onset lies before the window that told it.
    assert marks["Drift began"]["useValueForTime"] is True
    for item in marks.values():
        for selector, _, _ in selectors(promql.parse(item["expr"])):
            wanted = {("job", "MatchOp.Re", "$job"), ("model", model_matcher(board), "$model")}
            assert wanted <= matchers(selector)
            assert selector.name in {*METRICS, *NOT_OURS}


def test_no_rule_names_a_metric_that_does_not_exist():
    names = set(committed_uses(FOLDER))
    assert names <= set(METRICS)


def test_every_metric_is_on_a_dashboard_or_in_a_rule_or_listed_for_ad_hoc_use_with_a_reason():
    unused = set(METRICS) - set(committed_uses(FOLDER))
    assert unused == set(AD_HOC)
    assert all(len(reason) > 20 for reason in AD_HOC.values())


@BOARD
def test_dashboards_link_to_each_other(board):
    (others,) = board["links"]
    assert (others["type"], others["tags"], others["includeVars"], others["keepTime"]) == (
        "dashboards",
        ["headwatch"],
        True,
        True,
    )
    assert board["tags"] == ["headwatch"]


def test_every_alert_in_the_table_leads_to_its_own_runbook():
    (panel,) = [panel for panel in BOARDS["overview"]["panels"] if panel["title"] == "Alerts that fire"]
    (target,) = panel["targets"]
    pairs = dict(
        re.findall(r'alertname="(\w+)", alertstate="firing"[^}]*}, "page", "([\w.-]+)"', target["expr"])
    )
    alerts = {rule["alert"] for group in alert_rules()["groups"] for rule in group["rules"]}
    assert pairs == {alert: page_name(alert) for alert in alerts}


def test_where_no_address_is_given_the_runbooks_are_named_and_nothing_links_to_a_made_up_place():
    (panel,) = [panel for panel in BOARDS["overview"]["panels"] if panel["title"] == "Alerts that fire"]
    assert _links(panel, "alert") == _links(panel, "runbook") == []
    assert not [name for name in BOARDS if ".example" in json.dumps(BOARDS[name])]


@pytest.mark.parametrize("title", ["Episode", "Today's windows"])
def test_evidence_links_open_the_page_that_the_metric_names(title):
    """``:raw``, for Grafana else percent-encodes the address as if it were a part of one."""
    (panel,) = [panel for panel in BOARDS["overview"]["panels"] if panel["title"] == title]
    (link,) = _links(panel, "page")
    assert (link["url"], link["targetBlank"]) == ("${__data.fields.run_url:raw}", True)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "docs" / "runbooks").glob("*.md")), ids=lambda path: path.stem
)
def test_every_panel_that_a_runbook_names_is_on_that_dashboard(path):
    titles = {board["title"]: {panel["title"] for panel in board["panels"]} for board in BOARDS.values()}
    for title, named in re.findall(
        r"[Dd]ashboard \*(headwatch / [a-z ]+)\*(?:: panels? ([^.\n]+))?", path.read_text()
    ):
        assert set(re.findall(r"\*(.+?)\*", named)) <= titles[title]


def test_links_from_one_dashboard_to_another_name_one_that_is_there():
    found = re.findall(r'"/d/([\w-]+)', json.dumps(BOARDS))
    assert found
    assert set(found) <= {board["uid"] for board in BOARDS.values()}


def _links(panel, column):
    return [
        link
        for override in panel["fieldConfig"]["overrides"]
        if override["matcher"] == {"id": "byName", "options": column}
        for item in override["properties"]
        if item["id"] == "links"
        for link in item["value"]
    ]


@BOARD
def test_no_two_panels_lie_on_each_other(board):
    taken = {}
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        for cell in [
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        ]:
            assert taken.setdefault(cell, panel["title"]) == panel["title"]


@pytest.mark.parametrize("name", BOARDS)
def test_the_guides_picture_shows_the_panels_of_today(name):
    """Redraw with ``python -m tests.exporters.dashboard_pictures docs/dashboards``, and look at it."""
    with Image.open(ROOT / "docs" / "dashboards" / f"{name}.png") as picture:
        shown = picture.text["Description"].split(" | ")
    panels = [panel for panel in BOARDS[name]["panels"] if panel["type"] != "row"]
    assert shown == [filled_in(panel["title"]) for panel in panels]
    assert f"dashboards/{name}.png" in (ROOT / "docs" / "dashboards.md").read_text()


def test_provisioning_points_at_a_fixed_data_source_and_lets_nobody_edit():
    sources = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "headwatch.yaml").read_text())
    (source,) = sources["datasources"]
    assert source["uid"] == "headwatch-prometheus"
    # Beside what a team's Grafana has: a second default, or a taken name, breaks that.
    assert (source["name"], source["isDefault"]) == ("headwatch Prometheus", False)
    providers = yaml.safe_load((GRAFANA / "provisioning" / "dashboards" / "headwatch.yaml").read_text())
    (provider,) = providers["providers"]
    assert (provider["allowUiUpdates"], provider["folder"]) == (False, "headwatch")
