"""The real pages of MLflow in a headless browser: what a person finds who follows an alert's link."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from exporters.mlflow.runs import MlflowRuns
from tests.browser import chromium_page
from tests.exporters.episodes import story
from tests.servers import Server, need

pytestmark = pytest.mark.servers
EXPERIMENT = "looked at"
# Each page runs megabytes of scripts, on machines that may have much else to do.
PATIENCE = 180_000
SECTIONS = ["alarm level", "effect in sd", "evidence", "in alarm", "input", "prediction", "rollout", "window"]


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """MLflow while a drift episode lasts: the link that its alert has, and what is said of it."""

    evidence_url: str
    sentences: tuple[str, ...]


@pytest.fixture(scope="module")
def drifting(mlflow: Server) -> Deployment:
    need("chromium")
    told = story(head_shift=1.2, trigger=0.3, prediction_shift=0.6)
    sink = MlflowRuns(
        tracking_uri=mlflow.url, experiment=EXPERIMENT, runbooks="https://wiki.example/headwatch"
    )
    for record in told.while_open():
        sink.deliver(record)
    episode = next(verdict.episode for verdict in told.verdicts if verdict.alarm)
    evidence_url = sink.episode_url(str(episode))
    assert evidence_url is not None
    newest = [record for record in told.while_open() if record.kind == "episode"][-1]
    said = [sentence for _, sentence in json.loads(newest.payload)["sentences"]]
    return Deployment(evidence_url=evidence_url, sentences=tuple(said))


@pytest.fixture(scope="module")
def window() -> Iterator[BrowserContext]:
    """One window of a browser for all these tests: MLflow's scripts are fetched and compiled once."""
    need("chromium")
    with chromium_page(width=1400, height=1000) as first:
        first.context.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        yield first.context


@pytest.fixture
def page(window: BrowserContext) -> Iterator[Page]:
    """A new page in it; errors of its scripts fail the test, and its popups are closed with it."""
    opened = window.new_page()
    problems: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    yield opened
    # how a page was left is kept by MLflow, and the next test opens it as anybody does first
    opened.evaluate("localStorage.clear(); sessionStorage.clear()")
    for one in window.pages[1:]:
        one.close()
    assert problems == []


def test_from_an_alerts_link_to_the_head_map_by_one_click(drifting: Deployment, page: Page) -> None:
    page.goto(drifting.evidence_url)
    expect(page.get_by_role("heading", name="Drift of sentiment since 2026-09-21 15:15 UTC")).to_be_visible()
    expect(page.get_by_role("link", name="head map", exact=True).first).to_be_in_viewport()
    assert len(drifting.sentences) == 3
    for sentence in drifting.sentences:
        expect(page.get_by_text(sentence)).to_be_visible()
    with page.expect_popup() as opened:
        page.get_by_role("link", name="head map", exact=True).first.click()
    viewer = opened.value
    picture = viewer.get_by_alt_text("widened-000019/head_map.png")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.naturalWidth") > 400
    expect(viewer.get_by_text("widened-000019/head_map.png", exact=True)).to_be_visible()


def test_the_note_unfolds_to_heads_words_and_everything_else_to_look_at(
    drifting: Deployment, page: Page
) -> None:
    page.goto(drifting.evidence_url)
    page.get_by_text("Show more").click()
    for text in (
        "L1H2, the spread of its attention: 0.504 → 0.619",
        "words gained: cucumber (0 % → 29 % of the inputs)",
    ):
        expect(page.get_by_role("listitem").filter(has_text=text)).to_be_visible()
    runbook = page.get_by_role("link", name="head drift")
    expect(runbook).to_have_attribute("href", "https://wiki.example/headwatch/head-drift.md")
    with page.expect_popup() as opened:
        page.get_by_role("link", name="the baseline").click()
    expect(opened.value.get_by_text("1000 samples from a log")).to_be_visible()
    # As the page opens, with nothing unfolded.
    with opened.value.expect_popup() as table:
        opened.value.get_by_role("link", name="its episodes").click(timeout=PATIENCE)
    row = table.value.get_by_role("link", name="Drift of sentiment since 2026-09-21 15:15 UTC")
    expect(row).to_be_visible()


def test_the_charts_of_an_episode_are_grouped_with_the_alarm_level_first(
    drifting: Deployment, page: Page
) -> None:
    page.goto(f"{drifting.evidence_url}/model-metrics")
    expect(page.locator(".js-plotly-plot").first).to_be_visible()
    found = page.locator("div", has_text=re.compile(rf"^({'|'.join(SECTIONS)})$"))
    for name in SECTIONS:
        expect(found.filter(has_text=re.compile(f"^{name}$")).last).to_be_visible()
    titles = found.all()
    # A channel's charts have its name too; its section comes after the sections that have one of each.
    lowest = {title.inner_text(): title.bounding_box() for title in titles}
    assert sorted(lowest, key=lambda name: (lowest[name] or {})["y"]) == SECTIONS
    # every window of the alarm is a point: windows 12 to 19
    expect(page.locator(".js-plotly-plot").first.locator(".points path")).to_have_count(8)


def test_the_runs_table_is_filtered_by_the_tags_of_episodes(drifting: Deployment, page: Page) -> None:
    page.goto(f"{drifting.evidence_url.partition('/runs/')[0]}/runs")
    with page.expect_popup() as opened:
        page.get_by_role("link", name="open episodes").click()
    table = opened.value
    search = table.get_by_test_id("search-box")
    expect(search).to_have_value("tags.state = 'open'")
    row = table.get_by_role("link", name="Drift of sentiment since 2026-09-21 15:15 UTC")
    expect(row).to_be_visible()
    for wanted, found in (
        ("tags.model = 'sentiment' AND tags.cause = 'data' AND tags.channel LIKE '%heads%'", 1),
        ("tags.severity = 'note'", 0),
        ("tags.severity = 'page'", 1),
    ):
        search.fill(wanted)
        search.press("Enter")
        expect(row).to_have_count(found)


def test_an_episodes_report_opens_in_the_artifact_viewer(drifting: Deployment, page: Page) -> None:
    page.goto(drifting.evidence_url)
    with page.expect_popup() as opened:
        page.get_by_role("link", name="report", exact=True).first.click()
    frame = opened.value.frame_locator("iframe")
    expect(frame.locator("h1")).to_be_visible()
