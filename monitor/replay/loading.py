"""Weights, tokenizer and image processor off the disk, with errors that name what to change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import (
    MODEL_FOR_TEXT_ENCODING_MAPPING,
    AutoImageProcessor,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageClassification,
    AutoModelForQuestionAnswering,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForTextEncoding,
    AutoModelForTokenClassification,
    AutoTokenizer,
)

from monitor.errors import ModelError
from monitor.replay.memory import limit_memory
from monitor.replay.settings import ModelSettings, Task
from monitor.replay.source import first_line

_AUTO_CLASS: dict[Task, Any] = {
    "sequence-classification": AutoModelForSequenceClassification,
    "token-classification": AutoModelForTokenClassification,
    "question-answering": AutoModelForQuestionAnswering,
    "causal-lm": AutoModelForCausalLM,
    "encoder-decoder": AutoModelForSeq2SeqLM,
    "encoder": AutoModel,
    "image-classification": AutoModelForImageClassification,
}


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No progress bars and no load report on the user's terminal; what matters becomes an error."""
    logging = transformers.utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def load_tokenizer(folder: Path, source: str) -> Any:
    """The tokenizer beside the weights; raises ``ModelError``."""
    try:
        return AutoTokenizer.from_pretrained(str(folder))
    except Exception as error:
        raise ModelError(
            f"model.source = {source}: its tokenizer cannot be read ({first_line(error)}); "
            "save it beside the weights with tokenizer.save_pretrained"
        ) from None


def load_image_processor(folder: Path, source: str) -> Any:
    """The image processor beside the weights; raises ``ModelError``."""
    try:
        return AutoImageProcessor.from_pretrained(str(folder))
    except Exception as error:
        raise ModelError(
            f"model.source = {source}: its image processor cannot be read ({first_line(error)}); "
            "save it beside the weights with processor.save_pretrained"
        ) from None


def load_network(folder: Path, task: Task, settings: ModelSettings, config: Any) -> Any:
    """The network with frozen weights in evaluation mode, on its device; raises ``ModelError``."""
    try:
        network, report = _auto_class(task, config).from_pretrained(
            str(folder),
            dtype=getattr(torch, settings.dtype),
            attn_implementation="eager",
            output_loading_info=True,
        )
    except Exception as error:
        raise ModelError(
            f"model.source = {settings.source}: its weights cannot be read ({first_line(error)}); "
            "check that the files are complete and that model.task fits them"
        ) from None
    missing = sorted(key for key in report["missing_keys"] if task != "encoder" or "pooler" not in key)
    if missing:
        raise ModelError(
            f"model.source = {settings.source}: its weights lack {', '.join(missing[:3])}"
            f"{' and more' if len(missing) > 3 else ''}; "
            f"set model.task to what the model was trained for (it is {task} now)"
        )
    network.eval().requires_grad_(requires_grad=False)
    try:
        limit_memory(settings.device, settings.memory_share)
        return network.to(settings.device)
    except Exception as error:
        raise ModelError(
            f"model.device = {settings.device}: cannot be used ({first_line(error)}); try cpu"
        ) from None


def _auto_class(task: Task, config: Any) -> Any:
    """T5's kind has encoders that stand alone: an embedding needs no decoder."""
    named = any(name.endswith("EncoderModel") for name in getattr(config, "architectures", None) or ())
    alone = named or getattr(config, "is_encoder_decoder", False)
    if task == "encoder" and alone and type(config) in MODEL_FOR_TEXT_ENCODING_MAPPING:
        return AutoModelForTextEncoding
    return _AUTO_CLASS[task]
