"""A real Prometheus scrapes, a real Alertmanager routes, and what people read is compared whole."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from exporters.alerts.rules import Links, alert_rules
from exporters.prometheus.metrics import HeadwatchCollector, build_registry, render
from tests.exporters import scenes
from tests.servers import (
    get_json,
    http_server,
    need,
    running,
    start_alertmanager,
    start_prometheus,
    wait_for,
)

pytestmark = pytest.mark.servers

SHIPPED = Path(__file__).parents[2] / "configs" / "alertmanager"
EPISODE = "https://mlflow.example/#/experiments/1/runs/0f0f"
RUNBOOKS = "https://wiki.example/headwatch"
GRAFANA = "https://grafana.example"
SINCE = "2026-09-21 15:10 UTC"


class Sidecar:
    """Serves /metrics of whatever verdict it is told to show."""

    def __init__(self):
        self.show(scenes.quiet())
        collector = HeadwatchCollector(
            lambda: replace(self.snapshot, time=time.time()), top_heads=10, every_head=False
        )
        self._registry = build_registry(collector)

    def show(self, verdict, **changes):
        self.snapshot = scenes.snapshot(verdict, **changes)

    def get(self, path, accept):
        assert path == "/metrics"
        return render(self._registry, accept)


class Received:
    """What a webhook was sent, in order."""

    def __init__(self):
        self.bodies = []

    def post(self, body):
        self.bodies.append(json.loads(body))
        return 200

    @property
    def chats(self):
        """Title and text of each chat message."""
        return [(item["title"], item["text"]) for body in self.bodies for item in body["attachments"]]


class Stack:
    """The sidecar that is watched, and the four places where people hear of it."""

    def __init__(self):
        self.sidecar = Sidecar()
        self.pager, self.pager_chat, self.chat, self.notes = (Received() for _ in range(4))


@pytest.fixture
def stack(tmp_path):
    """The shipped rules, routes, inhibition and message, with intervals of seconds."""
    need("prometheus", "prometheus-alertmanager")
    stack, folder = Stack(), tmp_path / "alertmanager"
    folder.mkdir()
    shutil.copy(SHIPPED / "headwatch.tmpl", folder)
    with (
        http_server(get=stack.sidecar.get) as metrics,
        http_server(post=stack.pager.post) as pager,
        http_server(post=stack.pager_chat.post) as pager_chat,
        http_server(post=stack.chat.post) as chat,
        http_server(post=stack.notes.post) as notes,
        running(
            start_alertmanager(
                folder, config=shipped_config(folder, pager, pager=pager_chat, chat=chat, notes=notes)
            )
        ) as alertmanager,
        running(
            start_prometheus(
                tmp_path / "prometheus",
                targets={"headwatch": metrics.removeprefix("http://")},
                alertmanager=alertmanager.url,
                rules=alert_rules(5.0, fast=True, links=Links(runbooks=RUNBOOKS, grafana=GRAFANA)),
                interval="1s",
            )
        ) as prometheus,
    ):
        stack.instance = metrics.removeprefix("http://")
        stack.prometheus = prometheus.url
        query = f"{prometheus.url}/api/v1/query?query=headwatch_channel_alarm"
        wait_for("Prometheus has scraped", lambda: get_json(query)["data"]["result"], seconds=30)
        yield stack


def shipped_config(folder, webhook, **chats):
    """configs/alertmanager/alertmanager.yml, changed in nothing but addresses and waiting times."""
    config = yaml.safe_load((SHIPPED / "alertmanager.yml").read_text())
    for route in (config["route"], *config["route"]["routes"]):
        # Long enough for one evaluation of all rules, so that a message holds what belongs together.
        route |= {"group_wait": "3s", "group_interval": "1s"}
    for receiver in config["receivers"]:
        secret = folder / f"{receiver['name']}-url"
        secret.write_text(chats[receiver["name"]])
        receiver["slack_configs"] = [
            {**chat, "api_url_file": str(secret)} for chat in receiver["slack_configs"]
        ]
        for other in receiver.get("webhook_configs", ()):
            other["url"] = webhook
    return config


def dashboard(stack, name):
    """The link to a dashboard, from an hour before the onset on."""
    place = stack.instance.replace(":", "%3A")
    return (
        f"{GRAFANA}/d/headwatch-{name}?var-job=headwatch&var-instance={place}&var-model=sentiment"
        "&from=1789999800000&to=now"
    )


def test_drift_reaches_the_chat_as_one_readable_message(stack):
    time.sleep(3)
    assert stack.chat.bodies == []

    stack.sidecar.show(scenes.alarmed(), episode_url=EPISODE)
    wait_for("the chat hears of it", lambda: stack.chat.chats, seconds=60)
    assert stack.chat.chats == [
        (
            "WARNING: Attention heads of sentiment have drifted (first of 2 alerts)",
            f"""\
