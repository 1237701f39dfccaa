"""What goes wrong with a model or its pipeline: each fault is done to the files, or to the running network.

A fault in files makes a second model folder that the sidecar's own loader reads, so its identity,
hashes and probe are those that production would see.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from benchmarks.detection.models import OTHER_FINE_TUNES, fine_tuned, packaged_encoder
from monitor.replay.model import load_model
from monitor.replay.replayed_model import ReplayModel
from monitor.replay.settings import ModelSettings

WEIGHTS = "model.safetensors"
DAMAGES = ("output_zeroed", "queries_permuted", "queries_noised")
ZEROED = MappingProxyType({"values_zeroed": "value", "queries_zeroed": "query", "keys_zeroed": "key"})
"""The damages that `headwatch compare` is tried on besides; the part of the attention that goes."""
Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """``files`` changes a copy of the model's folder; ``network`` what was loaded; ``settings`` the replay's.

    ``gradient`` is False where the faulty network has none to give.
    """

    files: Callable[[Path], None] | None = None
    network: Callable[[Any], Any] | None = None
    settings: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    gradient: bool = True


@contextmanager
def loaded(folder: Path, fault: Fault | None = None) -> Iterator[ReplayModel]:
    """The model of ``folder`` with the fault, on one thread; a changed copy of its files goes afterwards."""
    fault = fault or Fault()
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".faulty-") as temporary:
        source = folder
        if fault.files is not None:
            source = Path(temporary) / folder.name
            shutil.copytree(folder, source, copy_function=os.link)
            fault.files(source)
        model = load_model(ModelSettings(source=str(source), **fault.settings))
        if fault.network is not None:
            network = fault.network(model.network)
            names = {id(module): name for name, module in network.named_modules()}
            model = replace(model, network=network, names=names)
        yield model


def changed_weights(change: Callable[[Tensors], None]) -> Callable[[Path], None]:
    """A fault in the weights' file: ``change`` edits the tensors in place."""

    def edit(folder: Path) -> None:
        tensors = load_file(folder / WEIGHTS)
        change(tensors)
        (folder / WEIGHTS).unlink()
        save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})

    return edit


