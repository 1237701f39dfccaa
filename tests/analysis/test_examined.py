"""Examined attributions and head surveys of tiny models, against transformers' own eager attention."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon

from monitor.analysis.heads.survey import HeadSurvey
from monitor.analysis.settings import AnalysisSettings, ScheduledSettings
from monitor.analysis.tokens.faithfulness import ranking
from monitor.reading.analyser import Analyser
from monitor.reading.examined import RANKED
from monitor.records import Sample
from tests.analysis.test_flow import flow_by_networkx

EVERYTHING = ScheduledSettings(**dict.fromkeys(ScheduledSettings.model_fields, True))
NOTHING = ScheduledSettings(**dict.fromkeys(ScheduledSettings.model_fields, False))
TEXTS = ("the cat sat on the mat, and the dog ran.", "a small dog", "it was unable to walk!")
TINY = Callable[..., Analyser]


def samples(texts: tuple[str, ...] = TEXTS) -> list[Sample]:
    return [Sample(id=text, time=0.0, text=text) for text in texts]


def with_everything(analyser: Analyser, **options: Any) -> Analyser:
    return Analyser(analyser.model, AnalysisSettings(scheduled=EVERYTHING, **options))


def eager(analyser: Analyser, family: str, text: str) -> tuple[Any, dict[str, torch.Tensor]]:
    """The same weights with transformers' eager attention, and the call for one text."""
    network = analyser.model.network
    copy = type(network)(deepcopy(network.config))
    copy.load_state_dict(network.state_dict())
    copy.set_attn_implementation("eager")
    return copy.eval(), dict(analyser.model.tokenizer(text, return_tensors="pt"))


def readout(family: str, tokens: int) -> int:
    return tokens - 1 if family in ("gpt2", "llama", "mistral") else 0


@pytest.mark.parametrize("family", ["bert", "llama", "mistral", "deberta"])
def test_relevance_and_flow_equal_those_of_eager_matrices_and_their_gradients(
    family: str, tiny_analyser: TINY
) -> None:
    analyser = with_everything(tiny_analyser(family))
    for attribution in analyser.attribute(samples()):
        network, call = eager(analyser, family, attribution.id)
        output = network(**call, output_attentions=True)
        for matrix in output.attentions:
            matrix.retain_grad()
        logits = output.logits[0] if output.logits.ndim == 2 else output.logits[0, -1]
        logits[attribution.prediction.target].backward()
        n = len(attribution.tokens)
        whole = torch.eye(n)
        weighted = torch.zeros(n, n)
        for matrix in output.attentions:
            weighted = (matrix.grad[0] * matrix[0].detach()).clamp_min(0).mean(dim=0)
            whole = whole + weighted @ whole
        row = readout(family, n)
        others = attribution.others
        np.testing.assert_allclose(others["relevance"], whole[row].numpy(), atol=2e-5, rtol=1e-3)
        np.testing.assert_allclose(
            others["gradient_times_attention"], weighted[row].numpy(), atol=2e-5, rtol=1e-3
        )
        means = [matrix[0].detach().double().mean(dim=0).numpy() for matrix in output.attentions]
        np.testing.assert_allclose(others["attention_flow"], flow_by_networkx(means, row), atol=1e-4)


def test_gradient_times_input_equals_autograd_and_its_agreement_is_with_integrated_gradients(
    tiny_analyser: TINY,
) -> None:
    analyser = with_everything(tiny_analyser("bert"))
    attribution = analyser.attribute(samples()[:1])[0]
    network, call = eager(analyser, "bert", TEXTS[0])
    embeddings = network.get_input_embeddings()(call.pop("input_ids")).detach().requires_grad_()
    network(inputs_embeds=embeddings, **call).logits[0, attribution.prediction.target].backward()
    assert embeddings.grad is not None
    wanted = (embeddings.grad * embeddings.detach()).sum(-1)[0].numpy()
    given = attribution.others["gradient_times_input"]
    np.testing.assert_allclose(given, wanted, atol=1e-5)
    ranks = [np.abs(values[1:-1]).argsort().argsort() for values in (attribution.values, wanted)]
    agreed = attribution.agreements["gradient_times_input"]
    assert agreed.spearman == pytest.approx(np.corrcoef(*ranks)[0, 1])
    tops = [set(np.argsort(-np.abs(values[1:-1]))[:5]) for values in (attribution.values, wanted)]
    assert agreed.overlap_at_5 == len(tops[0] & tops[1]) / 5
    assert attribution.agreements["rollout"].spearman == pytest.approx(attribution.spearman)


