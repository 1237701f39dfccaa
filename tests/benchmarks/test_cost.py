"""The cost benchmarks: what they count is right, and a small run of each works."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.attribution.bench import make_analyser, samples
from benchmarks.attribution.recipe import Recipe
from benchmarks.profiling.growth import draw_growth, over_samples, sweep
from benchmarks.profiling.padding import waste
from monitor.replay.batches import PADDING_SHARE, SMALL_TOKENS, plan_batches

TEXT = "a fine and moving film"


@given(lengths=st.lists(st.integers(1, 512), min_size=1, max_size=200))
def test_no_planned_batch_wastes_more_than_its_share_unless_it_is_tiny(lengths: list[int]) -> None:
    plan = plan_batches(lengths, 1024)
    assert sorted(row for batch in plan for row in batch) == list(range(len(lengths)))
    for batch in plan:
        computed = len(batch) * max(lengths[row] for row in batch)
        padding = 1 - sum(lengths[row] for row in batch) / computed
        assert len(batch) == 1 or computed <= 1024
        assert padding <= PADDING_SHARE + 1e-9 or computed <= SMALL_TOKENS


def test_padding_waste_is_counted_in_tokens() -> None:
    # sorted: [2, 2] and [200, 200]; as they came: [2, 200] and [2, 200]
    found = waste([2, 200, 2, 200], token_budget=400)
    assert (found["batches"], found["padding_share"], found["padding_share_unsorted"]) == (2, 0.0, 0.495)


def test_growth_is_measured_and_drawn(tmp_path: Path) -> None:
    result = {"samples": over_samples(40, 20), "sweeps": list(sweep("heads", (4,), 1))}
    assert [point["samples"] for point in result["samples"]] == [20, 40]
    assert all(point["resident_mib"] > 0 and point["cpu_seconds"] > 0 for point in result["samples"])
    assert result["sweeps"][0]["plain_cpu_seconds"] > 0
    draw_growth(result, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 10_000


@pytest.fixture(scope="module")
def recipe(sentiment_model: Path) -> Recipe:
    return Recipe(sentiment_model)


def test_the_recipe_and_headwatch_say_the_same_of_the_same_text(
    recipe: Recipe, sentiment_model: Path
) -> None:
    (ours,) = make_analyser(sentiment_model).attribute(samples([TEXT]))
    theirs = recipe.attribution(TEXT, steps=64)
    assert np.linalg.norm(ours.values - theirs) <= 0.02 * np.linalg.norm(theirs)
    _, rollout = recipe.heads(TEXT)
    np.testing.assert_allclose(ours.rollout, rollout, atol=1e-5)
