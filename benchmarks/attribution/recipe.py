"""What is usually done, one text at a time: attention matrices, numpy loops, Captum with 50 steps.

As notebooks have it: ``output_attentions=True``, a loop over layers and heads for the statistics and
rollout, then ``LayerIntegratedGradients`` on the word embeddings with Captum's default of 50 steps. Also
transformers-interpret's explainer and BertViz's data, each where it is installed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from captum.attr import LayerIntegratedGradients
from transformers import AutoModelForSequenceClassification, AutoTokenizer

STEPS = 50
SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "usual recipe": "attn_implementation=eager, output_attentions=True, numpy loops over layers and "
        f"heads; LayerIntegratedGradients on the word embeddings, n_steps={STEPS}, gausslegendre, "
        "baseline of padding tokens, return_convergence_delta=True, internal_batch_size=None, "
        "one text at a time",
        "usual recipe, 24 steps": "the same with n_steps=24",
        "transformers-interpret": "SequenceClassificationExplainer with its defaults (n_steps=50), one text "
        "at a time; attributions only",
        "bertviz": 'head_view(html_action="return") of output_attentions, one text at a time; no attribution',
    }
)
Runner = Callable[[Sequence[str]], Any]


class Recipe:
    """A classifier as transformers loads it, and the usual way to look into it."""

    def __init__(self, source: Path) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(str(source))
        self.network: Any = AutoModelForSequenceClassification.from_pretrained(
            str(source), attn_implementation="eager"
        ).eval()
        self._captum = LayerIntegratedGradients(
            lambda ids, mask: self.network(ids, attention_mask=mask).logits,
            self.network.get_input_embeddings(),
        )

    def heads(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        """Seven statistics of every head, (layer, head, 7), and the first token's rollout."""
        with torch.no_grad():
            given = self.network(**self.tokenizer(text, return_tensors="pt"), output_attentions=True)
        layers = [matrix[0].numpy() for matrix in given.attentions]
        found = np.array([[_statistics(matrix) for matrix in layer] for layer in layers])
        joint = np.eye(layers[0].shape[-1])
        for layer in layers:
            joint = 0.5 * (layer.mean(axis=0) + np.eye(len(joint))) @ joint
        return found, joint[0]

    def attribution(self, text: str, steps: int = STEPS) -> np.ndarray:
        """(token,) Integrated Gradients of the predicted class."""
        fields = self.tokenizer(text, return_tensors="pt")
        ids, mask = fields["input_ids"], fields["attention_mask"]
        with torch.no_grad():
            target = int(self.network(ids, attention_mask=mask).logits.argmax())
        baseline = ids.clone()
        baseline[:, 1:-1] = self.tokenizer.pad_token_id
        values, _ = self._captum.attribute(
            ids,
            baselines=baseline,
            additional_forward_args=(mask,),
            target=target,
            n_steps=steps,
            return_convergence_delta=True,
        )
        return np.asarray(values.sum(-1)[0].detach().numpy())


def _statistics(matrix: np.ndarray) -> list[float]:
    count = len(matrix)
    position = np.arange(count)
    entropy = -(matrix * np.log(matrix + 1e-12)).sum(axis=1) / np.log(max(2, count))
    distance = (matrix * np.abs(position[:, None] - position)).sum(axis=1)
    return [
        entropy.mean(),
        np.diagonal(matrix).mean(),
        np.diagonal(matrix, offset=-1).mean() if count > 1 else 0.0,
        matrix[:, 0].mean(),
        matrix[:, -1].mean(),
        distance.mean(),
        entropy[0],
    ]


def competitors(source: Path) -> tuple[dict[str, Runner], list[str]]:
    """What runs here by name, and the names of what is not installed."""
    recipe = Recipe(source)

    def usual(steps: int) -> Runner:
        return lambda texts: [(recipe.heads(text), recipe.attribution(text, steps)) for text in texts]

    found: dict[str, Runner] = {"usual recipe": usual(STEPS), "usual recipe, 24 steps": usual(24)}
    missing: list[str] = []
    if find_spec("transformers_interpret") is None:
        missing.append("transformers-interpret")
    else:
        from transformers_interpret import SequenceClassificationExplainer

        explainer = SequenceClassificationExplainer(recipe.network, recipe.tokenizer)
        found["transformers-interpret"] = lambda texts: [explainer(text) for text in texts]
    if find_spec("bertviz") is None or find_spec("IPython") is None:
        missing.append("bertviz")
    else:
        found["bertviz"] = lambda texts: [_bertviz(recipe, text) for text in texts]
    return found, missing


def _bertviz(recipe: Recipe, text: str) -> Any:
    from bertviz import head_view

    fields = recipe.tokenizer(text, return_tensors="pt")
    with torch.no_grad():
        given = recipe.network(**fields, output_attentions=True)
    tokens = recipe.tokenizer.convert_ids_to_tokens(fields["input_ids"][0])
    return head_view(given.attentions, tokens, html_action="return")
