"""``headwatch check`` on models of every tier: what serves, what is seen, and why no earlier tier does."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from monitor.cli import main
from monitor.errors import InputError
from monitor.ingest.jsonl import read_samples
from monitor.replay.images import self_test_images
from monitor.replay.model import load_model
from monitor.replay.settings import ModelSettings
from monitor.sidecar.rehearsal import inputs_of
from tests.families import save_family


@pytest.fixture
def check(tmp_path: Path, capsys: Any, monkeypatch: Any) -> Callable[..., str]:
    """``check("t5", "--json")``: what the command prints for the tiny model of a family."""

    def run(name: str, *options: str) -> str:
        folder = save_family(name, tmp_path / name)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("COLUMNS", "200")
        Path("headwatch.yaml").write_text(f"model:\n  source: {folder}\n", encoding="utf-8")
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main(["check", "-c", "headwatch.yaml", *options])
        assert left.value.code == 0
        return str(capsys.readouterr().out)

    return run


def test_the_tier_that_serves_stands_with_why_the_one_before_may_not(check: Callable[..., str]) -> None:
    lines = check("gemma2").splitlines()
    place = next(i for i, line in enumerate(lines) if "attention tap" in line)
    assert lines[place : place + 2] == [
        (
            "  ok  attention tap     self-test against eager attention passed: tier 'module eager', "
            "3 of 3 layers x 4 heads, 9 statistics"
        ),
        "  --  tier 'tap': the forward pass fails (ValueError: SDPA has no softcap)",
    ]


def test_the_layers_of_each_stack_are_counted(check: Callable[..., str]) -> None:
    assert "6 of 6 layers (2 encoder, 2 decoder, 2 cross) x 4 heads, 10 statistics" in check("t5")


def test_a_model_whose_attention_cannot_be_read_is_watched_on_the_other_channels(
    check: Callable[..., str],
) -> None:
    out = check("longformer")
    for said in (
        "  ok  attention tap     tier 'attribution only': 0 of 3 layers can be read; no heads, no rollout",
        "  --  tier 'all matrices': eager attention gives no weights of queries over keys",
        "  ok  attribution       Integrated Gradients converged",
        "  heads             none: the model's attention cannot be read; all other channels are watched",
        "  channels          tokens, prediction, input, fidelity, model",
    ):
        assert said in out


def test_a_model_of_images_goes_through_every_stage(check: Callable[..., str]) -> None:
    report = json.loads(check("vit", "--json"))
    watched = report["watched"]
    assert (watched["task"], watched["tier"], watched["layers"], watched["layers_there"]) == (
        "image-classification", "tap", 3, 3,
    )  # fmt: skip
    assert [one["stage"] for one in report["stages"]][-5:] == [
        "replay, analysis", "attribution", "probe", "detector", "metrics",
    ]  # fmt: skip


def test_the_refused_tiers_stand_in_the_json(check: Callable[..., str]) -> None:
    report = json.loads(check("deberta", "--json"))
    reason = "the model does not use transformers' attention interface"
    assert report["watched"]["tiers_refused"] == {"tap": reason, "module eager": reason}


def test_a_log_of_images_or_of_pairs_is_what_the_costs_are_taken_from(
    check: Callable[..., str], tmp_path: Path
) -> None:
    images = tmp_path / "images.jsonl"
    pictures = [base64.b64encode(picture).decode() for picture in self_test_images()]
    images.write_text("".join(json.dumps({"image": picture}) + "\n" for picture in pictures))
    assert json.loads(check("vit", "--json", "--input", str(images)))["watched"]["layers"] == 3
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text(json.dumps({"text": "the cat sat", "text_pair": "the dog ran"}) + "\n")
    given = read_samples(pairs)[0]
    model = load_model(ModelSettings(source=str(save_family("t5", tmp_path / "t5"))))
    assert inputs_of(model, given) == [{"text": "the cat sat", "text_pair": "the dog ran"}]
    with pytest.raises(InputError) as error:
        inputs_of(model, read_samples(images)[0])
    assert str(error.value) == "--input: holds images, and this model reads text; give lines with a 'text'"
