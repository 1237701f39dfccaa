"""A model that cannot be watched is refused in words that name what to change."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import ResNetConfig, ResNetForImageClassification, ViTImageProcessor

from monitor.errors import ModelError
from monitor.replay.model import load_model
from monitor.replay.settings import ModelSettings
from tests.models import SPECIAL, tiny_bert, word_piece_tokenizer


def message(source: Path | str, **options: Any) -> str:
    with pytest.raises(ModelError) as caught:
        load_model(ModelSettings(source=str(source), **options))
    return str(caught.value).replace(str(source), "MODEL")


@pytest.fixture
def bert(tiny_folder: Callable[[str], Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_folder("bert"), tmp_path / "model"))


def change_config(folder: Path, **changes: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_a_directory_that_does_not_exist(tmp_path: Path) -> None:
    assert (
        message(tmp_path / "no")
        == "model.source = MODEL: is no directory; give a Hugging Face model directory"
    )


def test_a_hub_id_that_cannot_be_reached() -> None:
    assert message("headwatch/no-such-model") == (
        "model.source = MODEL: is no directory, and the hub did not give it (LocalEntryNotFoundError); "
        "give a Hugging Face model directory, or a hub id that can be reached"
    )


def test_an_mlflow_address_that_nobody_resolved() -> None:
    assert message("models:/sentiment@production") == (
        "model.source = MODEL: is an MLflow address and has not been resolved to a folder; "
        "set exporters.mlflow.tracking_uri, or give a Hugging Face directory"
    )


def test_a_directory_without_a_configuration(tmp_path: Path) -> None:
    assert (
        message(tmp_path) == "model.source = MODEL: has no config.json; give a Hugging Face model directory"
    )


def test_a_configuration_that_is_no_json(bert: Path) -> None:
    (bert / "config.json").write_text("{")
    assert message(bert).startswith("model.source = MODEL: config.json cannot be read (")


def test_missing_weights(bert: Path) -> None:
    (bert / "model.safetensors").unlink()
    assert message(bert) == (
        "model.source = MODEL: has no weights file; put model.safetensors beside config.json"
    )


def test_damaged_weights(bert: Path) -> None:
    (bert / "model.safetensors").write_bytes(b"\x00" * 100)
    text = message(bert)
    assert text.startswith("model.source = MODEL: its weights cannot be read (")
    assert text.endswith("); check that the files are complete and that model.task fits them")


def test_a_missing_tokenizer(bert: Path) -> None:
    for file in bert.glob("*token*"):
        file.unlink()
    assert message(bert) == "model.source = MODEL: has no tokenizer; put tokenizer.json beside config.json"


def test_a_tokenizer_that_cannot_be_read(bert: Path) -> None:
    (bert / "tokenizer.json").write_text("nothing")
    text = message(bert)
    assert text.startswith("model.source = MODEL: its tokenizer cannot be read (")
    assert text.endswith("); save it beside the weights with tokenizer.save_pretrained")


def test_a_tokenizer_of_another_model(bert: Path) -> None:
    special = (*SPECIAL, *(f"[unused{number}]" for number in range(90)))
    word_piece_tokenizer(special=special).save_pretrained(bert)
    assert message(bert) == (
        "model.source = MODEL: its tokenizer gives token 123, the model knows 64; "
        "the tokenizer belongs to another model"
    )


def test_an_architecture_that_is_not_known(bert: Path) -> None:
    change_config(bert, architectures=["BertForMultipleChoice"])
    assert message(bert) == (
        "model.task = auto: MODEL names BertForMultipleChoice, which headwatch does not know; "
        "set model.task to sequence-classification, token-classification, question-answering, causal-lm, "
        "encoder-decoder, encoder or image-classification"
    )


def test_a_task_whose_weights_are_not_there(bert: Path) -> None:
    text = message(bert, task="causal-lm")
    assert "set model.task to what the model was trained for (it is causal-lm now)" in text


def test_images_that_are_no_row_of_patches(tmp_path: Path) -> None:
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 8], depths=[1, 1], layer_type="basic")
    ResNetForImageClassification(config).save_pretrained(tmp_path)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    text = message(tmp_path)
    assert text.startswith("model.source = MODEL: is no model of images of the ViT kind (")
    assert text.endswith("); headwatch reads images as patches that stand where tokens do")


def test_a_missing_image_processor(tiny_family: Callable[[str], Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_family("vit"), tmp_path / "model"))
    (folder / "preprocessor_config.json").unlink()
    word_piece_tokenizer().save_pretrained(folder)
    text = message(folder)
    assert text.startswith("model.source = MODEL: its image processor cannot be read (")
    assert text.endswith("); save it beside the weights with processor.save_pretrained")


def test_a_device_that_is_not_there(bert: Path) -> None:
    text = message(bert, device="cuda:63")
    assert text.startswith("model.device = cuda:63: cannot be used (")
    assert text.endswith("); try cpu")


def test_a_multi_label_classifier_gives_each_label_a_probability_of_its_own(tmp_path: Path) -> None:
    tiny_bert(problem_type="multi_label_classification").save_pretrained(tmp_path)
    word_piece_tokenizer().save_pretrained(tmp_path)
    assert load_model(ModelSettings(source=str(tmp_path))).answer == "labels"
