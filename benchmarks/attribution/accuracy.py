"""How many gradients Integrated Gradients take, and how near they come to 300 Gauss-Legendre steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from captum.attr import IntegratedGradients

from monitor.reading.analyser import Analyser
from monitor.records import Attribution

REFERENCE_STEPS = 300
GOALS = {"mean gradient evaluations": 24, "share within 2 %": 0.99, "relative delta": 0.05}


def reference(analyser: Analyser, attribution: Attribution, steps: int = REFERENCE_STEPS) -> np.ndarray:
    """(token,) by Captum alone, equal padding-token baseline, the same fixed target."""
    network, tokenizer = analyser.model.network, analyser.model.tokenizer
    embedding = network.get_input_embeddings()
    ids = torch.tensor([tokenizer.convert_tokens_to_ids(list(attribution.tokens))])
    special = torch.isin(ids, torch.tensor([tokenizer.cls_token_id, tokenizer.sep_token_id]))
    values = IntegratedGradients(
        lambda given: network(inputs_embeds=given).logits[:, attribution.prediction.target]
    ).attribute(
        embedding(ids),
        baselines=embedding(torch.where(special, ids, tokenizer.pad_token_id)),
        n_steps=steps,
        method="gausslegendre",
        internal_batch_size=30,
    )
    return np.asarray(values.sum(-1)[0].detach().numpy())


def accuracy(analyser: Analyser, attributions: Sequence[Attribution], checked: int) -> dict[str, Any]:
    """Figures over all rows, and over the first ``checked`` those that need the reference."""
    steps = np.array([item.steps for item in attributions])
    deltas = np.array([item.relative_delta for item in attributions])
    wanted = [reference(analyser, item) for item in attributions[:checked]]
    errors = np.array(
        [
            np.linalg.norm(item.values - one) / np.linalg.norm(one)
            for item, one in zip(attributions, wanted, strict=False)
        ]
    )
    return {
        "rows": len(steps),
        "mean_gradient_evaluations": round(float(steps.mean()), 2),
        "most_gradient_evaluations": int(steps.max()),
        "largest_relative_delta": round(float(deltas.max()), 4),
        "share_converged": round(float(np.mean([item.converged for item in attributions])), 4),
        "rows_against_reference": len(errors),
        "reference": f"Captum IntegratedGradients, gausslegendre, n_steps={REFERENCE_STEPS}",
        "share_within_2_percent": round(float((errors <= 0.02).mean()), 4),
        "median_error": round(float(np.median(errors)), 5),
        "largest_error": round(float(errors.max()), 5),
        "goals": GOALS,
    }
