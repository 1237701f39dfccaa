"""The one list of analyses: complete, switchable, and told to the user."""

from __future__ import annotations

from pathlib import Path

from monitor.analysis.catalogue import ALWAYS, ANALYSES
from monitor.analysis.settings import ScheduledSettings
from monitor.config.docs import sections

ROOT = Path(__file__).parents[2]
KEYS = {".".join((*path, key.path[-1])): key for path, keys in sections() for key in keys}


def test_every_switch_is_a_key_of_the_configuration() -> None:
    switches = {analysis.switch for analysis in ANALYSES.values()} - {ALWAYS}
    assert switches <= set(KEYS)
    scheduled = {f"analysis.scheduled.{name}" for name in ScheduledSettings.model_fields}
    assert scheduled <= switches


def test_every_scheduled_switch_states_its_cost() -> None:
    for name in ScheduledSettings.model_fields:
        assert "forward" in KEYS[f"analysis.scheduled.{name}"].meaning, name


def test_every_analysis_stands_in_the_docs_with_its_cost_and_its_switch() -> None:
    lines = (ROOT / "docs" / "analyses.md").read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if line.startswith("| ")]
    for name, analysis in ANALYSES.items():
        wanted = f"| {name} | {', '.join(analysis.needs)} | {analysis.forwards} | `{analysis.switch}` |"
        assert any(row.startswith(wanted) for row in rows), wanted


def test_every_function_says_what_it_is() -> None:
    for name, analysis in ANALYSES.items():
        assert analysis.function.__doc__, name
