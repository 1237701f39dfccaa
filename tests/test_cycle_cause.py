"""The cycle in one process, on real model files: what was done to them is what the verdict says."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import monitor.replay.model as loading
from monitor.records import Sample, Verdict
from tests.cycle_bench import LEARNING, WINDOW, WORDS, Bench, edit_weights

QUERY = "bert.encoder.layer.1.attention.self.query.weight"


@pytest.fixture
def bench(tmp_path: Path, tiny_classifier: Path) -> Iterator[Bench]:
    opened = Bench(tmp_path, Path(shutil.copytree(tiny_classifier, tmp_path / "model")))
    yield opened
    opened.store.close()


def next_verdict(bench: Bench, change: Callable[[list[str]], list[str]] = list, **fields: Any) -> Verdict:
    bench.send(change, **fields)
    bench.run()
    return bench.verdicts()[-1]


def damage_head(bench: Bench) -> None:
    """Head L1H1 of the two by two: the second half of the rows."""
    edit_weights(bench.model, QUERY, lambda tensor: tensor[16:].mul_(-30.0))


def reopen_under(bench: Bench, **model: Any) -> None:
    section = bench.config.model.model_copy(update=model)
    bench.config = bench.config.model_copy(update={"model": section})
    bench.reopen()


def test_the_damaged_head_is_named_by_the_hash_of_its_weights(bench: Bench) -> None:
    bench.learn()
    damage_head(bench)
    verdict = next_verdict(bench)
    assert (verdict.causes, verdict.severity) == (("model",), "page")
    assert [str(item.head) for item in verdict.channels["model"].heads if item.named] == ["L1H1"]
    assert "the model's weights changed (those of L1H1), not the data" in verdict.summary
    assert verdict.channels["model"].detail.endswith("sd under other weights (L1H1)")


def test_weights_outside_of_the_heads_accuse_no_head(bench: Bench) -> None:
    bench.learn()
    edit_weights(bench.model, "classifier.weight", lambda tensor: tensor.mul_(-5.0))
    verdict = next_verdict(bench)
    assert (verdict.causes, verdict.severity) == (("model",), "page")
    assert not any(item.named for item in verdict.channels["model"].heads)
    assert "the model's weights changed (those of classifier), not the data" in verdict.summary


def test_a_swapped_tokenizer_is_a_changed_model_and_suspected(bench: Bench) -> None:
    bench.learn()
    path = bench.model / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    vocabulary = content["model"]["vocab"]
    vocabulary["the"], vocabulary["and"] = vocabulary["and"], vocabulary["the"]
    partial = bench.model / "tokenizer.partial"
    partial.write_text(json.dumps(content), encoding="utf-8")
    partial.rename(path)
    (bench.model / "vocab.txt").unlink(missing_ok=True)
    verdict = next_verdict(bench)
    assert (verdict.causes, verdict.severity) == (("model",), "page")
    assert [item.name for item in verdict.suspicions] == ["tokenizer"]
    assert (
        "the model's tokenizer changed under the same weights, not the data; suspected: another tokenizer "
        "(the tokenizer's files are not those of the baseline)" in verdict.summary
    )


def test_special_tokens_in_the_text_are_suspected(bench: Bench) -> None:
    bench.learn()
    verdict = next_verdict(bench, lambda words: [*words, "[SEP]"])
    assert verdict.causes == ("data",)
    assert [(item.name, item.sign) for item in verdict.suspicions] == [
        ("special_tokens", "inputs with 3 special tokens instead of 2: 0 % -> 100 %")
    ]


def test_an_upgraded_library_that_changes_nothing_is_mentioned(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.learn()
    known = loading.version
    monkeypatch.setattr(loading, "version", lambda name: "9.9" if name == "torch" else known(name))
    bench.reopen()
    verdict = next_verdict(bench)
    assert (verdict.alarm, verdict.severity) == (False, None)
    assert verdict.upgrades == (f"torch {known('torch')} -> 9.9",)
    assert verdict.summary == (
        f"Nothing has changed but torch {known('torch')} -> 9.9: an upgrade without effect."
    )


def test_another_precision_is_an_upgrade_and_a_note(bench: Bench) -> None:
    strict = bench.config.drift.model_copy(update={"probe_threshold": 0.001})
    bench.config = bench.config.model_copy(update={"drift": strict})
    bench.reopen()
    bench.learn()
    reopen_under(bench, dtype="bfloat16")
    verdict = next_verdict(bench)
    assert (verdict.causes, verdict.severity) == (("environment",), "note")
    assert (
        "the weights are the same, so the cause is an upgrade (dtype float32 -> bfloat16) and no incident"
        in verdict.summary
    )


def test_a_lower_limit_of_tokens_is_a_setting_and_a_ticket(bench: Bench) -> None:
    bench.learn()
    reopen_under(bench, max_tokens=8)
    verdict = next_verdict(bench)
    assert verdict.causes == ("environment",)
    assert [(item.name, item.sign) for item in verdict.suspicions] == [("truncation", "most tokens 64 -> 8")]
    assert "so the cause is a setting (most tokens 64 -> 8)" in verdict.summary


def test_weights_that_change_during_a_declared_rollout_are_a_note(bench: Bench) -> None:
    for _ in range(LEARNING):
        bench.send(revision="v1")
        bench.run()
    damage_head(bench)
    half = [
        Sample(
            id=f"c{index}",
            time=bench.now,
            text=" ".join(bench.draw.choices(WORDS, k=8)),
            revision=f"v{1 + index % 2}",
        )
        for index in range(WINDOW)
    ]
    bench.store.ingest(half)
    bench.run()
    verdict = bench.verdicts()[-1]
    assert (verdict.causes, verdict.severity, verdict.declared) == (("model",), "note", True)
    assert "not the data (a declared change)" in verdict.summary


def test_data_that_drift_under_a_changed_model_are_told_too(bench: Bench) -> None:
    bench.learn()
    damage_head(bench)
    assert next_verdict(bench).causes == ("model",)
    for _ in range(3):
        verdict = next_verdict(bench, lambda words: ["zebra", *words, "quartz"])
    assert verdict.causes == ("model", "data")
