"""The comparison's stored results hold what the issue asks for, and the page quotes them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from benchmarks.compare.bench import run_command
from benchmarks.compare.checkpoints import DRAWS, made, rounded
from benchmarks.compare.table import tables
from benchmarks.detection.faults import DAMAGES, ZEROED
from tests.models import save_tiny

ROOT = Path(__file__).parents[2]
RESULT = json.loads((ROOT / "benchmarks" / "results" / "compare.json").read_text(encoding="utf-8"))
PAGE = (ROOT / "docs" / "compare.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("damage", ["output_zeroed", *ZEROED])
def test_each_of_the_72_zeroed_heads_is_named_alone_and_fails(damage):
    rows = [row for row in RESULT["damaged"] if row["damage"] == damage]
    assert {row["head"] for row in rows} == {f"L{layer}H{head}" for layer in range(6) for head in range(12)}
    assert all(row["named"] == [row["head"]] for row in rows)
    assert all(row["by_behaviour"] == row["head"] for row in rows)
    assert all(row["fails"]["any"] and row.get("exit_code", 3) == 3 for row in rows)
    assert all(row["fails"]["important"] == row["important"] for row in rows)


def test_the_same_files_give_nothing():
    same = next(row for row in RESULT["rounded"] if row["checkpoint"] == "the same files")
    assert (same["exit_code"], same["differs"], same["largest"], same["heads_moved"]) == (0, False, 0.0, 0)


def test_a_cast_moves_no_head_and_random_rounding_fewer_than_one_in_five_hundred():
    rows = {row["checkpoint"]: row for row in RESULT["rounded"] if row["checkpoint"] != "the same files"}
    assert {row["exit_code"] for row in rows.values()} == {3}
    assert (rows.pop("cast to bfloat16")["heads_moved"], rows.pop("cast to float16")["heads_moved"]) == (0, 0)
    assert len(rows) == len(DRAWS)
    moved = sum(row["heads_moved"] for row in rows.values())
    assert moved / (72 * len(rows)) < 1 / 500
    heads = "no head" if moved == 0 else "one head" if moved == 1 else f"{moved} heads"
    assert f"moved {heads} of {72 * len(rows)}" in PAGE.replace("\n", " ")


def test_the_page_quotes_the_stored_tables():
    quoted = PAGE.split("<!-- figures -->")[1].split("<!-- /figures -->")[0].strip()
    assert quoted == tables(RESULT).strip()
    assert f"{RESULT['samples']} sentences" in PAGE
    draws = [row for row in RESULT["rounded"] if row["checkpoint"].startswith("random rounding")]
    assert f"to {max(row['nearest_to_limit'] for row in draws):.2f} of its limit" in PAGE.replace("\n", " ")


@pytest.mark.parametrize("name", rounded())
def test_a_rounded_checkpoint_is_off_by_no_more_than_its_rounding(tmp_path, name):
    folder = save_tiny("bert", tmp_path / "model")
    before = load_file(folder / "model.safetensors")
    with made(folder, rounded()[name]) as copy:
        after = load_file(copy / "model.safetensors")
    # half a unit of the last of 11 or of 8 significant bits, at most this share of the weight
    share = 2.0**-11 if name == "cast to float16" else 2.0**-8
    for key, tensor in before.items():
        assert bool(((after[key] - tensor).abs() <= share * tensor.abs() + 1e-7).all()), key
    assert all(torch.equal(after[key], before[key]) for key in before) == (name == "the same files")
    assert not copy.exists()


def test_the_command_is_run_as_it_stands_and_its_failure_is_told(tmp_path):
    folder = save_tiny("bert", tmp_path / "model")
    source = tmp_path / "texts.jsonl"
    source.write_text('{"text": "the cat sat"}\n{"text": "a small dog ran"}\n')
    code, found = run_command(folder, folder, source)
    assert (code, found["differs"]) == (0, False)
    with pytest.raises(SystemExit, match=r"headwatch: --candidate = .*none: is no directory"):
        run_command(folder, tmp_path / "none", source)


def test_the_damages_tried_are_those_of_the_detection_benchmark_and_the_zeroed_parts():
    assert {row["damage"] for row in RESULT["damaged"]} == {*DAMAGES, *ZEROED}
