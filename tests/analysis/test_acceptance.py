"""Integrated Gradients of the demo's model on sentences that it never saw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients

from examples.sentiment.texts import rotten_tomatoes
from monitor.analyse import Analyser
from monitor.analysis.settings import AnalysisSettings
from monitor.records import Attribution, Sample
from monitor.replay.model import load_model
from monitor.replay.settings import ModelSettings

SENTENCES, REFERENCES = 100, 40


def with_300_steps(analyser: Analyser, attribution: Attribution) -> np.ndarray:
    network, tokenizer = analyser.model.network, analyser.model.tokenizer
    embedding = network.get_input_embeddings()
    ids = torch.tensor([tokenizer.convert_tokens_to_ids(list(attribution.tokens))])
    special = torch.isin(ids, torch.tensor([tokenizer.cls_token_id, tokenizer.sep_token_id]))
    values = IntegratedGradients(
        lambda embeddings: network(inputs_embeds=embeddings).logits[:, attribution.prediction.target]
    ).attribute(
        embedding(ids),
        baselines=embedding(torch.where(special, ids, tokenizer.pad_token_id)),
        n_steps=300,
        method="gausslegendre",
        internal_batch_size=30,
    )
    return np.asarray(values.sum(-1)[0].detach().numpy())


@pytest.mark.slow
def test_attributions_of_held_out_sentences_are_complete_and_equal_three_hundred_steps(
    sentiment_model: Path,
) -> None:
    analyser = Analyser(load_model(ModelSettings(source=str(sentiment_model))), AnalysisSettings())
    texts = [labelled.text for labelled in rotten_tomatoes().held_out[-SENTENCES:]]
    attributions = analyser.attribute([Sample(id=t, time=0.0, text=t) for t in texts])
    assert all(a.relative_delta <= 0.05 and a.converged for a in attributions)
    assert np.mean([a.steps for a in attributions]) <= 24
    errors = []
    for attribution in attributions[:REFERENCES]:
        wanted = with_300_steps(analyser, attribution)
        errors.append(np.linalg.norm(attribution.values - wanted) / np.linalg.norm(wanted))
    assert np.mean(np.array(errors) <= 0.02) >= 0.99