@pytest.mark.parametrize("family", ["bert", "llama"])
def test_faithfulness_equals_transformers_on_the_text_with_tokens_masked(
    family: str, tiny_analyser: TINY
) -> None:
    analyser = with_everything(tiny_analyser(family))
    attribution = analyser.attribute(samples()[:1])[0]
    network, call = eager(analyser, family, TEXTS[0])
    n = len(attribution.tokens)
    content = list(range(1, n - 1)) if family == "bert" else list(range(1, n))
    target = attribution.prediction.target

    def m(kept: set[int]) -> float:
        mask = torch.tensor([[int(place in kept) for place in range(n)]])
        with torch.no_grad():
            logits = network(**{**call, "attention_mask": mask}).logits[0]
        logits = logits if logits.ndim == 1 else logits[max(kept)]
        return float(logits.double().softmax(-1)[target])

    for name, values in {**attribution.others, "integrated_gradients": attribution.values}.items():
        if name not in attribution.faithfulness:
            continue
        order = ranking(values, content)
        everything, special = set(range(n)), set(range(n)) - set(content)
        sizes = [int(np.ceil(share * len(order))) for share in (0.01, 0.05, 0.1, 0.2, 0.5)]
        found = attribution.faithfulness[name]
        assert found.comprehensiveness == pytest.approx(
            np.mean([m(everything) - m(everything - set(order[:k])) for k in sizes]), abs=1e-5
        )
        assert found.sufficiency == pytest.approx(
            np.mean([m(everything) - m(special | set(order[:k])) for k in sizes]), abs=1e-5
        )
        assert [item.tokens for item in found.removals] == [1, 3, 5]
        assert found.removals[1].drop == pytest.approx(
            m(everything) - m(everything - set(order[:3])), abs=1e-5
        )
    assert set(attribution.faithfulness) == {*RANKED}


def test_a_watch_list_is_cut_as_the_texts_are_and_matches_whole_words(tiny_analyser: TINY) -> None:
    analyser = with_everything(
        tiny_analyser("bert"), watch_lists={"pets": ("Small DOG",), "able": ("unable",), "part": ("able",)}
    )
    dog, walk = (item.shares for item in analyser.attribute(samples()[1:]))
    attribution = analyser.attribute(samples()[1:2])[0]
    size = np.abs(attribution.word_values)
    assert attribution.words == ("a", "small", "dog")
    assert dog["watched/pets"] == pytest.approx(size[1:].sum() / size.sum())
    assert "watched/able" not in dog
    assert 0 < walk["watched/able"] < 1
    assert "watched/part" not in walk
    given = np.abs(attribution.others["gradient_times_input"])
    assert dog["special"] == pytest.approx((given[0] + given[-1]) / given.sum(), rel=1e-5)


@pytest.mark.parametrize("family", ["bert", "llama"])
def test_a_batch_is_examined_like_single_rows(family: str, tiny_analyser: TINY) -> None:
    analyser = with_everything(tiny_analyser(family))
    for together, sample in zip(analyser.attribute(samples()), samples(), strict=True):
        (alone,) = analyser.attribute([sample])
        assert set(together.others) == set(alone.others)
        for name, values in together.others.items():
            np.testing.assert_allclose(values, alone.others[name], atol=1e-4, err_msg=name)
        for name, one in together.faithfulness.items():
            other = alone.faithfulness[name]
            assert one.comprehensiveness == pytest.approx(other.comprehensiveness, abs=1e-4)
            assert one.sufficiency == pytest.approx(other.sufficiency, abs=1e-4)


