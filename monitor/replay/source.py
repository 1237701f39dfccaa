"""From what the user calls the model to a folder that can be loaded, and what task it does."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import huggingface_hub
from transformers import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING, AutoConfig

from monitor.errors import ModelError
from monitor.replay.settings import Task
from monitor.replay.weights import weight_files

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.txt", "vocab.json", "spiece.model",
                   "sentencepiece.bpe.model", "tokenizer_config.json")  # fmt: skip
IMAGE_FILES = ("preprocessor_config.json", "processor_config.json")
_DOWNLOADED = ("*.json", "*.safetensors", "*.txt", "*.model")
_TASK_OF_SUFFIX: dict[str, Task] = {
    "ForSequenceClassification": "sequence-classification",
    "ForTokenClassification": "token-classification",
    "ForQuestionAnswering": "question-answering",
    "ForImageClassification": "image-classification",
    "ForConditionalGeneration": "encoder-decoder",
    "ForCausalLM": "causal-lm",
    "LMHeadModel": "causal-lm",
    "EncoderModel": "encoder",
    "Model": "encoder",
    "ForMaskedLM": "encoder",
    "ForPreTraining": "encoder",
}


def resolve_source(source: str, revision: str | None) -> Path:
    """The folder of a local model or of a hub id at ``revision``; raises ``ModelError``."""
    if source.startswith("models:/"):
        raise ModelError(
            f"model.source = {source}: is an MLflow address and has not been resolved to a folder; "
            "set exporters.mlflow.tracking_uri, or give a Hugging Face directory"
        )
    folder = Path(source).expanduser()
    if folder.is_dir():
        return _complete(folder, source)
    if folder.is_absolute() or source.startswith((".", "~")) or source.count("/") > 1 or folder.exists():
        raise ModelError(f"model.source = {source}: is no directory; give a Hugging Face model directory")
    try:
        fetched = huggingface_hub.snapshot_download(
            source, revision=revision, allow_patterns=list(_DOWNLOADED)
        )
    except Exception as error:
        raise ModelError(
            f"model.source = {source}: is no directory, and the hub did not give it "
            f"({type(error).__name__}); give a Hugging Face model directory, or a hub id that can be reached"
        ) from None
    return _complete(Path(fetched), source)


def _complete(folder: Path, source: str) -> Path:
    try:
        names = {path.name for path in folder.iterdir()}
        weights = weight_files(folder)
    except OSError as error:
        raise ModelError(
            f"model.source = {source}: cannot be read ({error.strerror}); let this user read its files"
        ) from None
    if "config.json" not in names:
        raise ModelError(f"model.source = {source}: has no config.json; give a Hugging Face model directory")
    if not weights:
        raise ModelError(
            f"model.source = {source}: has no weights file; put model.safetensors beside config.json"
        )
    if not names.intersection((*TOKENIZER_FILES, *IMAGE_FILES)):
        raise ModelError(f"model.source = {source}: has no tokenizer; put tokenizer.json beside config.json")
    return folder


def read_config(folder: Path, source: str) -> Any:
    """The model's configuration; raises ``ModelError`` where it cannot be read."""
    try:
        config = AutoConfig.from_pretrained(str(folder))
    except Exception as error:
        raise ModelError(
            f"model.source = {source}: config.json cannot be read ({first_line(error)})"
        ) from None
    return config


def task_of(config: Any, wanted: Task, source: str) -> Task:
    """The task from ``config.architectures``, unless the settings name one."""
    if wanted != "auto":
        return wanted
    architectures = getattr(config, "architectures", None) or []
    for architecture in architectures:
        for suffix, task in _TASK_OF_SUFFIX.items():
            if architecture.endswith(suffix) and _fits(task, config):
                return task
    named = ", ".join(architectures) or "no architecture"
    known = [task for task in get_args(Task) if task != "auto"]
    raise ModelError(
        f"model.task = auto: {source} names {named}, which headwatch does not know; "
        f"set model.task to {', '.join(known[:-1])} or {known[-1]}"
    )


def reads_images(task: Task, config: Any) -> bool:
    """Image classifiers, and encoders of a kind that has them: a checkpoint without its head (DINOv2)."""
    known = type(config) in MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING
    return task == "image-classification" or (task == "encoder" and known)


def _fits(task: Task, config: Any) -> bool:
    """``ForConditionalGeneration`` is also what models of images and sound are called."""
    return task != "encoder-decoder" or bool(getattr(config, "is_encoder_decoder", False))


def first_line(error: Exception) -> str:
    """The first line of an error's text, or its type."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
