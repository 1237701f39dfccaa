from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from promql_parser import parse

from exporters.alert_rules import alert_rules, rules_yaml
from exporters.prometheus_metrics import METRICS
from tests.servers import need

ROOT = Path(__file__).parents[2]
RULES = ROOT / "configs" / "prometheus" / "headwatch.rules.yml"
CADENCES = (5.0, 60.0, 300.0, 900.0, 86400.0)


def rules_of(content):
    return [rule for group in content["groups"] for rule in group["rules"]]


def run(*command, cwd=None):
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)
    return done.returncode, done.stdout + done.stderr


def test_the_shipped_rules_are_the_generated_ones():
    assert RULES.read_text() == rules_yaml(300.0)


def test_the_command_line_writes_rules_for_another_cadence():
    code, text = run(sys.executable, "-m", "exporters.alert_rules", "15m", cwd=ROOT)
    assert (code, text) == (0, rules_yaml(900.0))


@pytest.mark.parametrize("window", CADENCES)
@pytest.mark.parametrize("fast", [False, True])
def test_promtool_accepts_the_rules_of_every_cadence(tmp_path, window, fast):
    need("promtool")
    file = tmp_path / "rules.yml"
    file.write_text(rules_yaml(window, fast=fast))
    code, text = run("promtool", "check", "rules", str(file))
    assert (code, text.splitlines()[-2:]) == (0, ["  SUCCESS: 10 rules found", ""])


def test_promtools_unit_tests_of_the_shipped_rules_pass():
    need("promtool")
    code, text = run("promtool", "test", "rules", "headwatch.rules.test.yml", cwd=RULES.parent)
    assert code == 0, text


def test_each_alert_is_shown_firing_and_silent_by_a_promtool_test():
    tests = yaml.safe_load((RULES.parent / "headwatch.rules.test.yml").read_text())["tests"]
    seen = {
        (item["alertname"], bool(item["exp_alerts"])) for test in tests for item in test["alert_rule_test"]
    }
    names = {rule["alert"] for rule in rules_of(alert_rules())}
    assert seen == {(name, fires) for name in names for fires in (True, False)}


def test_the_example_configurations_are_accepted_by_the_servers_tools():
    need("promtool", "amtool")
    code, text = run("promtool", "check", "config", "prometheus.yml", cwd=RULES.parent)
    assert code == 0, text
    code, text = run("amtool", "check-config", str(ROOT / "configs" / "alertmanager" / "alertmanager.yml"))
    assert code == 0, text


@pytest.mark.parametrize("severity,receiver", [("page", "pager"), ("ticket", "tickets"), ("note", "notes")])
def test_the_example_routing_wakes_people_for_pages_only(severity, receiver):
    need("amtool")
    file = ROOT / "configs" / "alertmanager" / "alertmanager.yml"
    labels = ("alertname=HeadwatchHeadDrift", "model=sentiment", f"severity={severity}")
    code, text = run("amtool", "config", "routes", "test", f"--config.file={file}", *labels)
    assert (code, text.splitlines()[0]) == (0, receiver)


def test_the_example_inhibition_names_alerts_that_exist():
    config = yaml.safe_load((ROOT / "configs" / "alertmanager" / "alertmanager.yml").read_text())
    names = {rule["alert"] for rule in rules_of(alert_rules())}
    for rule in config["inhibit_rules"]:
        for matcher in rule["source_matchers"] + rule["target_matchers"]:
            label, _, value = matcher.partition(" ")
            if label == "alertname":
                operator, _, pattern = value.partition(" ")
                found = {name for name in names if re.fullmatch(pattern.strip('"'), name)}
                assert len(found) == (1 if operator == "=" else pattern.count("|") + 1)


@pytest.mark.parametrize("window", CADENCES)
def test_alerts_hold_for_five_minutes_and_for_longer_than_one_window(window):
    for rule in rules_of(alert_rules(window)):
        number, unit = re.fullmatch(r"(\d+)([smhd])", rule["for"]).groups()
        hold = int(number) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[unit]
        assert hold >= 300
        assert hold > window


def test_every_metric_in_a_rule_or_a_message_is_exported():
    for rule in rules_of(alert_rules()):
        parse(rule["expr"])
        text = rule["expr"] + " ".join(rule["annotations"].values())
        unknown = set(re.findall(r"headwatch_[a-z_]+", text)) - set(METRICS)
        assert not unknown, rule["alert"]


def test_every_query_in_a_message_is_promql():
    queries = 0
    for rule in rules_of(alert_rules()):
        for query in re.findall("printf `(.*?)`", rule["annotations"]["description"]):
            parse(query.replace("%q", '"x"'))
            queries += 1
    assert queries == 21


def test_every_alert_says_what_to_do():
    runbooks = (ROOT / "docs" / "runbooks.md").read_text()
    sections = {title.lower() for title in re.findall(r"^## (.+)$", runbooks, flags=re.MULTILINE)}
    rules = rules_of(alert_rules(runbooks="https://wiki.example/headwatch"))
    for rule in rules:
        assert {"summary", "description", "runbook_url"} == set(rule["annotations"])
        page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert page == "https://wiki.example/headwatch"
        assert anchor in sections
    assert sections == {rule["alert"].lower() for rule in rules}