def test_what_is_off_is_not_there(tiny_analyser: TINY) -> None:
    analyser = Analyser(tiny_analyser("bert").model, AnalysisSettings(scheduled=NOTHING))
    survey = HeadSurvey(NOTHING)
    (attribution,) = analyser.attribute(samples()[:1], survey=survey)
    assert (attribution.others, attribution.faithfulness, attribution.shares) == ({}, {}, {})
    assert set(attribution.agreements) == {"rollout"}
    assert survey.metrics() == {}
    assert survey.to_json() == {"samples": 1}


def test_a_survey_of_batches_equals_eager_matrices_text_by_text(tiny_analyser: TINY) -> None:
    analyser = tiny_analyser("bert")
    survey = HeadSurvey(EVERYTHING)
    profiled = analyser.profile(samples(), gradient=True, survey=survey).analyses
    plain = analyser.profile(samples(), gradient=True).analyses
    for one, other in zip(profiled, plain, strict=True):
        np.testing.assert_array_equal(one.profile, other.profile)
    following, distances, moved = [], [], []
    for text in TEXTS:
        network, call = eager(analyser, "bert", text)
        values: list[torch.Tensor] = []
        keep = lambda _m, _i, out, kept=values: kept.append(out)
        handles = [
            layer.attention.self.value.register_forward_hook(keep) for layer in network.bert.encoder.layer
        ]
        with torch.no_grad():
            matrices = network(**call, output_attentions=True).attentions
        for handle in handles:
            handle.remove()
        heads = torch.stack([matrix[0] for matrix in matrices]).double().numpy()
        queries = range(1, heads.shape[2] - 1)
        following.append(np.mean([heads[:, :, i, i + 1] for i in queries], axis=0))
        kept = np.linspace(0, len(queries) - 1, min(8, len(queries))).round().astype(int) + 1
        flat = heads.reshape(12, *heads.shape[2:])
        distances.append(
            [[np.mean([jensenshannon(a[i], b[i], base=2) ** 2 for i in kept]) for b in flat] for a in flat]
        )
        norms = []
        for layer, value in zip(network.bert.encoder.layer, values, strict=True):
            weight = layer.attention.output.dense.weight.detach().T.unflatten(0, (4, -1))
            norms.append(
                torch.einsum("khd,hdo->hko", value[0].unflatten(-1, (4, -1)), weight).norm(dim=-1).numpy()
            )
        sizes = heads * np.stack(norms)[:, :, None]
        shares = sizes / sizes.sum(axis=-1, keepdims=True)
        moved.append(np.mean([shares[:, :, i, 0] for i in queries], axis=0))
    assert survey.roles is not None and survey.distances is not None and survey.norm_weighted is not None
    np.testing.assert_allclose(survey.roles.of("next"), np.mean(following, axis=0), atol=1e-5)
    np.testing.assert_allclose(survey.distances.mean, np.nan_to_num(np.mean(distances, axis=0)), atol=1e-4)
    np.testing.assert_allclose(survey.norm_weighted.of("first"), np.mean(moved, axis=0), atol=1e-5)
    importance = np.mean([item.head_importance for item in plain], axis=0)
    assert survey.importance is not None
    np.testing.assert_allclose(survey.importance.of("importance"), importance, rtol=1e-4)
    assert survey.samples == 3


def test_a_model_outside_the_interface_lacks_what_needs_values_and_has_the_rest(tiny_analyser: TINY) -> None:
    analyser = tiny_analyser("deberta")
    assert analyser.model.tier != "tap"
    survey = HeadSurvey(EVERYTHING)
    analyser.profile(samples(), survey=survey)
    assert survey.norm_weighted is None
    assert survey.roles is not None and survey.sinks is not None and survey.distances is not None
    document = survey.to_json()
    assert "norm_weighted" not in document
    assert len(document["leading_roles"]) == 3
    assert len(document["clusters"]) == 12
