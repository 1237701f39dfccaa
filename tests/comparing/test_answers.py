"""What is said of the answers is true of every task: values, many labels, tokens, spans, embeddings."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf

from monitor.commands.samples import load_analyser
from monitor.comparing.comparison import Comparison, compare
from monitor.comparing.page import page
from monitor.comparing.reading import ModelReading, read_model
from monitor.comparing.summary import sentences, to_json
from monitor.records import Sample
from tests.comparing.conftest import SAMPLES
from tests.models import spread, word_piece_tokenizer

TINY = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
        "intermediate_size": 48, "max_position_embeddings": 64}  # fmt: skip
PAIRED = [replace(sample, text_pair="the cat sat on a mat") for sample in SAMPLES[:8]]


def bert(head: type, **options: Any) -> Any:
    return head(hf.BertConfig(**TINY, **options))


def gpt2() -> Any:
    return hf.GPT2LMHeadModel(hf.GPT2Config(vocab_size=64, n_embd=32, n_layer=2, n_head=4))


MODELS: dict[str, tuple[Callable[[], Any], list[Sample]]] = {
    "value": (
        lambda: bert(hf.BertForSequenceClassification, num_labels=1, problem_type="regression"), SAMPLES
    ),
    "values": (
        lambda: bert(hf.BertForSequenceClassification, num_labels=3, problem_type="regression"), SAMPLES
    ),
    "labels": (
        lambda: bert(
            hf.BertForSequenceClassification, num_labels=5, problem_type="multi_label_classification"
        ),
        SAMPLES,
    ),
    "tokens": (lambda: bert(hf.BertForTokenClassification, num_labels=4), SAMPLES),
    "span": (lambda: bert(hf.BertForQuestionAnswering), PAIRED),
    "embedding": (lambda: bert(hf.BertModel), SAMPLES),
    "token": (gpt2, SAMPLES),
    "completion": (gpt2, PAIRED),
}  # fmt: skip


@pytest.fixture
def compared(tmp_path):
    """``compared(kind, change)``: the readings of a model and of a changed copy, and the comparison."""

    def call(kind: str, change: Callable[[Any], None]) -> tuple[ModelReading, ModelReading, Comparison]:
        build, samples = MODELS[kind]
        torch.manual_seed(1)
        network = spread(build().eval())
        readings = []
        for name, edit in (("model", None), ("candidate", change)):
            folder = tmp_path / name
            with torch.no_grad():
                _ = None if edit is None else edit(network)
            network.save_pretrained(folder)
            word_piece_tokenizer(decoder=kind in ("token", "completion")).save_pretrained(folder)
            analyser = load_analyser(str(folder), task="auto", max_tokens=None, threads=1)
            readings.append(read_model(analyser, samples)[0])
        return *readings, compare(*readings)

    return call


def grown(network: Any) -> None:
    network.classifier.weight.mul_(1.5)
    network.classifier.bias.add_(2.0)


def turned(network: Any) -> None:
    network.classifier.weight.neg_()


def test_a_regression_s_values_are_compared(compared):
    before, after, found = compared("value", grown)
    one, other = (np.array([p.values[0] for p in reading.predictions]) for reading in (before, after))
    np.testing.assert_allclose(other, 1.5 * one + 2.0, rtol=1e-3)
    said = found.predictions
    assert (said.kind, said.flips, said.decisions, said.known) == ("value", (), 0, len(SAMPLES))
    assert said.mean_change == pytest.approx(np.abs(other - one).mean())
    assert said.largest_change == pytest.approx(np.abs(other - one).max())
    assert said.spread == pytest.approx(one.std())
    assert found.answers_differ
    sentence = sentences(found)[-2]
    assert sentence.startswith("The value moved by ")
    assert "label" not in " ".join(sentences(found)) + page(found).replace("aria-label", "")
    assert "<dt>value moved</dt>" in page(found)
    assert to_json(found)["predictions"]["mean_change"] == said.mean_change


def test_of_several_values_the_one_that_moved_most_counts(compared):
    def last(network: Any) -> None:
        network.classifier.bias[2] += 0.25

    found = compared("values", last)[2]
    assert found.predictions.mean_change == pytest.approx(0.25, abs=1e-5)
    assert found.answers_differ


@pytest.mark.parametrize("kind", MODELS)
def test_the_same_checkpoint_answers_the_same(compared, kind):
    _, _, found = compared(kind, lambda _: None)
    assert not found.differs
    assert (found.predictions.changed, found.predictions.largest_change) == (0, 0.0)
    assert found.attributions is None or found.attributions.lowest == pytest.approx(1.0)
    json.dumps(to_json(found), allow_nan=False)


def test_every_label_of_many_is_a_decision_of_its_own(compared):
    def one(network: Any) -> None:
        network.classifier.weight[3].neg_()
        network.classifier.bias[3].neg_()

    before, after, found = compared("labels", one)
    first, second = (np.array([p.probabilities for p in reading.predictions]) for reading in (before, after))
    crossed = (first > 0.5) != (second > 0.5)
    said = found.predictions
    assert crossed[:, 3].any()
    assert (said.changed, said.decisions) == (int(crossed.sum()), first.size)
    assert [flip.id for flip in said.flips] == [SAMPLES[i].id for i in np.flatnonzero(crossed.any(axis=1))]
    assert said.largest_change == pytest.approx(np.abs(second - first).max())
    named = {label for flip in said.flips for label in (*flip.before.split(", "), *flip.after.split(", "))}
    assert named <= {*before.identity.labels, "none"}
    assert (
        f"{said.changed} of {first.size} labels crossed 0.5, in {len(said.flips)} of 24 samples; "
        in (sentences(found)[-2])
    )


def test_every_token_s_label_counts_where_the_commonest_stays(compared):
    before, after, found = compared("tokens", turned)
    said = found.predictions
    flipped = [
        sum(a != b for a, b in zip(one, other, strict=True))
        for one, other in zip(before.decisions, after.decisions, strict=True)
    ]
    # every token but [CLS] and [SEP]
    assert [len(one) for one in before.decisions] == [len(row) - 2 for row in before.rows]
    assert said.changed == sum(flipped) > 0
    assert said.decisions == sum(len(row) - 2 for row in before.rows)
    assert len(said.flips) == sum(count > 0 for count in flipped)
    assert [len(flip.before.split(", ")) for flip in said.flips] == [count for count in flipped if count]
    assert f"{said.changed} of {said.decisions} token labels flipped, in " in sentences(found)[-2]


def test_a_span_that_starts_elsewhere_is_another_answer(compared):
    def swapped(network: Any) -> None:
        network.qa_outputs.weight.neg_()

    before, after, found = compared("span", swapped)
    said = found.predictions
    same = [one == other for one, other in zip(before.decisions, after.decisions, strict=True)]
    assert (said.changed, said.known) == (same.count(False), same.count(True))
    assert f"{said.changed} of 8 answers changed" in sentences(found)[-2]


def test_an_embedding_is_compared_by_its_direction_and_length(compared):
    def longer(network: Any) -> None:
        network.encoder.layer[-1].output.LayerNorm.weight.mul_(1.25)
        network.encoder.layer[-1].output.LayerNorm.bias.mul_(1.25)

    _, _, found = compared("embedding", longer)
    assert found.moved == ()
    assert found.predictions.mean_change == pytest.approx(0.25, abs=1e-4)
    assert found.answers_differ
    assert sentences(found)[-2] == (
        "The embedding moved by 0.250 of its length on average, 0.250 of its length at most."
    )


def nudged(network: Any) -> None:
    torch.manual_seed(5)
    network.transformer.ln_f.bias.add_(torch.randn(32))


def test_a_next_token_s_probability_is_known_where_both_name_it(compared):
    before, after, found = compared("token", nudged)
    said = found.predictions
    same = [one == other for one, other in zip(before.decisions, after.decisions, strict=True)]
    assert (said.changed, said.known) == (same.count(False), same.count(True))
    assert f"{said.changed} of 24 next tokens changed" in sentences(found)[-2]


def test_a_served_completion_s_probability_is_known_whatever_the_model_would_say(compared):
    before, after, found = compared("completion", nudged)
    said = found.predictions
    moved = [
        abs(other.probability - one.probability)
        for one, other in zip(before.predictions, after.predictions, strict=True)
    ]
    assert (said.known, said.mean_change) == (8, pytest.approx(np.mean(moved)))
    assert said.decisions == sum(map(len, before.decisions)) > 8
    assert found.attributions.samples == 8
    assert "served tokens" in sentences(found)[-2]


def test_a_value_that_is_no_number_is_a_difference(compared):
    before, after, _ = compared("value", lambda _: None)
    broken = tuple(replace(said, values=(float("nan"),)) for said in after.predictions)
    found = compare(before, replace(after, predictions=broken))
    assert found.answers_differ
    assert "The value moved by no number" in " ".join(sentences(found))
    assert to_json(found)["predictions"]["mean_change"] is None
