"""What the screen says, at the sizes at which terminals come."""

from __future__ import annotations

import io
import math

import pytest
from rich.console import Console

from examples.demo.drawing import CHANNELS, gauge, share
from examples.demo.summary import Finding
from examples.demo.view import PlainView

LINKS = {
    "metrics": "http://127.0.0.1:40001/metrics",
    "Prometheus": "http://127.0.0.1:40002/alerts",
    "Alertmanager": "http://127.0.0.1:40003",
    "MLflow": "http://127.0.0.1:40004/#/experiments/1/runs/" + "a" * 32,
}


def verdict(index: int, *, alarm: bool = False, state: str = "quiet") -> dict:
    channel = {"evidence": 12.0 if alarm else 2.0, "limit": 9.0, "alarm": alarm}
    channels = {} if state == "learning" else dict.fromkeys(CHANNELS, channel)
    return {
        "index": index,
        "state": "alarm" if alarm else state,
        "alarm": alarm,
        "raised": alarm,
        "cleared": False,
        "evidence": channel["evidence"],
        "limit": channel["limit"],
        "channels": channels,
        "summary": "learning the baseline: 1200 of 1200 samples",
    }


def played(console: Console) -> PlainView:
    view = PlainView(console, title="seed 1 · quiet → fault", receiving=True)
    view.links(LINKS)
    for index in range(6):
        view.judged("baseline", verdict(index, state="learning"))
    for index in range(6, 30):
        view.judged("recovery", verdict(index))
    for act in ("domain", "trigger", "fault"):
        view.judged(act, verdict(30, alarm=True))
        finding = Finding(
            act=act,
            windows=1,
            windows_until_alarm=1,
            cause="data",
            causes=("data",),
            severity="ticket",
            channels=("heads", "tokens"),
            heads=("L5H11",) * 5,
            tokens=("tungsten",) * 5,
            arrived_after=2.0,
            summary="L5H11 looks elsewhere",
        )
        view.alarm(act, finding)
        view.cleared(act, 2)
    view.phase("recovery", "nothing is shifted any more; waiting for the alarm to clear")
    view.sent(150, 200)
    return view


@pytest.mark.parametrize("width, height", [(80, 24), (120, 40)])
def test_the_screen_fits_and_keeps_the_last_windows_links_and_alerts(width: int, height: int) -> None:
    screen = Console(width=width, height=height, file=io.StringIO(), record=True)
    played(Console(file=io.StringIO())).draw_on(screen)
    lines = screen.export_text().splitlines()
    assert len(lines) <= height
    assert max(len(line.rstrip()) for line in lines) <= width
    text = "\n".join(lines)
    assert all(url in text for url in LINKS.values())
    assert "[150/200]" in text
    assert "limit" in text
    assert text.count("cleared in 2") == 3
    assert "L5H11, L5H11" in text
    assert "tungsten" in text
    assert " 30 fault" in text
    assert "baseline" not in text


def test_plain_lines_tell_every_window_alarm_and_link() -> None:
    written = io.StringIO()
    played(Console(file=written, width=80))
    lines = [line.partition("  ")[2] for line in written.getvalue().splitlines()]
    assert "window 5 [baseline] learning: learning the baseline: 1200 of 1200 samples" in lines
    each = ", ".join(f"{name} 2.0/9.0" for name in CHANNELS)
    assert f"window 6 [recovery] quiet: evidence/limit 2.0/9.0 ({each})" in lines
    assert " ticket  fault · cause data · in window 1 · arrived through Alertmanager after 2 s" in lines
    assert "the alarm of 'fault' cleared after 2 quiet windows" in lines
    assert f"MLflow: {LINKS['MLflow']}" in lines


@pytest.mark.parametrize(
    "evidence, limit, part",
    [
        (4.5, 9.0, 0.5),
        (20.0, 9.0, 1.0),
        (-3.0, 9.0, 0.0),
        (math.nan, 9.0, 0.0),
        (math.inf, 9.0, 1.0),
        (1.0, 0.0, 0.0),
    ],
)
def test_evidence_is_shown_as_a_part_of_its_limit(evidence: float, limit: float, part: float) -> None:
    assert share(evidence, limit) == part


@pytest.mark.parametrize(
    "evidence, drawn, filled",
    [
        (-2.31, "-2.3  ", 0),
        (0.05, "0.05  ", 0),
        (4.5, "4.5   ", 3),
        (457.2, "457   ", 6),
        (math.inf, "∞     ", 6),
    ],
)
def test_a_gauge_shows_its_number_and_fills_up_to_the_limit(evidence: float, drawn: str, filled: int) -> None:
    text = gauge(evidence, 9.0, 6, alarm=False)
    assert text.plain == drawn
    assert sum(span.end - span.start for span in text.spans) == filled
