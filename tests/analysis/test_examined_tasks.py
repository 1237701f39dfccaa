"""What is examined of answers that are read elsewhere than at one position, against transformers alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf

from monitor.analysis.heads.survey import HeadSurvey
from monitor.analysis.settings import AnalysisSettings, ScheduledSettings
from monitor.analysis.tokens.faithfulness import ranking
from monitor.reading.analyser import Analyser
from monitor.records import Attribution, Sample
from monitor.replay.model import load_model
from monitor.replay.settings import ModelSettings
from tests.models import spread, word_piece_tokenizer

TEXT, CONTEXT = "The cat sat on the mat, and the dog ran.", "It was unable to walk; but it ran."
SIZES = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48,
         "vocab_size": 64, "max_position_embeddings": 64}  # fmt: skip
EVERYTHING = ScheduledSettings(**dict.fromkeys(ScheduledSettings.model_fields, True))
Score = Callable[[Any], torch.Tensor]


def saved(build: Callable[[], Any], folder: Path, **options: Any) -> Analyser:
    torch.manual_seed(0)
    spread(build(), 3.0).save_pretrained(folder)
    word_piece_tokenizer(**options).save_pretrained(folder)
    model = load_model(ModelSettings(source=str(folder)))
    return Analyser(model, AnalysisSettings(scheduled=EVERYTHING))


def explained(analyser: Analyser, **fields: Any) -> Attribution:
    return analyser.attribute([Sample(id="s", time=0.0, **fields)])[0]


def relevance_of(network: Any, modules: str, call: dict[str, Any], score: Score) -> np.ndarray:
    """Rules 5 and 6 with whole matrices, read where the last layer's gradient is, by its norm."""
    contexts: list[torch.Tensor] = []

    def keep(_: Any, given: Any) -> None:
        given[0].retain_grad()
        contexts.append(given[0])

    named = dict(network.named_modules())
    handles = [named[modules.format(layer)].register_forward_pre_hook(keep) for layer in range(3)]
    output = network(**call, output_attentions=True)
    for matrix in output.attentions:
        matrix.retain_grad()
    score(output).backward()
    for handle in handles:
        handle.remove()
    n = call["input_ids"].shape[1]
    whole = torch.eye(n)
    for matrix in output.attentions:
        whole = whole + (matrix.grad[0] * matrix[0].detach()).clamp_min(0).mean(dim=0) @ whole
    assert contexts[-1].grad is not None
    read = contexts[-1].grad[0].norm(dim=-1)
    return ((read / read.sum()) @ whole).detach().numpy()


@pytest.fixture
def answerer(tmp_path: Path) -> Analyser:
    return saved(lambda: hf.BertForQuestionAnswering(hf.BertConfig(**SIZES)), tmp_path)


@pytest.fixture
def labeller(tmp_path: Path) -> Analyser:
    return saved(lambda: hf.BertForTokenClassification(hf.BertConfig(num_labels=3, **SIZES)), tmp_path)


@pytest.fixture
def decoder(tmp_path: Path) -> Analyser:
    config = hf.GPT2Config(vocab_size=64, n_embd=32, n_layer=3, n_head=4)
    return saved(lambda: hf.GPT2LMHeadModel(config), tmp_path, decoder=True)


def eager(analyser: Analyser, kind: Any, folder: Path) -> Any:
    return kind.from_pretrained(str(folder), attn_implementation="eager").eval()


BERT = "bert.encoder.layer.{}.attention.output.dense"


def test_relevance_of_a_span_starts_at_its_ends(answerer: Analyser, tmp_path: Path) -> None:
    network = eager(answerer, hf.BertForQuestionAnswering, tmp_path)
    call = dict(word_piece_tokenizer()(TEXT, CONTEXT, return_tensors="pt"))
    found = explained(answerer, text=TEXT, text_pair=CONTEXT)
    start = found.prediction.target
    with torch.no_grad():
        ends = network(**call).end_logits[0]
    end = max(range(start, min(len(ends) - 1, start + 30)), key=lambda place: float(ends[place]))

    def score(output: Any) -> torch.Tensor:
        return output.start_logits[0, start] + output.end_logits[0, end]

    wanted = relevance_of(network, BERT, call, score)
    np.testing.assert_allclose(found.others["relevance"], wanted, atol=2e-5, rtol=1e-3)
    assert (found.others["gradient_times_attention"] > 0).any()


def test_relevance_of_labels_starts_at_the_tokens_that_are_labelled(
    labeller: Analyser, tmp_path: Path
) -> None:
    network = eager(labeller, hf.BertForTokenClassification, tmp_path)
    call = dict(word_piece_tokenizer()(TEXT, return_tensors="pt"))
    labels = network(**call).logits[0, 1:-1].argmax(-1)

    def score(output: Any) -> torch.Tensor:
        return output.logits[0, 1:-1].gather(1, labels[:, None]).mean()

    wanted = relevance_of(network, BERT, call, score)
    found = explained(labeller, text=TEXT).others["relevance"]
    np.testing.assert_allclose(found, wanted, atol=2e-5, rtol=1e-3)


