from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from promql_parser import parse
from typer.main import get_command

from exporters.alerts.cadence import Cadence
from exporters.alerts.rules import FOLDER, Links, alert_rules, page_name, rules_yaml
from exporters.prometheus.metrics import METRICS
from monitor.cli import app
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


@pytest.mark.parametrize("window,longest", [(600.0, 100), (86400.0, 200)])
def test_promtools_unit_tests_pass_at_another_cadence(tmp_path, window, longest):
    """Without the timelines that last for days: five thousand steps take promtool minutes."""
    need("promtool")
    (tmp_path / "rules.yml").write_text(rules_yaml(window))
    (tmp_path / "tests.yml").write_text(promtool_yaml(window, "rules.yml", longest=longest))
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
def test_drift_is_told_within_two_minutes_of_its_verdict_however_long_a_window_is(window):
    for group in alert_rules(window)["groups"]:
        for rule in group["rules"]:
            if rule["alert"] in DRIFT:
                assert seconds(rule["for"]) + seconds(group["interval"]) <= 120


@pytest.mark.parametrize("window", CADENCES)
def test_a_fault_of_the_watch_is_told_after_five_minutes_and_within_an_hour(window):
    for rule in rules_of(alert_rules(window)):
        if rule["alert"] in WATCH and rule["labels"]["severity"] == "warning":
            assert 300 <= seconds(rule["for"]) <= 3600


@pytest.mark.parametrize("window", CADENCES)
def test_the_durations_fit_each_other(window):
    cadence = Cadence(window=window)
    assert cadence.interval <= cadence.hold / 5
    # A severity that changes with every window must not call people with every window.
    assert cadence.memory > window
    assert cadence.thin > min(window, 3600 / 1.2)
    assert cadence.stale > 2 * window
    assert cadence.hold < 3600 <= cadence.blind <= 86400
    # A sidecar that is gone is told as stale, which inhibits "the drift is over", before drift ends.
    assert cadence.bridge > cadence.patience + cadence.hold + 2 * cadence.interval
    # What a sidecar that is gone was watching must be known for as long as it takes to become critical.
    assert cadence.gone > cadence.blind + cadence.patience + cadence.hold
    assert 900 <= cadence.tries <= cadence.rate <= 86400


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
    assert len(queries) == 34


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
    for base in (None, "https://wiki.example/headwatch/"):
        addresses = {
            rule["annotations"]["runbook_url"] for rule in rules_of(alert_rules(links=Links(runbooks=base)))
        }
        if base is None:
            # Without an address an alert names the file itself.
            assert all((ROOT / address).is_file() for address in addresses)
        pages = {address.removeprefix((base or FOLDER).rstrip("/") + "/") for address in addresses}
        assert pages == {file.name for file in PAGES.glob("*.md")} - {"README.md"}


SECTIONS = (
    "Decide",
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
            fixed = re.sub(r"{{ if .*? }}|{{ else }}.*?{{ end }}", "", rule["annotations"]["summary"])
            for label in ("model", "sink"):
                fixed = fixed.replace(f"{{{{ $labels.{label} }}}}", label.upper())
            assert f"*{fixed}*" in text


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.stem)
def test_every_query_of_a_runbook_page_is_promql_of_exported_metrics(page):
    queries = re.findall(r"```promql\n(.*?)```", page.read_text(), flags=re.DOTALL)
    assert queries or page.name == "README.md"
    for query in queries:
        for line in filter(None, query.splitlines()):
            parse(line)
            assert not set(re.findall(r"headwatch_[a-z_]+", line)) - set(METRICS)


@pytest.mark.parametrize("alert", sorted(DRIFT | WATCH))
def test_a_runbook_page_decides_for_each_severity_that_its_alert_can_have(alert):
    text = (PAGES / page_name(alert)).read_text()
    decisions, severities = (
        text.partition(f"## {title}\n\n")[2].partition("\n\n## ")[0] for title in ("Decide", "How bad it is")
    )
    rows = decisions.splitlines()[2:]
    assert all(len(row.strip("| ").split(" | ")) == 2 for row in rows)
    if alert != "HeadwatchTooFewSamples":
        named = set(re.findall(r"^- (critical|warning|info)", severities, flags=re.MULTILINE))
        assert {re.match(r"\| (\w+)", row).group(1) for row in rows} == named


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.stem)
def test_every_command_of_a_runbook_page_is_one_that_headwatch_takes(page):
    for line in re.findall(r"`headwatch ([^`]+)`", page.read_text()):
        command, given = get_command(app), shlex.split(line)
        while hasattr(command, "commands"):
            command = command.commands[given.pop(0)]
        # Raises for an option that the command does not have.
        options, left, _ = command.make_parser(command.context_class(command)).parse_args(given)
        assert not left, line
        assert {item.name for item in command.params if item.required} <= set(options), line


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


