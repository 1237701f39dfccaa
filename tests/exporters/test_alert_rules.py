from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from promql_parser import parse

from exporters.alert_cadence import Cadence
from exporters.alert_rules import RUNBOOKS, Links, alert_rules, page_name, rules_yaml
from exporters.prometheus_metrics import METRICS
from tests.exporters.alert_scenarios import promtool_file, promtool_yaml
from tests.servers import need

ROOT = Path(__file__).parents[2]
RULES = ROOT / "configs" / "prometheus" / "headwatch.rules.yml"
ALERTMANAGER = ROOT / "configs" / "alertmanager"
PAGES = ROOT / "docs" / "runbooks"
CADENCES = (5.0, 60.0, 300.0, 900.0, 86400.0)
DRIFT = {
    "HeadwatchHeadDrift",
    "HeadwatchTokenDrift",
    "HeadwatchPredictionDrift",
    "HeadwatchInputDrift",
    "HeadwatchModelChanged",
    "HeadwatchServingMismatch",
}
WATCH = {"HeadwatchStale", "HeadwatchTooFewSamples", "HeadwatchSinkFailing", "HeadwatchSamplesDropped"}


def rules_of(content):
    return [rule for group in content["groups"] for rule in group["rules"]]


def names_of(content):
    return {rule["alert"] for rule in rules_of(content)}


def run(*command, cwd=None):
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)
    return done.returncode, done.stdout + done.stderr


def seconds(text):
    number, unit = re.fullmatch(r"(\d+)([smhd])", text).groups()
    return int(number) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[unit]


def test_the_alerts_are_these():
    assert names_of(alert_rules()) == DRIFT | WATCH


def test_the_shipped_rules_and_their_promtool_tests_are_the_generated_ones():
    assert RULES.read_text() == rules_yaml(300.0)
    test_file = RULES.with_name("headwatch.rules.test.yml")
    assert test_file.read_text() == promtool_yaml(300.0, "headwatch.rules.yml")


def test_a_text_that_stands_in_the_file_once_is_the_same_in_every_alert():
    assert yaml.safe_load(rules_yaml(900.0)) == alert_rules(900.0)


@pytest.mark.parametrize("window", CADENCES)
@pytest.mark.parametrize("fast", [False, True])
def test_promtool_accepts_the_rules_of_every_cadence(tmp_path, window, fast):
    need("promtool")
    file = tmp_path / "rules.yml"
    file.write_text(rules_yaml(window, fast=fast, links=Links(grafana="https://grafana.example")))
    code, text = run("promtool", "check", "rules", str(file))
    assert (code, text.splitlines()[-2:]) == (0, ["  SUCCESS: 13 rules found", ""])


def test_promtools_unit_tests_of_the_shipped_rules_pass():
    need("promtool")
    code, text = run("promtool", "test", "rules", "headwatch.rules.test.yml", cwd=RULES.parent)
    assert code == 0, text


def test_promtools_unit_tests_pass_at_another_cadence(tmp_path):
    need("promtool")
    (tmp_path / "rules.yml").write_text(rules_yaml(600.0))
    (tmp_path / "tests.yml").write_text(promtool_yaml(600.0, "rules.yml"))
    code, text = run("promtool", "test", "rules", "tests.yml", cwd=tmp_path)
    assert code == 0, text


def test_each_alert_and_severity_is_shown_silent_then_firing_then_resolved():
    wanted = {
        (rule["alert"], severity)
        for rule in rules_of(alert_rules())
        for severity in (["any"] if "{{" in rule["labels"]["severity"] else [rule["labels"]["severity"]])
    }
    assert wanted == {(name, "any") for name in DRIFT} | {
        ("HeadwatchStale", "warning"),
        ("HeadwatchStale", "critical"),
        ("HeadwatchTooFewSamples", "warning"),
        ("HeadwatchSinkFailing", "warning"),
        ("HeadwatchSinkFailing", "critical"),
        ("HeadwatchSamplesDropped", "warning"),
        ("HeadwatchSamplesDropped", "critical"),
    }
    shown = set()
    for test in promtool_file(300.0, "rules.yml")["tests"]:
        for name in {item["alertname"] for item in test["alert_rule_test"]}:
            checks = [item for item in test["alert_rule_test"] if item["alertname"] == name]
            firing = [item for item in checks if item["exp_alerts"]]
            if firing and not checks[0]["exp_alerts"] and not checks[-1]["exp_alerts"]:
                shown |= {
                    (name, severity)
                    for item in firing
                    for alert in item["exp_alerts"]
                    for severity in ("any", alert["exp_labels"]["severity"])
                }
    assert wanted <= shown


@pytest.mark.parametrize("window", CADENCES)
def test_alerts_hold_for_five_minutes_and_for_longer_than_one_window(window):
    for rule in rules_of(alert_rules(window)):
        assert seconds(rule["for"]) >= 300
        assert seconds(rule["for"]) > window


