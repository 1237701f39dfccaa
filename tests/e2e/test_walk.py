"""From a chat message to the head map of its episode, by nothing but the links that are there."""

from __future__ import annotations

import contextlib
import re
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import expect

from exporters.alerts.rules import Links, alert_rules
from exporters.mlflow.connection import connect
from tests.browser import chromium_page
from tests.e2e.test_alerting import SHIPPED, Received, shipped_config
from tests.e2e.test_mlflow_ui import PATIENCE
from tests.e2e.test_sidecar import LEARNING, Traffic
from tests.servers import (
    Server,
    http_server,
    need,
    running,
    start_alertmanager,
    start_prometheus,
    wait_for,
)
from tests.sidecar_process import sidecar

pytestmark = pytest.mark.servers
RUNBOOKS = "https://wiki.example/headwatch"


def test_a_stranger_gets_from_the_alerts_text_to_the_head_map_by_links_only(
    tmp_path: Path, tiny_classifier: Path, mlflow: Server
) -> None:
    need("prometheus", "prometheus-alertmanager", "chromium")
    chat, folder = Received(), tmp_path / "alertmanager"
    folder.mkdir()
    shutil.copy(SHIPPED / "headwatch.tmpl", folder)
    watch = sidecar(
        tmp_path / "run",
        model=tiny_classifier,
        privacy={"minimum_requests": 3},
        exporters={"mlflow": {"tracking_uri": mlflow.url, "experiment": "walked through"}},
    )
    with http_server(post=chat.post) as hook, running(watch.server), contextlib.ExitStack() as stack:
        traffic = Traffic(watch)
        for _ in range(LEARNING + 3):
            traffic.window()
        drifted = traffic.window(extra="zebra", every=2)
        assert drifted["alarm"]
        # The shipped rules hold an alert for minutes, these for nothing: so MLflow gets its time before.
        wait_for("the evidence is in MLflow", lambda: watch.status()["links"]["episode"], seconds=90)
        alertmanager = stack.enter_context(
            running(
                start_alertmanager(
                    folder, config=shipped_config(folder, hook, pager=hook, chat=hook, notes=hook)
                )
            )
        )
        stack.enter_context(
            running(
                start_prometheus(
                    tmp_path / "prometheus",
                    targets={"headwatch": watch.operations.removeprefix("http://")},
                    alertmanager=alertmanager.url,
                    rules=alert_rules(5.0, fast=True, links=Links(runbooks=RUNBOOKS)),
                    interval="1s",
                )
            )
        )
        message = wait_for("a message with its evidence", lambda: _with_evidence(chat), seconds=90)
        evidence = re.search(r"^Evidence: (\S+)$", str(message), flags=re.MULTILINE)
        assert evidence is not None
        with chromium_page(width=1400, height=1000) as page:
            page.set_default_timeout(PATIENCE)
            expect.set_options(timeout=PATIENCE)
            page.goto(evidence[1])
            expect(page.get_by_role("heading", name=re.compile("^Drift of "))).to_be_visible()
            expect(page.get_by_text("Does it matter:")).to_be_visible()
            with page.expect_popup() as opened:
                page.get_by_role("link", name="head map", exact=True).first.click()
            expect(opened.value.get_by_alt_text("opened/head_map.png")).to_be_visible()
            shown = opened.value.url
            with page.expect_popup() as opened:
                page.get_by_role("link", name="report", exact=True).first.click()
            expect(opened.value.frame_locator("iframe").locator("h1")).to_be_visible()
        run = re.search(r"/runs/([0-9a-f]+)/artifacts/[a-z0-9-]+/head_map\.png$", shown)
        assert run is not None
        tags = connect(mlflow.url).get_run(run[1]).data.tags
        assert (tags["episode"], tags["state"]) == (drifted["episode"], "open")


def _with_evidence(chat: Received) -> str | None:
    return next((text for _, text in chat.chats if "\nEvidence: http" in text), None)