def message(folder, *alerts):
    """Alertmanager's data for a group of ``alerts``: (state, name, sidecar, labels, annotations)."""
    data = json.loads((Path(__file__).parent / "alertmanager_data.json").read_text())
    shared = {"summary": "Heads have drifted", "description": "One head is named.", "since": "noon"} | {
        "cause": "data.", "effect": "Look at it now.", "action": "Find the sender.",
    }  # fmt: skip
    data["alerts"] = [
        {
            "status": state,
            "labels": {"alertname": name, "instance": place, "severity": "critical", **labels},
            "annotations": {**shared, "runbook_url": f"docs/runbooks/{page_name(name)}", **annotations},
            "startsAt": "2026-09-21T15:20:00Z",
        }
        for state, name, place, labels, annotations in alerts
    ]
    file = folder / "data.json"
    file.write_text(json.dumps(data))
    return file


def test_three_sidecars_with_one_story_tell_it_once(tmp_path):
    name, board = "HeadwatchHeadDrift", "https://grafana.example/heads"
    places = [
        ("firing", name, f"{letter}:1", {}, {"evidence_url": f"http://m/{letter}", "dashboard_url": board})
        for letter in "abc"
    ]
    code, text = rendered("headwatch.text", message(tmp_path, *places))
    assert (code, text.splitlines()) == (
        0,
        [
            *(f"- {letter}:1: Heads have drifted. One head is named." for letter in "abc"),
            *("Seen by: a:1", "Since: noon"),
            *("Cause: data.", "Effect: Look at it now.", "Do: Find the sender.", "Evidence: http://m/a"),
            *("Seen by: b:1", "Since: noon", "Evidence: http://m/b"),
            *("Seen by: c:1", "Since: noon", "Evidence: http://m/c"),
            *("Runbook: docs/runbooks/head-drift.md", f"Dashboard: {board}"),
        ],
    )


def test_what_still_fires_under_another_label_is_not_told_as_over(tmp_path):
    name = "HeadwatchModelChanged"
    data = message(
        tmp_path,
        ("firing", name, "a:1", {"data_drift": "yes"}, {}),
        ("resolved", name, "a:1", {"data_drift": "no"}, {}),
        ("resolved", "HeadwatchHeadDrift", "a:1", {}, {}),
    )
    code, text = rendered("headwatch.text", data)
    assert code == 0
    assert [line for line in text.splitlines() if "over" in line.lower()] == [
        "Over or no longer critical for a:1: Heads have drifted. It began at noon."
    ]


@pytest.mark.parametrize(
    "annotations,link",
    [
        ({"evidence_url": "http://m/a", "dashboard_url": "http://g/a"}, "http://m/a"),
        ({"evidence_url": "", "dashboard_url": "http://g/a"}, "http://g/a"),
        ({"runbook_url": "https://wiki.example/head-drift.md"}, "https://wiki.example/head-drift.md"),
        ({}, ""),
    ],
)
def test_a_title_leads_to_the_evidence_first_and_never_to_a_mere_path(tmp_path, annotations, link):
    data = message(tmp_path, ("firing", "HeadwatchHeadDrift", "a:1", {}, annotations))
    assert rendered("headwatch.link", data) == (0, link)


def test_a_title_leads_to_what_still_fires(tmp_path):
    alerts = [
        (state, "HeadwatchHeadDrift", f"{state}:1", {}, {"evidence_url": f"http://m/{state}"})
        for state in ("resolved", "firing")
    ]
    assert rendered("headwatch.link", message(tmp_path, *alerts)) == (0, "http://m/firing")
    assert rendered("headwatch.link", message(tmp_path, alerts[0])) == (0, "http://m/resolved")


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


def test_the_command_says_how_to_make_links_of_the_runbooks(tmp_path):
    command = (sys.executable, "-m", "monitor.cli", "rules", "--out", str(tmp_path / "rules.yml"))
    assert run(*command, cwd=ROOT) == (
        0,
        (
            "headwatch: the alerts name their runbooks by path (docs/runbooks/stale.md); to make links of "
            "them, set exporters.prometheus.runbooks_url to where your team reads that folder\n"
        ),
    )
    assert (tmp_path / "rules.yml").read_text() == rules_yaml(300.0)


def test_the_head_of_the_file_says_what_it_fits_and_what_its_links_need():
    def head(**links):
        lines = rules_yaml(900.0, links=Links(**links)).splitlines()
        return [line for line in lines if line.startswith("#")]

    fits = [
        "# Written by `headwatch rules` for windows of 15 minutes; renew with window.duration.",
        "# One such file serves every sidecar that a Prometheus scrapes: the one for the longest windows.",
    ]
    assert head(runbooks="https://wiki.example/headwatch") == fits
    assert head() == [
        *fits,
        "# The alerts name their runbooks by path, docs/runbooks/ in headwatch's repository. For links set",
        "# exporters.prometheus.runbooks_url to where your team reads that folder, and renew this file.",
    ]


def test_a_file_that_cannot_be_written_is_told_by_its_option(tmp_path):
    place = tmp_path / "missing" / "rules.yml"
    command = (sys.executable, "-m", "monitor.cli", "rules", "--out", str(place))
    assert run(*command, cwd=ROOT) == (
        2,
        f"headwatch: --out = {place}: its folder does not exist; make it or choose another\n",
    )
