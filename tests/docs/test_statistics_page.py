"""docs/statistics.md names what there is, and as the alerts do."""

from __future__ import annotations

import re
from pathlib import Path

from monitor.drift.fidelity import MEASURES
from monitor.records import INPUT_MEASURES, ROLLOUT_MEASURES, STATISTICS
from monitor.records.statistic_names import PHRASES

PAGE = (Path(__file__).parents[2] / "docs" / "statistics.md").read_text(encoding="utf-8")


def test_every_statistic_of_a_head_stands_there_with_its_words():
    assert re.findall(r"^\| `(\w+)` \| ([^|`]+) \|", PAGE, re.MULTILINE) == [
        (name, PHRASES[name]) for name in STATISTICS
    ]


def test_every_measure_of_a_channel_stands_there():
    found = re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", PAGE, re.MULTILINE)
    assert found == [
        *(("rollout", name) for name in ROLLOUT_MEASURES),
        *(("input", name) for name in (*INPUT_MEASURES, "surprisal")),
        ("prediction", "top_probability"),
        ("prediction", "entropy"),
        ("prediction", "probability of LABEL"),
        *(("fidelity", name) for name in MEASURES),
    ]