def damaged_head(layer: int, head: int, *, heads: int, damage: str) -> Fault:
    """One head of a BERT: a part of it zeroed, its queries' rows permuted, or noise of their own sd added."""

    def change(tensors: Tensors) -> None:
        attention = f"bert.encoder.layer.{layer}.attention"
        if damage == "output_zeroed":
            columns = tensors[f"{attention}.output.dense.weight"]
            columns[:, _span(columns.shape[1], heads, head)] = 0.0
            return
        draw = torch.Generator().manual_seed(1000 * layer + head)
        part = ZEROED.get(damage, "query")
        weight, bias = (tensors[f"{attention}.self.{part}.{kind}"] for kind in ("weight", "bias"))
        rows = _span(len(bias), heads, head)
        if damage in ZEROED:
            weight[rows] = bias[rows] = 0.0
        elif damage == "queries_permuted":
            order = torch.randperm(len(bias) // heads, generator=draw)
            weight[rows], bias[rows] = weight[rows][order], bias[rows][order]
        else:
            weight[rows] += weight[rows].std() * torch.randn(weight[rows].shape, generator=draw)

    return Fault(files=changed_weights(change))


def _span(width: int, heads: int, head: int) -> slice:
    size = width // heads
    return slice(head * size, (head + 1) * size)


def changed_tokenizer(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    """A fault in ``tokenizer.json``: ``change`` edits its JSON in place, and it is what is read."""

    def edit(folder: Path) -> None:
        path, settings_path = folder / "tokenizer.json", folder / "tokenizer_config.json"
        content = json.loads(path.read_text(encoding="utf-8"))
        settings = json.loads(settings_path.read_text(encoding="utf-8"))
        change(content)
        # a class of its own would build the tokenizer from vocab.txt and leave the edit unread
        settings |= {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
        }
        for file, value in ((path, content), (settings_path, settings)):
            file.unlink()
            file.write_text(json.dumps(value), encoding="utf-8")

    return edit


def _double_separator(content: dict[str, Any]) -> None:
    content["post_processor"]["single"].append({"SpecialToken": {"id": "[SEP]", "type_id": 0}})


def _keep_case(content: dict[str, Any]) -> None:
    content["normalizer"]["lowercase"] = False


def _shift_part_of_the_vocabulary(content: dict[str, Any], *, first: int = 5000) -> None:
    """Ids from ``first`` on are moved by one: a vocabulary file with a line too many."""
    words = sorted(content["model"]["vocab"], key=content["model"]["vocab"].__getitem__)
    moved = [*words[:first], *words[first + 1 :], words[first]]
    content["model"]["vocab"] = {word: index for index, word in enumerate(moved)}


def _other_vocabulary(texts: Callable[[], list[str]]) -> Callable[[dict[str, Any]], None]:
    """Word pieces learnt from other texts, under the same special tokens."""

    def change(content: dict[str, Any]) -> None:
        from tokenizers import BertWordPieceTokenizer

        trained = BertWordPieceTokenizer(lowercase=True)
        specials = ["[PAD]", *(f"[unused{i}]" for i in range(99)), "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        trained.train_from_iterator(
            texts(), vocab_size=8000, min_frequency=2, special_tokens=specials, show_progress=False
        )
        content["model"]["vocab"] = trained.get_vocab()

    return change


def _without_mask(network: Any) -> Any:
    """Every token sees the padding."""

    def forget(_: Any, __: Any, call: dict[str, Any]) -> tuple[tuple[()], dict[str, Any]]:
        return (), {**call, "attention_mask": torch.ones_like(call["attention_mask"])}

    network.register_forward_pre_hook(forget, with_kwargs=True)
    return network


def _padded_on_the_left(network: Any) -> Any:
    """Positions counted from the row's start, padding included, as if it stood on the left.

    Attention does not ask where padding lies, so for absolute positions this is the whole effect.
    """

    def move(_: Any, __: Any, call: dict[str, Any]) -> tuple[tuple[()], dict[str, Any]]:
        mask = call["attention_mask"]
        width = mask.shape[1]
        padding = width - mask.sum(dim=1, keepdim=True)
        return (), {**call, "position_ids": (torch.arange(width) + padding).clamp_max(width - 1)}

    network.register_forward_pre_hook(move, with_kwargs=True)
    return network


def _in_eight_bits(network: Any) -> Any:
    """Torch's dynamic quantisation of every linear layer."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.ao.quantization.quantize_dynamic(network, {torch.nn.Linear}, dtype=torch.qint8)


def checkpoints() -> dict[str, Fault]:
    """Other weights of the demo's model: fine-tuned from other seeds, for less long, and not at all."""
    found = {
        f"checkpoint_{name}": Fault(files=changed_weights(partial(_take_from, name)))
        for name in OTHER_FINE_TUNES
    }
    return found | {"checkpoint_encoder_untrained": Fault(files=changed_weights(_take_packaged_layers))}


def _take_from(name: str, tensors: Tensors) -> None:
    trained = load_file(fine_tuned(name))
    tensors |= {key: value.float() for key, value in trained.items()}


def _take_packaged_layers(tensors: Tensors) -> None:
    """The encoder's top layers as the package has them; pooler and classifier stay."""
    packaged = load_file(packaged_encoder())
    for name in tensors:
        if name.startswith("bert.encoder."):
            tensors[name] = packaged[name.removeprefix("bert.")]


def pipeline_faults(other_texts: Callable[[], list[str]]) -> dict[str, Fault]:
    """Faults of what surrounds the weights, by name; ``other_texts`` give the other vocabulary."""
    return {
        "doubled_separator": Fault(files=changed_tokenizer(_double_separator)),
        "lower_casing_removed": Fault(files=changed_tokenizer(_keep_case)),
        "vocabulary_shifted": Fault(files=changed_tokenizer(_shift_part_of_the_vocabulary)),
        "other_vocabulary": Fault(files=changed_tokenizer(_other_vocabulary(other_texts))),
        "truncated_to_16": Fault(settings={"max_tokens": 16}),
        "padding_on_the_left": Fault(network=_padded_on_the_left),
        "no_attention_mask": Fault(network=_without_mask),
        "int8": Fault(network=_in_eight_bits, gradient=False),
        "bf16": Fault(settings={"dtype": "bfloat16"}),
    }
