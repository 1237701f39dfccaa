"""The table of how far cheap attributions can be trusted is what the benchmark stored."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "analyses.md").read_text(encoding="utf-8")
STORED = json.loads((ROOT / "benchmarks" / "results" / "analyses.json").read_text(encoding="utf-8"))
TITLES = {
    "integrated_gradients": "Integrated Gradients",
    "relevance": "relevance",
    "rollout": "attention rollout",
    "gradient_times_input": "gradient × input",
    "random": "random",
}


@pytest.mark.parametrize("name", TITLES)
def test_each_method_stands_with_its_measured_figures(name: str) -> None:
    table = PAGE.split("<!-- agreement -->")[1].split("<!-- agreement: end -->")[0]
    row = next(line for line in table.splitlines() if line.startswith(f"| {TITLES[name]} |"))
    agreed, faithful = STORED["agreement_with_integrated_gradients"].get(name), STORED["faithfulness"][name]
    wanted = [
        "" if agreed is None else f"{agreed['spearman']:.2f}",
        "" if agreed is None else f"{agreed['overlap_at_5']:.2f}",
        f"{faithful['comprehensiveness']:.2f}",
        f"{faithful['sufficiency']:.2f}",
        f"{100 * faithful['top_3_flips']:.0f} %",
    ]
    assert [cell.strip() for cell in row.strip("|").split("|")][1:] == wanted


def test_the_memory_after_the_last_sample_is_what_was_measured() -> None:
    first, last = STORED["memory"][0], STORED["memory"][-1]
    assert last["samples"] == 10_000
    assert (
        f"{first['resident_mib']:.0f} MiB after 1,000 samples, {last['resident_mib']:.0f} MiB after" in PAGE
    )