@pytest.mark.parametrize("window", CADENCES)
def test_the_durations_fit_each_other(window):
    cadence = Cadence(window)
    assert cadence.interval <= cadence.hold / 5
    assert cadence.memory > window
    assert cadence.stale > 2 * window
    assert cadence.blind > cadence.hold
    # What a sidecar that is gone was watching must be known for as long as it takes to become critical.
    assert cadence.gone > cadence.blind + cadence.hold
    assert cadence.rate >= 3 * window


def test_every_metric_in_a_rule_or_a_message_is_exported():
    for rule in rules_of(alert_rules(links=Links(grafana="https://grafana.example"))):
        parse(rule["expr"])
        text = " ".join((rule["expr"], *rule["labels"].values(), *rule["annotations"].values()))
        named = set(re.findall(r"headwatch_[a-z_]+", text))
        assert named, rule["alert"]
        assert not named - set(METRICS), rule["alert"]


def test_every_query_in_a_message_is_promql():
    queries = set()
    for rule in rules_of(alert_rules(links=Links(grafana="https://grafana.example"))):
        for text in (*rule["annotations"].values(), *rule["labels"].values()):
            for query in re.findall("printf `([^`]*headwatch_[^`]*)`", text):
                filled = query.replace("%q", '"x"').replace("%[1]s", 'model="x"').replace("%s", 'model="x"')
                parse(filled)
                queries.add(filled)
    assert len(queries) == 30


def test_no_token_and_no_text_can_become_a_label():
    for rule in rules_of(alert_rules()):
        assert set(rule["labels"]) <= {"severity", "data_drift"}
    labels = {label for metric in METRICS.values() for label in metric.labels}
    assert not labels & {"token", "word", "text"}


def test_the_drift_alerts_answer_every_question_of_the_night():
    for rule in rules_of(alert_rules()):
        answers = set(rule["annotations"])
        assert {"summary", "description", "action", "runbook_url"} <= answers
        if rule["alert"] in DRIFT:
            assert {"since", "cause", "effect", "evidence_url"} <= answers


def test_an_alert_links_to_the_dashboard_that_shows_its_model():
    links = Links(grafana="https://grafana.example/")
    boards = {
        rule["alert"]: rule["annotations"]["dashboard_url"].rpartition("/d/")[2].partition("?")[0]
        for rule in rules_of(alert_rules(links=links))
    }
    made = {json.loads(file.read_text())["uid"] for file in (ROOT / "configs/grafana/dashboards").iterdir()}
    assert set(boards.values()) <= made
    assert boards["HeadwatchHeadDrift"] == "headwatch-heads"
    assert {boards[name] for name in WATCH} == {"headwatch-operations"}
    assert not any("dashboard_url" in rule["annotations"] for rule in rules_of(alert_rules()))


def test_every_alert_has_its_runbook_page_and_every_page_its_alert():
    for base in (RUNBOOKS, "https://wiki.example/headwatch/"):
        addresses = {
            rule["annotations"]["runbook_url"] for rule in rules_of(alert_rules(links=Links(runbooks=base)))
        }
        pages = {address.removeprefix(base.rstrip("/") + "/") for address in addresses}
        assert pages == {file.name for file in PAGES.glob("*.md")} - {"README.md"}
    # Where the repository's own host shows it, the last part of the address is the page's path.
    assert RUNBOOKS.endswith("/docs/runbooks")


SECTIONS = (
    "What it means",
    "How bad it is",
    "First look",
    "Likely causes",
    "What to do",
    "How it clears",
    "When it is a false alarm",
)


@pytest.mark.parametrize("alert", sorted(DRIFT | WATCH))
def test_a_runbook_page_answers_in_this_order(alert):
    text = (PAGES / page_name(alert)).read_text()
    assert text.startswith(f"# {alert}\n")
    assert tuple(re.findall(r"^## (.+)$", text, flags=re.MULTILINE)) == SECTIONS
    for rule in rules_of(alert_rules()):
        if rule["alert"] == alert:
            fixed = rule["annotations"]["summary"].replace("{{ $labels.model }}", "MODEL")
            assert fixed.replace("{{ $labels.sink }}", "SINK") in text


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.stem)
def test_every_query_of_a_runbook_page_is_promql_of_exported_metrics(page):
    queries = re.findall(r"```promql\n(.*?)```", page.read_text(), flags=re.DOTALL)
    assert queries or page.name == "README.md"
    for query in queries:
        for line in filter(None, query.splitlines()):
            parse(line)
            assert not set(re.findall(r"headwatch_[a-z_]+", line)) - set(METRICS)


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.stem)
def test_every_panel_that_a_runbook_page_sends_people_to_is_on_that_dashboard(page):
    boards = [json.loads(file.read_text()) for file in (ROOT / "configs/grafana/dashboards").glob("*.json")]
    panels = {board["title"]: {panel["title"] for panel in board["panels"]} for board in boards}
    for part in re.findall(r"[Dd]ashboard (.*?)(?=\.|[Dd]ashboard|\n)", page.read_text()):
        title, *named = re.findall(r"\*([^*]+)\*", part)
        assert named
        assert set(named) <= panels[title]


