"""What is examined of each family, by its tier: relevance against eager autograd, and what is left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from monitor.analysis.heads.survey import HeadSurvey
from monitor.analysis.settings import AnalysisSettings, ScheduledSettings
from monitor.reading.analyser import Analyser
from monitor.records import Sample
from monitor.replay.images import self_test_images
from monitor.replay.model import load_model
from monitor.replay.settings import ModelSettings
from tests.families import FAMILIES, save_family

EVERYTHING = ScheduledSettings(**dict.fromkeys(ScheduledSettings.model_fields, True))
TEXT = "the cat sat on the mat, and the dog ran."
WITH_WEIGHTS = ("albert", "modernbert", "mpnet", "gpt_neox", "qwen3", "gemma2", "gpt_oss", "bloom")
BY_PROBABILITY = {"integrated_gradients", "gradient_times_input"}


def analyser_of(folder: Path) -> Analyser:
    model = load_model(ModelSettings(source=str(folder)))
    return Analyser(model, AnalysisSettings(scheduled=EVERYTHING))


@pytest.mark.filterwarnings("ignore")  # transformers' own, about the tiny configurations
@pytest.mark.parametrize("name", WITH_WEIGHTS)
def test_relevance_equals_that_of_eager_matrices_and_their_gradients(name: str, tmp_path: Path) -> None:
    folder, family = save_family(name, tmp_path), FAMILIES[name]
    analyser = analyser_of(folder)
    assert analyser.model.tier == family.tier
    (attribution,) = analyser.attribute([Sample(id="text", time=0.0, text=TEXT)])
    network = family.loader.from_pretrained(
        str(folder), attn_implementation="eager", dtype=torch.float32
    ).eval()
    call = AutoTokenizer.from_pretrained(str(folder))(TEXT, return_tensors="pt")
    call.pop("token_type_ids", None)
    output = network(**call, output_attentions=True)
    for matrix in output.attentions:
        matrix.retain_grad()
    logits = output.logits[0, -1] if family.causal else output.logits[0]
    logits[attribution.prediction.target].backward()
    n = len(attribution.tokens)
    whole = torch.eye(n)
    for matrix in output.attentions:
        whole = whole + (matrix.grad[0] * matrix[0].detach()).clamp_min(0).mean(dim=0) @ whole
    wanted = whole[n - 1 if family.causal else 0].numpy()
    np.testing.assert_allclose(attribution.others["relevance"], wanted, atol=3e-5, rtol=1e-3)


@pytest.mark.parametrize("name", ["t5", "bart"])
def test_of_an_encoder_decoder_the_encoders_heads_are_surveyed(name: str, tmp_path: Path) -> None:
    analyser = analyser_of(save_family(name, tmp_path))
    survey = HeadSurvey(EVERYTHING)
    (attribution,) = analyser.attribute([Sample(id="text", time=0.0, text=TEXT)], survey=survey)
    assert set(attribution.others) == {"gradient_times_input"}
    assert set(attribution.faithfulness) == {*BY_PROBABILITY, "rollout"}
    document = survey.to_json()
    assert np.array(document["leading_roles"]).shape == (2, 4)
    assert np.array(document["importance"]["importance"]).shape == (2, 4)


@pytest.mark.parametrize("name", ["squeezebert", "longformer"])
def test_a_model_whose_attention_cannot_be_read_is_attributed_all_the_same(name: str, tmp_path: Path) -> None:
    analyser = analyser_of(save_family(name, tmp_path))
    assert analyser.model.tier == "attribution only"
    survey = HeadSurvey(EVERYTHING)
    (attribution,) = analyser.attribute([Sample(id="text", time=0.0, text=TEXT)], survey=survey)
    assert set(attribution.others) == set(attribution.agreements) == {"gradient_times_input"}
    assert set(attribution.faithfulness) == BY_PROBABILITY
    assert survey.metrics() == {}


def test_patches_of_an_image_are_taken_out_by_the_neutral_embedding(tmp_path: Path) -> None:
    analyser = analyser_of(save_family("vit", tmp_path))
    model = analyser.model
    sample = Sample(id="image", time=0.0, image=self_test_images()[0])
    (attribution,) = analyser.attribute([sample])
    assert set(attribution.faithfulness) == {*BY_PROBABILITY, "rollout", "relevance"}
    row = next(iter(analyser.encode([sample])[0].values()))
    batch = model.batch([row])
    content = [place for place in range(len(row.ids)) if place not in row.special]
    first = max(content, key=lambda place: attribution.values[place])
    embeddings = model.embed_batch(batch).detach()
    whole = model.run(batch).answers.double().softmax(-1)[0, attribution.prediction.target]
    embeddings[0, first] = model.neutral_embedding()
    with torch.no_grad():
        without = model.answer_embeddings(embeddings, batch).double().softmax(-1)
    drop = float(whole - without[0, attribution.prediction.target])
    assert drop != 0
    assert attribution.faithfulness["integrated_gradients"].removals[0].drop == pytest.approx(drop, abs=1e-6)
