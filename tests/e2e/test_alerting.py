"""A real Prometheus scrapes, a real Alertmanager routes, a real webhook hears of the drift."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest

from exporters.alert_rules import alert_rules
from exporters.prometheus_metrics import HeadwatchCollector, build_registry, render
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


class Sidecar:
    """Serves /metrics of whatever verdict it is told to show."""

    def __init__(self):
        self.show(scenes.quiet())
        collector = HeadwatchCollector(
            lambda: replace(self.snapshot, time=time.time()), top_heads=10, every_head=False
        )
        self._registry = build_registry(collector)

    def show(self, verdict):
        self.snapshot = scenes.snapshot(verdict)

    def get(self, path, accept):
        assert path == "/metrics"
        return render(self._registry, accept)


@pytest.fixture
def stack(tmp_path):
    """The sidecar, what the webhook received, and the address of Prometheus."""
    need("prometheus", "prometheus-alertmanager")
    sidecar, messages = Sidecar(), []
    with (
        http_server(get=sidecar.get) as metrics,
        http_server(post=lambda body: messages.append(json.loads(body)) or 200) as webhook,
        running(start_alertmanager(tmp_path / "alertmanager", config=routing(webhook))) as alertmanager,
        running(
            start_prometheus(
                tmp_path / "prometheus",
                targets={"headwatch": metrics.removeprefix("http://")},
                alertmanager=alertmanager.url,
                rules=alert_rules(5.0, fast=True),
                interval="1s",
            )
        ) as prometheus,
    ):
        yield sidecar, messages, prometheus, metrics.removeprefix("http://")


def routing(webhook):
    return {
        "route": {
            "receiver": "people",
            "group_by": ["model", "severity"],
            "group_wait": "1s",
            "group_interval": "1s",
        },
        "receivers": [{"name": "people", "webhook_configs": [{"url": webhook, "send_resolved": True}]}],
    }


def heard(messages, status):
    """The alerts of this status by name, once both drift alerts have come."""
    alerts = {
        alert["labels"]["alertname"]: alert
        for message in messages
        for alert in message["alerts"]
        if alert["status"] == status
    }
    return alerts if {"HeadwatchHeadDrift", "HeadwatchTokenDrift"} <= set(alerts) else None


def test_drift_reaches_the_webhook_in_readable_words_and_so_does_its_end(stack):
    sidecar, messages, prometheus, instance = stack
    query = f"{prometheus.url}/api/v1/query?query=headwatch_channel_alarm"
    wait_for("Prometheus has scraped", lambda: get_json(query)["data"]["result"], seconds=30)
    time.sleep(3)
    assert messages == []

    sidecar.show(scenes.alarmed())
    firing = wait_for("both alerts fire at the webhook", lambda: heard(messages, "firing"), seconds=60)
    assert sorted(firing) == ["HeadwatchHeadDrift", "HeadwatchTokenDrift"]
    labels = {"instance": instance, "job": "headwatch", "model": "sentiment", "severity": "ticket"}
    assert firing["HeadwatchHeadDrift"]["labels"] == {"alertname": "HeadwatchHeadDrift", **labels}
    assert firing["HeadwatchHeadDrift"]["annotations"] == {
        "summary": "Attention heads of sentiment have drifted",
        "description": (
            "Heads named: 2. Strongest evidence: L3H7, entropy -1.3 standard deviations. "
            "Cause: data. It began at 2026-09-21 15:10:00 +0000 UTC."
        ),
        "runbook_url": "https://headwatch.example/docs/runbooks.md#headwatchheaddrift",
    }
    assert firing["HeadwatchTokenDrift"]["labels"] == {"alertname": "HeadwatchTokenDrift", **labels}
    assert firing["HeadwatchTokenDrift"]["annotations"] == {
        "summary": "Tokens that drive sentiment have changed",
        "description": (
            "Tokens seen more often: 1. Tokens seen less often: 1. The episode's run in MLflow names them. "
            "Cause: data. It began at 2026-09-21 15:10:00 +0000 UTC."
        ),
        "runbook_url": "https://headwatch.example/docs/runbooks.md#headwatchtokendrift",
    }
    assert {json.dumps(message["groupLabels"], sort_keys=True) for message in messages} == {
        '{"model": "sentiment", "severity": "ticket"}'
    }

    sidecar.show(scenes.cleared())
    resolved = wait_for("both alerts resolve at the webhook", lambda: heard(messages, "resolved"), seconds=60)
    assert sorted(resolved) == ["HeadwatchHeadDrift", "HeadwatchTokenDrift"]
    assert resolved["HeadwatchHeadDrift"]["annotations"] == firing["HeadwatchHeadDrift"]["annotations"]
