"""What the dashboards' expressions give for a state that is written down, asked of promtool."""

from __future__ import annotations

import json
import subprocess

import pytest
import yaml

from exporters.grafana import queries
from exporters.grafana.queries import CAUSES, STATES
from tests.exporters.promql_server import filled_in
from tests.exporters.test_grafana_dashboards import BOARDS
from tests.servers import need

pytestmark = pytest.mark.servers

ONE, TWO = (f'job="headwatch", instance="pod-{name}:9095", model="sentiment"' for name in ("a", "b"))
OTHER = 'job="headwatch", instance="pod-c:9095", model="topics"'
NODE = 'job="node", instance="node-1:9100"'


@pytest.fixture
def promtool(tmp_path):
    need("promtool")

    def check(expression, expected, *, series, minutes=20):
        """``series``: labels and name -> values a minute; ``expected``: series -> value."""
        case = {
            "interval": "1m",
            "input_series": [{"series": name, "values": values} for name, values in series.items()],
            "promql_expr_test": [
                {
                    "expr": filled_in(expression),
                    "eval_time": f"{minutes}m",
                    "exp_samples": [
                        {"labels": labels, "value": value} for labels, value in sorted(expected.items())
                    ],
                }
            ],
        }
        (tmp_path / "rules.yml").write_text("groups: []\n")
        file = tmp_path / "test.yml"
        file.write_text(yaml.safe_dump({"rule_files": ["rules.yml"], "tests": [case]}))
        ran = subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True, check=False)
        assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"

    return check


def number(words, mapping):
    return next(key for key, (text, _) in mapping.items() if text == words)


def expression_of(board, title):
    (panel,) = [panel for panel in BOARDS[board]["panels"] if panel["title"] == title]
    return panel["targets"][0]["expr"]


def watch(labels, state, severity=None, ends=None):
    """What one sidecar says of its state; ``ends``: the minute of its last scrape."""
    values = "{}x40" if ends is None else "{}" + f"x{ends} stale"
    names = ("starting", "learning", "quiet", "alarm", "too_few_samples", "stale")
    found = {
        f'headwatch_state{{{labels}, state="{name}"}}': values.format(int(name == state)) for name in names
    }
    return found | {
        f'headwatch_severity{{{labels}, severity="{name}"}}': values.format(int(name == severity))
        for name in ("critical", "warning", "info")
    }


@pytest.mark.parametrize(
    ("state", "severity", "shown"),
    [
        ("quiet", None, "quiet"),
        ("starting", None, "starting"),
        ("learning", None, "learning"),
        ("too_few_samples", None, "too few samples"),
        ("stale", None, "stale"),
        ("alarm", "info", "info"),
        ("alarm", "warning", "warning"),
        ("alarm", "critical", "critical"),
    ],
)
def test_the_state_is_shown_in_a_word_of_its_own(promtool, state, severity, shown):
    expected = {'{model="sentiment"}': number(shown, STATES)}
    promtool(expression_of("overview", "State"), expected, series=watch(ONE, state, severity))


@pytest.mark.parametrize("later", ["too_few_samples", "stale"])
def test_an_alarm_that_stands_is_shown_while_no_window_can_be_judged(promtool, later):
    expected = {'{model="sentiment"}': number("critical", STATES)}
    promtool(expression_of("overview", "State"), expected, series=watch(ONE, later, "critical"))


@pytest.mark.parametrize(
    ("first", "second", "shown"),
    [
        (("quiet",), ("too_few_samples",), "too few samples"),
        (("quiet",), ("alarm", "warning"), "warning"),
        (("stale",), ("learning",), "stale"),
        (("alarm", "info"), ("alarm", "critical"), "critical"),
    ],
)
def test_of_two_replicas_the_worse_is_shown(promtool, first, second, shown):
    expected = {'{model="sentiment"}': number(shown, STATES)}
    series = watch(ONE, *first) | watch(TWO, *second)
    promtool(expression_of("overview", "State"), expected, series=series)


def test_a_model_whose_sidecar_is_gone_is_shown_as_gone_for_a_day(promtool):
    series = watch(ONE, "quiet", ends=5) | watch(OTHER, "quiet")
    expected = {
        '{model="sentiment"}': number("gone", STATES),
        '{model="topics"}': number("quiet", STATES),
    }
    promtool(expression_of("overview", "State"), expected, series=series)
    promtool(expression_of("overview", "State"), {}, series=watch(ONE, "quiet", ends=5), minutes=25 * 60)


