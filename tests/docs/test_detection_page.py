"""The method page quotes the stored results, every goal of them, reached or missed."""

from __future__ import annotations

import json
from pathlib import Path

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"


def test_the_page_quotes_every_goal_as_it_was_measured():
    page = (ROOT / "docs" / "detection.md").read_text(encoding="utf-8")
    quoted = page.split("<!-- goals -->")[1].split("<!-- /goals -->")[0].strip().splitlines()
    printed = (RESULTS / "detection.md").read_text(encoding="utf-8")
    table = printed.split("## Goals")[1].split("## ")[0].strip().splitlines()
    assert quoted == table


def test_the_page_says_how_many_goals_there_are_and_how_many_are_missed():
    goals = json.loads((RESULTS / "detection.json").read_text(encoding="utf-8"))["goals"]
    missed = sum(not goal["reached"] for goal in goals)
    page = (ROOT / "docs" / "detection.md").read_text(encoding="utf-8")
    assert f"<summary>The table: {len(goals)} goals, {missed} missed</summary>" in page


def test_the_printed_table_has_every_stored_goal():
    stored = json.loads((RESULTS / "detection.json").read_text(encoding="utf-8"))
    printed = (RESULTS / "detection.md").read_text(encoding="utf-8")
    assert len(stored["goals"]) > 20
    for goal in stored["goals"]:
        reached = "reached" if goal["reached"] else "**MISSED**"
        assert f"| {goal['goal']} | {goal['wanted']} | {goal['measured']} | {reached} |" in printed
