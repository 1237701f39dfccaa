"""Every number in the README's table of measurements is what a committed benchmark printed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def result(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())
    return loaded


def figure(part: str, **wanted: Any) -> dict[str, Any]:
    """The one row of a part of the detection benchmark that has these values."""
    rows = result("detection")["parts"][part]
    found = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    assert len(found) == 1, (part, wanted, len(found))
    return dict(found[0])


def ratio(variant: str, tokens: int) -> float:
    batches = result("profiling")["batches"]
    return next(float(x["cpu_ratio"]) for x in batches if (x["variant"], x["tokens"]) == (variant, tokens))


def row(start: str) -> str:
    return next(line for line in README.splitlines() if line.startswith(f"| {start}"))


def test_quiet_windows():
    quiet = figure("quiet", world="sentiment", false_alarms="1 per 100 windows")
    assert quiet["window"] == 200
    assert f"{quiet['alarms']} of {quiet['windows']:,}" in row("quiet windows")


@pytest.mark.parametrize(
    ("start", "scenario"),
    [
        ("a quarter of the texts", "imdb same style 25 %"),
        ("a tenth of them", "imdb same style 10 %"),
        ("a tenth of the texts headlines", "guardian same style 10 %"),
    ],
)
def test_delays(start: str, scenario: str):
    delay = figure("delays", world="sentiment", scenario=scenario)["median_delay"]
    assert f"found after {delay:g}" in row(start)


def test_peers_on_quiet_windows():
    methods = ("KS heads, BH .05", "MMD of embeddings, .05", "PSI > .2 of any head")
    shares = [figure("comparison", scenario="clean, iid", method=name)["share"] for name in methods]
    first, second, third = (f"{100 * share:.1f} %" for share in shares)
    assert f"{first}, {second} and {third}" in row("480 quiet windows judged")
    windows = {figure("comparison", scenario="clean, iid", method=name)["windows"] for name in methods}
    assert windows == {480}
    ours = figure("comparison", scenario="clean, iid", method="headwatch")
    assert (ours["windows"], ours["share"]) == (480, 0.0)


def test_peers_as_quiet_as_headwatch_find_no_domain_shift_of_a_tenth():
    told = row("KS of heads, and MMD, with thresholds")
    rows = result("detection")["parts"]["comparison"]
    for method in ("KS heads, matched rate", "MMD of embeddings, matched rate"):
        (found,) = [x for x in rows if (x["scenario"], x["method"]) == ("imdb 10 %", method)]
        assert found["median_delay"] is None
    assert figure("comparison", scenario="imdb 10 %", method="headwatch")["median_delay"] == 1
    assert "within 60 windows (headwatch: 1)" in told


def test_trigger_words_are_found_and_named_at_once():
    rows = [x for x in result("detection")["parts"]["delays"] if x["world"] == "sentiment"]
    words = [x for x in rows if x["group"] == "trigger" and x["scenario"].endswith(" 10 %")]
    assert len(words) == 5
    assert all(x["median_delay"] == 1 and x["word_named"] == x["baselines"] for x in words)


def test_costs():
    first, second, third = (f"{ratio('profile', tokens):.2f}" for tokens in (128, 512, 2048))
    assert f"{first} × CPU at 128 tokens, {second} × at 512, {third} × at 2,048" in row("profile")
    first, second, third = (f"{ratio('profile with gradient', tokens):.2f}" for tokens in (128, 512, 2048))
    assert f"{first} × at 128, {second} × at 512, {third} × at 2,048" in row("the same with the gradient")


def test_the_table_of_what_profiles_cost():
    text = (ROOT / "docs" / "cost.md").read_text(encoding="utf-8")
    batches = {(x["variant"], x["tokens"]): x for x in result("profiling")["batches"]}
    for tokens in (128, 512, 2048):
        own = batches["profile", tokens]
        assert f"| {tokens:,} | {own['cpu_ratio']:.2f} × | " in text
        assert f" | {batches['profile with gradient', tokens]['cpu_ratio']:.2f} × | " in text
        assert f" | {own['peak_mib']:.0f} MiB ({own['peak_ratio']:.2f} ×) | " in text
        graded = batches["profile with gradient", tokens]
        assert f" | {graded['peak_mib']:,.0f} MiB ({graded['peak_ratio']:.1f} ×) | " in text


def test_memory_and_attribution():
    peaks = {(x["variant"], x["tokens"]): x["peak_mib"] for x in result("profiling")["batches"]}
    variants = ("plain forward", "profile", "profile with gradient")
    for tokens in (128, 2048):
        first, second, third = (f"{peaks[name, tokens]:,.0f}" for name in variants)
        assert f"{first}, {second} and {third} MiB at {tokens:,}" in row("peak memory")
    attribution = result("attribution")
    found, told = attribution["integrated_gradients"], row("statistics, rollout")
    assert f"{attribution['recipe_over_headwatch']:.1f} × the texts per CPU second" in told
    assert f"{found['mean_gradient_evaluations']:.1f} gradients a text" in told
    within = round(found["share_within_2_percent"] * found["rows_against_reference"])
    assert f"{within} of {found['rows_against_reference']} within 2 %" in told


def test_cycle_and_ingest():
    cycle = result("cycle")["result"]
    assert f"{cycle['cycle_samples_per_second']:.0f} samples a second" in row("a whole cycle")
    ingest, told = result("ingest"), row("ingest over")
    full, steady = (ingest["result"][name] for name in ("full_beside_compute", "steady_beside_compute"))
    assert f"ingest over {ingest['connections']} connections" in told
    assert f"{full['requests_per_second']:,.0f} requests a second" in told
    assert f"99 % within {1000 * full['p99_seconds']:.1f} ms" in told
    assert f"at a steady {steady['requests_per_second']:.0f} a second" in told
    assert f"within {1000 * steady['p99_seconds']:.1f} ms |" in told