def test_a_model_that_another_replica_watches_is_not_gone(promtool):
    series = watch(ONE, "quiet", ends=5) | watch(TWO, "quiet")
    expected = {'{model="sentiment"}': number("quiet", STATES)}
    promtool(expression_of("overview", "State"), expected, series=series)


def test_each_model_has_its_own_cause_and_one_without_an_alarm_says_so(promtool):
    def causes(labels, *names):
        return {
            f'headwatch_cause{{{labels}, cause="{name}"}}': f"{int(name in names)}x40"
            for name in ("data", "model", "environment", "serving")
        }

    unsure = 'job="headwatch", instance="pod-d:9095", model="unsure"'
    series = (
        causes(ONE, "data", "serving")
        | watch(ONE, "alarm", "critical")
        | causes(OTHER)
        | watch(OTHER, "quiet")
        | causes(unsure)
        | watch(unsure, "alarm", "info")
    )
    expected = {
        '{cause="data", model="sentiment"}': number("data", CAUSES),
        '{cause="serving", model="sentiment"}': number("serving", CAUSES),
        '{model="topics"}': number("no alarm", CAUSES),
        '{model="unsure"}': number("unknown", CAUSES),
    }
    promtool(expression_of("overview", "Cause"), expected, series=series)


def test_causes_are_those_that_headwatch_gives():
    from exporters.prometheus.snapshot_points import CAUSES as GIVEN

    assert [word for word, _ in CAUSES.values()] == ["no alarm", *GIVEN, "unknown"]


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Scrapes that worked", "up"),
        ("Memory", "process_resident_memory_bytes"),
        ("Scrape size", "scrape_samples_scraped"),
        ("Scrape duration", "scrape_duration_seconds"),
    ],
)
def test_where_all_jobs_are_chosen_other_targets_of_prometheus_stay_out(promtool, title, name):
    process = 'job="headwatch", instance="pod-a:9095"'
    series = {
        f"{name}{{{process}}}": "0x40",  # its last scrapes failed: it is still one of ours
        f'headwatch_build_info{{{process}, version="0.1.0"}}': "1x5 stale",
        f"{name}{{{NODE}}}": "1x40",
    }
    promtool(expression_of("operations", title), {f"{name}{{{process}}}": 0}, series=series)


def test_the_cpu_of_other_targets_stays_out(promtool):
    process = 'job="headwatch", instance="pod-a:9095"'
    series = {
        f"process_cpu_seconds_total{{{process}}}": "0+30x40",
        f'headwatch_build_info{{{process}, version="0.1.0"}}': "1x40",
        f"process_cpu_seconds_total{{{NODE}}}": "0+6x40",
    }
    expression = expression_of("operations", "CPU").replace("$__rate_interval", "4m")
    promtool(expression, {f"{{{process}}}": 0.5}, series=series)


def test_a_row_of_measures_stands_in_order_of_how_far_it_moved_either_way(promtool):
    (panel,) = [
        panel for panel in BOARDS["tokens"]["panels"] if panel["title"] == "Measures before and after"
    ]
    labels = f'{ONE}, channel="input", measure="log_tokens"'
    expected = {'{channel="input", measure="log_tokens", model="sentiment"}': 1.5}
    promtool(
        panel["targets"][2]["expr"], expected, series={f"headwatch_measure_effect{{{labels}}}": "-1.5x40"}
    )
    assert panel["options"]["sortBy"] == [{"desc": True, "displayName": "moved"}]


def test_a_new_revision_is_marked_once_and_a_restart_is_not(promtool):
    annotations = BOARDS["overview"]["annotations"]["list"]
    (marked,) = [item["expr"] for item in annotations if item["name"] == "Revision or baseline changed"]
    old, new = (f'headwatch_model_info{{{ONE}, revision="{name}", baseline="b1"}}' for name in ("v1", "v2"))
    series = {old: "1x10 _x9 1x9 stale", new: "_x30 1x40"}
    begun = {'{baseline="b1", model="sentiment", revision="v2"}': 1}
    promtool(marked, {}, series=series, minutes=22)
    promtool(marked, begun, series=series, minutes=32)
    promtool(marked, {}, series=series, minutes=40)


def test_the_words_of_states_and_causes_are_in_the_dashboard():
    mapped = {
        panel["title"]: panel["fieldConfig"]["defaults"]["mappings"][0]["options"]
        for panel in BOARDS["overview"]["panels"]
        if panel["title"] in ("State", "Cause", "State over time")
    }
    for title, words in (("State", STATES), ("Cause", CAUSES), ("State over time", STATES)):
        assert {int(key): value["text"] for key, value in mapped[title].items()} == {
            key: text for key, (text, _) in words.items()
        }
    assert queries.GONE in json.dumps(BOARDS["overview"])