def test_the_index_lists_every_page():
    index = (PAGES / "README.md").read_text()
    linked = set(re.findall(r"\]\(([a-z-]+\.md)\)", index))
    assert linked == {file.name for file in PAGES.glob("*.md")} - {"README.md"}


def test_the_example_configurations_are_accepted_by_the_servers_tools():
    need("promtool", "amtool")
    code, text = run("promtool", "check", "config", "prometheus.yml", cwd=RULES.parent)
    assert code == 0, text
    code, text = run("amtool", "check-config", str(ALERTMANAGER / "alertmanager.yml"))
    assert code == 0, text
    assert " - 1 templates" in text


@pytest.mark.parametrize(
    "severity,receiver", [("critical", "pager"), ("warning", "chat"), ("info", "notes"), ("other", "chat")]
)
def test_the_example_routing_wakes_people_for_critical_alerts_only(severity, receiver):
    need("amtool")
    labels = ("alertname=HeadwatchHeadDrift", "model=sentiment", f"severity={severity}")
    file = f"--config.file={ALERTMANAGER / 'alertmanager.yml'}"
    code, text = run("amtool", "config", "routes", "test", file, *labels)
    assert (code, text.splitlines()[0]) == (0, receiver)


def test_the_example_groups_by_model():
    route = yaml.safe_load((ALERTMANAGER / "alertmanager.yml").read_text())["route"]
    assert [one.get("group_by", ["model"]) for one in (route, *route["routes"])] == [["model"]] * 3


def test_the_example_inhibition_names_alerts_and_labels_that_exist():
    config = yaml.safe_load((ALERTMANAGER / "alertmanager.yml").read_text())
    values = {"severity": {"critical", "warning", "info"}, "data_drift": {"no", "yes"}}
    values["alertname"] = names_of(alert_rules())
    for rule in config["inhibit_rules"]:
        for matcher in rule["source_matchers"] + rule["target_matchers"]:
            label, operator, pattern = matcher.split(" ")
            found = {name for name in values[label] if re.fullmatch(pattern.strip('"'), name)}
            assert len(found) == (1 if operator == "=" else pattern.count("|") + 1)


def rendered(template, data):
    need("amtool")
    return run(
        "amtool",
        "template",
        "render",
        f"--template.glob={ALERTMANAGER / 'headwatch.tmpl'}",
        f"--template.data={data}",
        f'--template.text={{{{ template "{template}" . }}}}',
    )


def test_a_message_about_two_sidecars_keeps_them_apart():
    data = Path(__file__).parent / "alertmanager_data.json"
    assert rendered("headwatch.title", data) == (
        0,
        "CRITICAL: Attention heads of sentiment have drifted (first of 3 alerts)",
    )
    code, text = rendered("headwatch.text", data)
    assert (code, text) == (0, (Path(__file__).parent / "alertmanager_text.txt").read_text())


def test_the_command_writes_rules_that_fit_the_configuration(tmp_path):
    (tmp_path / "watch.yaml").write_text(
        "model:\n  source: /models/sentiment\nwindow:\n  duration: 15m\nexporters:\n  prometheus:\n"
        "    runbooks_url: https://wiki.example/headwatch/\n    grafana_url: https://grafana.example\n"
    )
    command = (sys.executable, "-m", "monitor.cli", "rules", "-c", str(tmp_path / "watch.yaml"))
    links = Links(runbooks="https://wiki.example/headwatch/", grafana="https://grafana.example")
    assert run(*command, cwd=ROOT) == (0, rules_yaml(900.0, links=links))
    assert run(*command, "--out", str(tmp_path / "rules.yml"), cwd=ROOT) == (0, "")
    assert (tmp_path / "rules.yml").read_text() == rules_yaml(900.0, links=links)


def test_the_command_says_so_where_its_links_lead_nowhere(tmp_path):
    command = (sys.executable, "-m", "monitor.cli", "rules", "--out", str(tmp_path / "rules.yml"))
    assert run(*command, cwd=ROOT) == (
        0,
        (
            f"headwatch: the runbook links lead to {RUNBOOKS}, which is only an example; "
            "set exporters.prometheus.runbooks_url to where your team reads docs/runbooks\n"
        ),
    )
    assert (tmp_path / "rules.yml").read_text() == rules_yaml(300.0)


def test_a_file_that_cannot_be_written_is_told_by_its_option(tmp_path):
    place = tmp_path / "missing" / "rules.yml"
    command = (sys.executable, "-m", "monitor.cli", "rules", "--out", str(place))
    assert run(*command, cwd=ROOT) == (
        2,
        f"headwatch: --out = {place}: its folder does not exist; make it or choose another\n",
    )
