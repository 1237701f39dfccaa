"""A model that cannot be watched is refused in words that name what to change."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import MambaConfig, MambaForCausalLM, T5Config, T5ForConditionalGeneration

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
    change_config(bert, architectures=["BertForQuestionAnswering"])
    assert message(bert) == (
        "model.task = auto: MODEL names BertForQuestionAnswering, which headwatch does not know; "
        "set model.task to sequence-classification, causal-lm or encoder"
    )


def test_a_task_whose_weights_are_not_there(bert: Path) -> None:
    text = message(bert, task="causal-lm")
    assert "set model.task to what the model was trained for (it is causal-lm now)" in text


def test_a_model_without_attention(tmp_path: Path) -> None:
    config = MambaConfig(vocab_size=64, hidden_size=16, num_hidden_layers=2, state_size=4)
    MambaForCausalLM(config).save_pretrained(tmp_path)
    word_piece_tokenizer(decoder=True).save_pretrained(tmp_path)
    text = message(tmp_path)
    assert text.startswith("model.source = MODEL: has no attention that can be read (")
    assert text.endswith("); head profiles and rollout need it; only prediction and attribution would remain")


def test_an_encoder_decoder(tmp_path: Path) -> None:
    config = T5Config(vocab_size=64, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    T5ForConditionalGeneration(config).save_pretrained(tmp_path)
    word_piece_tokenizer().save_pretrained(tmp_path)
    assert message(tmp_path) == (
        "model.source = MODEL: t5 has an encoder and a decoder; "
        "headwatch watches encoders and decoders, not both in one"
    )


def test_a_device_that_is_not_there(bert: Path) -> None:
    text = message(bert, device="cuda:63")
    assert text.startswith("model.device = cuda:63: cannot be used (")
    assert text.endswith("); try cpu")


def test_a_multi_label_classifier_gives_each_label_a_probability_of_its_own(tmp_path: Path) -> None:
    tiny_bert(problem_type="multi_label_classification").save_pretrained(tmp_path)
    word_piece_tokenizer().save_pretrained(tmp_path)
    assert load_model(ModelSettings(source=str(tmp_path))).answer == "labels"


def test_a_regression_model_predicts_no_label(tmp_path: Path) -> None:
    tiny_bert(problem_type="regression", num_labels=1).save_pretrained(tmp_path)
    word_piece_tokenizer().save_pretrained(tmp_path)
    model = load_model(ModelSettings(source=str(tmp_path)))
    assert (model.answer, model.predicts, model.identity.labels) == ("value", False, ())
