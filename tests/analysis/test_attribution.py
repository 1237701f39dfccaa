"""Integrated Gradients: complete, converged, towards one fixed target."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients

from monitor.analysis.tokens.attribution import integrate
from monitor.reading.analyser import Analyser
from monitor.records import Sample

FAMILIES = ("bert", "roberta", "gpt2", "llama", "deberta", "encoder")
TEXTS = ("the cat sat on the mat, and the dog ran.", "a small dog", "it was unable to walk!")


def samples(texts: tuple[str, ...] = TEXTS) -> list[Sample]:
    return [Sample(id=text, time=0.0, text=text) for text in texts]


@pytest.mark.parametrize("family", FAMILIES)
def test_attributions_sum_to_the_difference_of_outputs(
    family: str, tiny_analyser: Callable[..., Analyser]
) -> None:
    for attribution in tiny_analyser(family).attribute(samples()):
        assert attribution.converged
        assert attribution.relative_delta <= 0.05
        assert len(attribution.values) == len(attribution.tokens) == len(attribution.rollout)
        assert sum(attribution.word_values) == pytest.approx(float(attribution.values.sum()), abs=1e-4)


def test_special_tokens_get_exactly_nothing(tiny_analyser: Callable[..., Analyser]) -> None:
    attribution = tiny_analyser("bert").attribute(samples())[0]
    assert attribution.values[0] == attribution.values[-1] == 0


@pytest.mark.parametrize("family", ["bert", "roberta", "llama"])
def test_a_batch_is_attributed_like_single_rows(family: str, tiny_analyser: Callable[..., Analyser]) -> None:
    analyser = tiny_analyser(family)
    for together, sample in zip(analyser.attribute(samples()), samples(), strict=True):
        (alone,) = analyser.attribute([sample])
        np.testing.assert_allclose(together.values, alone.values, atol=1e-4)
        assert together.steps == alone.steps


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_attributions_equal_captum_with_three_hundred_steps(
    family: str, tiny_analyser: Callable[..., Analyser]
) -> None:
    analyser = tiny_analyser(family)
    network = analyser.model.network
    tokenizer = analyser.model.tokenizer
    (attribution,) = analyser.attribute(samples()[:1])
    fields = tokenizer(TEXTS[0], return_tensors="pt")
    ids = fields["input_ids"]
    embedding = network.get_input_embeddings()
    special = torch.tensor([[int(i) in tokenizer.all_special_ids for i in ids[0]]])
    baseline = torch.where(special, ids, tokenizer.pad_token_id)

    def forward(embeddings: torch.Tensor) -> torch.Tensor:
        positions = torch.arange(ids.shape[1])[None] + (2 if family == "roberta" else 0)
        output = network(inputs_embeds=embeddings, position_ids=positions.expand(len(embeddings), -1))
        return output.logits[:, attribution.prediction.target]

    wanted = IntegratedGradients(forward).attribute(
        embedding(ids), baselines=embedding(baseline), n_steps=300, method="gausslegendre"
    )
    wanted = wanted.sum(-1)[0].detach().numpy()
    assert np.linalg.norm(attribution.values - wanted) <= 0.02 * np.linalg.norm(wanted)


def test_a_row_that_does_not_converge_is_flagged_and_the_others_take_fewer_steps() -> None:
    rough = torch.tensor([0.0, 400.0])

    def score(embeddings: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        flat = embeddings.sum(dim=(1, 2))
        return flat + torch.where(rough[rows] > 0, torch.sin(rough[rows] * flat), 0.0)

    embeddings = torch.tensor([[[0.3, 0.1]], [[0.71, 0.4]]])
    result = integrate(
        score, embeddings, torch.zeros_like(embeddings), tolerance=0.05, maximum_steps=100, rows_at_once=8
    )
    assert result.converged.tolist() == [True, False]
    assert result.steps.tolist() == [15, 63]
    assert result.values[0].sum().item() == pytest.approx(0.4)


def test_the_target_stays_the_same_where_the_class_changes_along_the_path(
    tiny_analyser: Callable[..., Analyser],
) -> None:
    analyser = tiny_analyser("bert", max_tokens=60)
    network, tokenizer = analyser.model.network, analyser.model.tokenizer
    ids = tokenizer(TEXTS[1], return_tensors="pt")["input_ids"]
    blank = ids.clone()
    blank[:, 1:-1] = tokenizer.pad_token_id
    with torch.no_grad():
        # with this bias the two ends of the path have opposite logits, so another class wins at each
        network.classifier.bias -= (network(ids).logits[0] + network(blank).logits[0]) / 2
        given, empty = network(ids).logits[0], network(blank).logits[0]
    assert given.argmax() != empty.argmax()
    (attribution,) = analyser.attribute(samples(TEXTS[1:2]))
    target = attribution.prediction.target
    assert target == int(given.argmax())
    assert float(attribution.values.sum()) == pytest.approx(float(given[target] - empty[target]), rel=0.05)


def test_attribution_stops_when_asked(tiny_analyser: Callable[..., Analyser]) -> None:
    assert tiny_analyser("bert").attribute(samples(), should_stop=lambda: True) == ()