- Attention heads of sentiment have drifted. 2 heads are named, strongest first: \
L3H7 (the spread of its attention 0.71 → 0.42, -1.3 sd), \
L5H0 (attention on the first token 0.12 → 0.31, +0.9 sd).
- Tokens that drive sentiment have changed. Words seen clearly more often: 1, less often: 1. \
The evidence names them.
Since: {SINCE}
Cause: data (the inputs changed, and nothing says that the model did).
Effect: Largest change of the predictions: p(positive) 0.51 → 0.52 (+0.0 sd). Look at it in working hours.
Do: Find out who sends the changed inputs. To keep them: headwatch baseline promote --config FILE.
Evidence: {EPISODE}
Runbook: {RUNBOOKS}/head-drift.md
Dashboard: {dashboard(stack, "heads")}
Runbook: {RUNBOOKS}/token-drift.md
Dashboard: {dashboard(stack, "tokens")}
""",
        )
    ]

    assert (stack.pager.bodies, stack.pager_chat.bodies, stack.notes.bodies) == ([], [], [])


def test_the_end_of_a_drift_reaches_the_chat_with_its_evidence(stack):
    alarmed = scenes.alarmed()
    alone = replace(alarmed, channels={**alarmed.channels, "tokens": scenes.channel("tokens", 0.2)})
    stack.sidecar.show(alone, episode_url=EPISODE)
    wait_for("the chat hears of it", lambda: stack.chat.chats, seconds=60)
    stack.sidecar.show(scenes.cleared())
    wait_for("the chat hears that it is over", lambda: len(stack.chat.chats) > 1, seconds=60)
    assert stack.chat.chats[1:] == [
        (
            "OVER: Attention heads of sentiment have drifted",
            f"It is over. It began at {SINCE}.\nEvidence: {EPISODE}\n",
        )
    ]


def test_a_changed_model_wakes_somebody_once_and_inhibits_what_it_explains(stack):
    stack.sidecar.show(scenes.model_changed(), episode_url=None)
    wait_for("the pager and its chat", lambda: stack.pager.bodies and stack.pager_chat.bodies, seconds=60)
    assert stack.pager_chat.chats == [
        (
            "CRITICAL: sentiment gives other results than when its baseline was made",
            f"""\
The fixed probe inputs give other results than they did. Most in \
L3H7 (the spread of its attention 0.71 → 0.42, -1.3 sd), \
L5H0 (attention on the first token 0.12 → 0.31, +0.9 sd).
Since: {SINCE}
Cause: model (its files are not those that the baseline was made with).
Effect: Largest change of the predictions: p(positive) 0.51 → 0.52 (+0.0 sd). Look at it now.
Do: Look at the last deployment: roll it back, or declare the revision.
Evidence: not in MLflow (yet); headwatch status --url http://{stack.instance}
Runbook: {RUNBOOKS}/model-changed.md
Dashboard: {dashboard(stack, "heads")}
""",
        )
    ]
    (call,) = stack.pager.bodies
    assert [alert["labels"] for alert in call["alerts"]] == [
        {
            "alertname": "HeadwatchModelChanged",
            "data_drift": "no",
            "instance": stack.instance,
            "job": "headwatch",
            "model": "sentiment",
            "severity": "critical",
        }
    ]
    time.sleep(3)
    assert (len(stack.pager.bodies), stack.chat.bodies, stack.notes.bodies) == (1, [], [])


def test_data_that_drift_beside_a_changed_model_are_told_too(stack):
    stack.sidecar.show(replace(scenes.model_changed(), causes=("model", "data")))
    wait_for("the pager's chat", lambda: stack.pager_chat.bodies, seconds=60)
    ((title, text),) = stack.pager_chat.chats
    assert title == (
        "CRITICAL: sentiment gives other results than when its baseline was made (first of 3 alerts)"
    )
    assert [line.partition(". ")[0] for line in text.splitlines()[:3]] == [
        "- Attention heads of sentiment have drifted",
        "- Tokens that drive sentiment have changed",
        "- sentiment gives other results than when its baseline was made",
    ]
    assert text.splitlines()[4] == (
        "Cause: model (its files are not those that the baseline was made with) and data "
        "(the inputs drift as well)."
    )


def test_a_drift_that_harms_nobody_goes_where_nobody_is_woken(stack):
    stack.sidecar.show(replace(scenes.alarmed(), severity="note"))
    wait_for("the notes", lambda: stack.notes.bodies, seconds=60)
    ((title, text),) = stack.notes.chats
    assert title == "INFO: Attention heads of sentiment have drifted (first of 2 alerts)"
    assert "Nothing needs to be done now." in text
    assert (stack.pager.bodies, stack.pager_chat.bodies, stack.chat.bodies) == ([], [], [])


def test_a_model_that_is_not_watched_any_more_inhibits_its_old_alarm(stack):
    stack.sidecar.show(scenes.quiet(), state="stale")
    wait_for("the chat", lambda: stack.chat.bodies, seconds=60)
    ((title, text),) = stack.chat.chats
    assert title == "WARNING: sentiment is not being watched"
    said, began, todo, runbook, board, end = text.split("\n")
    assert said == (
        "The sidecar runs, but no window has had its verdict for over 15 seconds (one should every "
        "5 seconds), or the model's files cannot be used. Silence about drift means nothing until this "
        "is over."
    )
    assert began.startswith("Alert since: 20")
    assert [todo, runbook, end] == [
        f"Do: Ask it why: headwatch status --url http://{stack.instance}",
        f"Runbook: {RUNBOOKS}/stale.md",
        "",
    ]
    assert board == f"Dashboard: {dashboard(stack, 'operations').partition('&from')[0]}"

    stack.sidecar.show(scenes.alarmed(), state="stale")
    query = "query?query=ALERTS{alertname=~'Headwatch.*Drift',alertstate='firing'}"
    wait_for(
        "the drift fires",
        lambda: get_json(f"{stack.prometheus}/api/v1/{query}")["data"]["result"],
        seconds=30,
    )
    time.sleep(5)
    assert {title for title, _ in stack.chat.chats} == {title}