def test_relevance_of_a_served_completion_starts_before_its_tokens(decoder: Analyser, tmp_path: Path) -> None:
    network = eager(decoder, hf.GPT2LMHeadModel, tmp_path)
    tokenizer = word_piece_tokenizer(decoder=True)
    prompt, served = (tokenizer(text)["input_ids"] for text in (TEXT, "the dog ran slowly."))
    call = {"input_ids": torch.tensor([prompt + served])}

    def score(output: Any) -> torch.Tensor:
        logs = output.logits[0].log_softmax(-1)[len(prompt) - 1 : -1]
        return logs.gather(1, torch.tensor(served)[:, None]).mean()

    wanted = relevance_of(network, "transformer.h.{}.attn.c_proj", call, score)
    found = explained(decoder, text=TEXT, text_pair="the dog ran slowly.")
    np.testing.assert_allclose(found.others["relevance"], wanted, atol=2e-5, rtol=1e-3)
    # what was served is no special token
    assert found.shares["special"] == 0


def test_a_label_is_lost_with_its_token_even_where_no_token_looks_at_another(tmp_path: Path) -> None:
    analyser = saved(lambda: hf.BertForTokenClassification(hf.BertConfig(num_labels=3, **SIZES)), tmp_path)
    network = analyser.model.network
    with torch.no_grad():
        for layer in network.bert.encoder.layer:
            layer.attention.output.dense.weight.zero_()
    found = explained(analyser, text=TEXT)
    call = dict(word_piece_tokenizer()(TEXT, return_tensors="pt"))
    n = len(found.tokens)
    content = list(range(1, n - 1))
    embed = network.get_input_embeddings()
    with torch.no_grad():
        labels = network(**call).logits[0, 1:-1].argmax(-1)

        def support(kept: set[int]) -> float:
            given = embed(call["input_ids"]).clone()
            given[0, [p for p in content if p not in kept]] = embed(torch.tensor(analyser.model.padding_id))
            logits = network(inputs_embeds=given).logits[0, 1:-1].double()
            return float(logits.softmax(-1).gather(1, labels[:, None]).mean())

        order = ranking(found.values, content)
        sizes = [int(np.ceil(share * len(order))) for share in (0.01, 0.05, 0.1, 0.2, 0.5)]
        whole = support(set(content))
        wanted = np.mean([whole - support(set(content) - set(order[:k])) for k in sizes])
    measured = found.faithfulness["integrated_gradients"]
    assert measured.comprehensiveness == pytest.approx(wanted, abs=1e-5)
    assert measured.comprehensiveness > 1e-3


def test_what_speaks_for_a_negative_value_is_what_makes_it_negative(tmp_path: Path) -> None:
    config = hf.BertConfig(problem_type="regression", num_labels=1, **SIZES)
    analyser = saved(lambda: hf.BertForSequenceClassification(config), tmp_path)
    network = analyser.model.network
    before = explained(analyser, text=TEXT)
    with torch.no_grad():
        network.classifier.weight.mul_(-1)
        network.classifier.bias.mul_(-1)
    after = explained(analyser, text=TEXT)
    assert after.prediction.values[0] == pytest.approx(-before.prediction.values[0], abs=1e-5)
    for name in ("integrated_gradients", "gradient_times_input", "rollout"):
        one, other = before.faithfulness[name], after.faithfulness[name]
        assert one.comprehensiveness == pytest.approx(other.comprehensiveness, abs=1e-4), name
        assert one.sufficiency == pytest.approx(other.sufficiency, abs=1e-4), name


def test_a_sample_that_gives_nan_leaves_no_trace_in_the_survey(tmp_path: Path) -> None:
    analyser = saved(lambda: hf.BertForSequenceClassification(hf.BertConfig(**SIZES)), tmp_path)
    samples = [Sample(id=text, time=0.0, text=text) for text in ("the dog ran", "a cat sat", "on the mat!")]
    clean = HeadSurvey(EVERYTHING)
    analyser.profile(samples[:2], gradient=True, survey=clean)
    token = word_piece_tokenizer()("!", add_special_tokens=False)["input_ids"][0]
    with torch.no_grad():
        analyser.model.network.get_input_embeddings().weight[token] = torch.nan
    survey = HeadSurvey(EVERYTHING)
    analysed = analyser.profile(samples, gradient=True, survey=survey)
    assert [sample for sample, _ in analysed.refused] == ["on the mat!"]
    assert survey.samples == clean.samples == 2
    assert survey.distances is not None
    assert clean.distances is not None
    np.testing.assert_allclose(survey.distances.mean, clean.distances.mean, atol=1e-5)
    for name in ("roles", "sinks", "norm_weighted", "importance"):
        one, other = getattr(survey, name), getattr(clean, name)
        np.testing.assert_allclose(one.mean, other.mean, atol=1e-5, err_msg=name)
    assert survey.candidates() == clean.candidates()
