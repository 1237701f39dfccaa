"""Every family by a tiny random model: which tier serves, and is what it says what eager attention says."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from tests.families import FAMILIES, save_family
from tests.replay.family_table import DOCS, TOLERANCE, Seen, look_at, table_in, table_of

READ = [name for name, family in FAMILIES.items() if family.tier != "attribution only"]
LAYERS = {"t5": 6, "bart": 6}
# What no number of steps settles: a router's choice jumps along the path, and so does the output.
JUMPS = ("gpt_oss",)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Seen]:
    return cache(lambda name: look_at(name, save_family(name, tmp_path_factory.mktemp(name))))


@pytest.mark.parametrize("name", FAMILIES)
def test_the_tier_that_serves_is_found_by_trying(name: str, seen: Callable[[str], Seen]) -> None:
    assert seen(name).tier == FAMILIES[name].tier


@pytest.mark.parametrize("name", READ)
def test_every_layer_is_seen(name: str, seen: Callable[[str], Seen]) -> None:
    there = LAYERS.get(name, 3)
    assert (seen(name).layers, seen(name).layers_there) == (there, there)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_answers_are_those_of_the_plain_model(name: str, seen: Callable[[str], Seen]) -> None:
    assert seen(name).answer_gap < TOLERANCE


@pytest.mark.parametrize("name", FAMILIES)
def test_a_batch_answers_as_the_plain_model_does_for_each_row_alone(
    name: str, seen: Callable[[str], Seen]
) -> None:
    assert seen(name).alone_gap < TOLERANCE


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("name", READ)
def test_statistics_and_rollout_equal_numpy_on_eager_matrices(
    name: str, side: str, seen: Callable[[str], Seen]
) -> None:
    assert seen(name).profile_gap[side] < TOLERANCE
    assert seen(name).rollout_gap[side] < TOLERANCE


@pytest.mark.parametrize("name", [name for name in FAMILIES if name not in JUMPS])
def test_attributions_add_up_to_the_answer_less_that_of_the_baseline(
    name: str, seen: Callable[[str], Seen]
) -> None:
    assert seen(name).completeness_gap < 0.05


def test_the_table_in_the_docs_is_what_the_tests_see(seen: Callable[[str], Seen]) -> None:
    page = DOCS.read_text(encoding="utf-8")
    assert table_in(page) == table_of([seen(name) for name in FAMILIES]), (
        "run: python -m tests.replay.family_table"
    )
    assert page.count(table_in(page)) == 1
