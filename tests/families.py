"""One tiny random model of each family that headwatch is held to, and what is known about it.

The facts (which module projects a layer's heads, whether queries look ahead, the sliding windows)
are written down here from the papers and the modelling code; nothing in ``monitor`` reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import torch
import transformers as hf

from tests.models import SPECIAL, spread, word_piece_tokenizer

Kind = Literal["encoder", "decoder", "encoder-decoder", "image"]
_SIZES = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48}
_TEXT = {"vocab_size": 64, "max_position_embeddings": 64, **_SIZES}
IMAGE_SIDE = 16
_IMAGE = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4}


@dataclass(frozen=True, kw_only=True)
class Family:
    """``build`` makes the model; ``loader`` is the class that transformers alone loads it with.

    ``projections`` are the names of the output projections, one a layer ("{}" is the layer);
    ``windows`` the keys that a query of each layer may see, itself included, where that is bounded.
    """

    title: str
    kind: Kind
    build: Callable[[], Any]
    loader: Any
    tier: str
    projections: tuple[str, ...] = ()
    windows: tuple[int | None, ...] = (None, None, None)
    padding_first: bool = True
    spread: float = 6.0
    note: str = ""

    @property
    def causal(self) -> bool:
        """Whether queries see only what comes before them."""
        return self.kind == "decoder"


def _layers(template: str, count: int = 3) -> tuple[str, ...]:
    return tuple(template.format(layer) for layer in range(count))


def _grouped(**options: Any) -> dict[str, Any]:
    return {**_TEXT, "num_key_value_heads": 2, **options}


_CLASSIFIER, _DECODER = hf.AutoModelForSequenceClassification, hf.AutoModelForCausalLM
_SEQ2SEQ = hf.AutoModelForSeq2SeqLM
_T5 = {"vocab_size": 64, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4,
       "decoder_start_token_id": 0}  # fmt: skip
_BART = {"vocab_size": 64, "d_model": 32, "encoder_layers": 2, "decoder_layers": 2,
         "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 48,
         "decoder_ffn_dim": 48, "max_position_embeddings": 64, "pad_token_id": 0, "bos_token_id": 2,
         "eos_token_id": 3, "decoder_start_token_id": 3, "forced_bos_token_id": None,
         "forced_eos_token_id": None}  # fmt: skip

FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "bert": Family(
            title="BERT",
            kind="encoder",
            build=lambda: hf.BertForSequenceClassification(hf.BertConfig(num_labels=3, **_TEXT)),
            loader=_CLASSIFIER,
            tier="tap",
            projections=_layers("bert.encoder.layer.{}.attention.output.dense"),
        ),
        "distilbert": Family(
            title="DistilBERT",
            kind="encoder",
            build=lambda: hf.DistilBertForSequenceClassification(
                hf.DistilBertConfig(
                    vocab_size=64, max_position_embeddings=64, dim=32, n_layers=3, n_heads=4, hidden_dim=48
                )
            ),
            loader=_CLASSIFIER,
            tier="tap",
            projections=_layers("distilbert.transformer.layer.{}.attention.out_lin"),
        ),
        "roberta": Family(
            title="RoBERTa",
            kind="encoder",
            build=lambda: hf.RobertaForSequenceClassification(
                hf.RobertaConfig(**{**_TEXT, "max_position_embeddings": 66}, pad_token_id=1)
            ),
            loader=_CLASSIFIER,
            tier="tap",
            projections=_layers("roberta.encoder.layer.{}.attention.output.dense"),
            padding_first=False,
        ),
        "albert": Family(
            title="ALBERT",
            kind="encoder",
            build=lambda: hf.AlbertForSequenceClassification(hf.AlbertConfig(embedding_size=16, **_TEXT)),
            loader=_CLASSIFIER,
            tier="tap",
            projections=("albert.encoder.albert_layer_groups.0.albert_layers.0.attention.dense",) * 3,
        ),
        "electra": Family(
            title="ELECTRA",
            kind="encoder",
            build=lambda: hf.ElectraForSequenceClassification(hf.ElectraConfig(embedding_size=16, **_TEXT)),
            loader=_CLASSIFIER,
            tier="tap",
            projections=_layers("electra.encoder.layer.{}.attention.output.dense"),
        ),
        "modernbert": Family(
            title="ModernBERT",
            kind="encoder",
            build=lambda: hf.ModernBertForSequenceClassification(
                hf.ModernBertConfig(
                    local_attention=6,
                    global_attn_every_n_layers=2,
                    pad_token_id=0,
                    bos_token_id=2,
                    eos_token_id=3,
                    cls_token_id=2,
                    sep_token_id=3,
                    **_TEXT,
                )
            ),
            loader=_CLASSIFIER,
            tier="tap",
            projections=_layers("model.layers.{}.attn.Wo"),
            windows=(None, 4, None),
        ),
        "deberta": Family(
            title="DeBERTa-v2",
            kind="encoder",
            build=lambda: hf.DebertaV2ForSequenceClassification(
                hf.DebertaV2Config(
                    type_vocab_size=0, relative_attention=True, pos_att_type=["p2c", "c2p"], **_TEXT
                )
            ),
            loader=_CLASSIFIER,
            tier="layer hooks",
            projections=_layers("deberta.encoder.layer.{}.attention.output.dense"),
        ),
        "mpnet": Family(
            title="MPNet",
            kind="encoder",
            build=lambda: hf.MPNetForSequenceClassification(
                hf.MPNetConfig(**{**_TEXT, "max_position_embeddings": 66}, pad_token_id=1)
            ),
            loader=_CLASSIFIER,
            tier="layer hooks",
            projections=_layers("mpnet.encoder.layer.{}.attention.attn.o"),
            padding_first=False,
        ),
        "squeezebert": Family(
            title="SqueezeBERT",
            kind="encoder",
            build=lambda: hf.SqueezeBertForSequenceClassification(
                hf.SqueezeBertConfig(embedding_size=32, **_TEXT)
            ),
            loader=_CLASSIFIER,
            tier="attribution only",
            note="gives scores, not weights",
        ),
        "xlnet": Family(
            title="XLNet",
            kind="encoder",
            build=lambda: hf.XLNetForSequenceClassification(
                hf.XLNetConfig(vocab_size=64, d_model=32, n_layer=3, n_head=4, d_inner=48, pad_token_id=0)
            ),
            loader=_CLASSIFIER,
            tier="all matrices",
            note="reads the last position: rows of one length go together",
        ),
        "gpt2": Family(
            title="GPT-2",
            kind="decoder",
            build=lambda: hf.GPT2LMHeadModel(
                hf.GPT2Config(vocab_size=64, n_embd=32, n_layer=3, n_head=4, n_positions=64)
            ),
            loader=_DECODER,
            tier="tap",
            projections=_layers("transformer.h.{}.attn.c_proj"),
        ),
        "gpt2_classifier": Family(
            title="GPT-2",
            kind="decoder",
            build=lambda: hf.GPT2ForSequenceClassification(
                hf.GPT2Config(
                    vocab_size=64,
                    n_embd=32,
                    n_layer=3,
                    n_head=4,
                    n_positions=64,
                    num_labels=3,
                    pad_token_id=0,
                )
            ),
            loader=_CLASSIFIER,
            tier="tap",
            projections=_layers("transformer.h.{}.attn.c_proj"),
            note="classifier: reads the last token, which it looks for in the ids",
        ),
        "gpt_neox": Family(
            title="GPT-NeoX",
            kind="decoder",
            build=lambda: hf.GPTNeoXForCausalLM(hf.GPTNeoXConfig(**_TEXT)),
            loader=_DECODER,
            tier="tap",
            projections=_layers("gpt_neox.layers.{}.attention.dense"),
        ),
        "llama": Family(
            title="Llama",
            kind="decoder",
            build=lambda: hf.LlamaForCausalLM(hf.LlamaConfig(**_grouped())),
            loader=_DECODER,
            tier="tap",
            projections=_layers("model.layers.{}.self_attn.o_proj"),
            note="grouped queries",
        ),
        "llama_classifier": Family(
            title="Llama",
            kind="decoder",
            build=lambda: hf.LlamaForSequenceClassification(
                hf.LlamaConfig(**_grouped(num_labels=3, pad_token_id=0))
            ),
            loader=_CLASSIFIER,
            tier="tap",
            projections=_layers("model.layers.{}.self_attn.o_proj"),
            note="classifier: reads the last token, which it looks for in the ids",
        ),
        "qwen3": Family(
            title="Qwen3",
            kind="decoder",
            build=lambda: hf.Qwen3ForCausalLM(hf.Qwen3Config(**_grouped(head_dim=8))),
            loader=_DECODER,
            tier="tap",
            projections=_layers("model.layers.{}.self_attn.o_proj"),
            note="grouped queries",
        ),
        "mistral": Family(
            title="Mistral",
            kind="decoder",
            build=lambda: hf.MistralForCausalLM(hf.MistralConfig(**_grouped(sliding_window=5))),
            loader=_DECODER,
            tier="tap",
            projections=_layers("model.layers.{}.self_attn.o_proj"),
            windows=(5, 5, 5),
            note="sliding window",
        ),
        "gemma2": Family(
            title="Gemma-2",
            kind="decoder",
            build=lambda: hf.Gemma2ForCausalLM(
                hf.Gemma2Config(
                    head_dim=8,
                    query_pre_attn_scalar=8,
                    sliding_window=5,
                    attn_logit_softcapping=2.0,
                    **_grouped(),
                )
            ),
            loader=_DECODER,
            tier="module eager",
            projections=_layers("model.layers.{}.self_attn.o_proj"),
            windows=(5, None, 5),
            note="soft cap, every other layer a sliding window",
        ),
        "gpt_oss": Family(
            title="GPT-OSS",
            kind="decoder",
            build=lambda: hf.GptOssForCausalLM(
                hf.GptOssConfig(
                    head_dim=8,
                    num_local_experts=2,
                    num_experts_per_tok=1,
                    sliding_window=5,
                    rope_scaling=None,
                    **_grouped(),
                )
            ),
            loader=_DECODER,
            tier="module eager",
            projections=_layers("model.layers.{}.self_attn.o_proj"),
            windows=(5, None, 5),
            note="attention sinks: a row sums to less than 1",
        ),
        "bloom": Family(
            title="BLOOM",
            kind="decoder",
            build=lambda: hf.BloomForCausalLM(
                hf.BloomConfig(vocab_size=64, hidden_size=32, n_layer=3, n_head=4)
            ),
            loader=_DECODER,
            tier="layer hooks",
            projections=_layers("transformer.h.{}.self_attention.dense"),
        ),
        "t5": Family(
            title="T5",
            kind="encoder-decoder",
            build=lambda: hf.T5ForConditionalGeneration(hf.T5Config(**_T5)),
            loader=_SEQ2SEQ,
            tier="tap",
            projections=(
                *_layers("encoder.block.{}.layer.0.SelfAttention.o", 2),
                *_layers("decoder.block.{}.layer.0.SelfAttention.o", 2),
                *_layers("decoder.block.{}.layer.1.EncDecAttention.o", 2),
            ),
            windows=(None,) * 6,
            spread=1.0,
        ),
        "bart": Family(
            title="BART",
            kind="encoder-decoder",
            build=lambda: hf.BartForConditionalGeneration(hf.BartConfig(**_BART)),
            loader=_SEQ2SEQ,
            tier="tap",
            projections=(
                *_layers("model.encoder.layers.{}.self_attn.out_proj", 2),
                *_layers("model.decoder.layers.{}.self_attn.out_proj", 2),
                *_layers("model.decoder.layers.{}.encoder_attn.out_proj", 2),
            ),
            windows=(None,) * 6,
        ),
        "vit": Family(
            title="ViT",
            kind="image",
            build=lambda: hf.ViTForImageClassification(
                hf.ViTConfig(image_size=IMAGE_SIDE, patch_size=4, num_labels=3, **_SIZES)
            ),
            loader=hf.AutoModelForImageClassification,
            tier="tap",
            projections=_layers("vit.layers.{}.attention.o_proj"),
        ),
        "dinov2": Family(
            title="DINOv2",
            kind="image",
            build=lambda: hf.Dinov2ForImageClassification(
                hf.Dinov2Config(image_size=IMAGE_SIDE, patch_size=4, num_labels=3, mlp_ratio=2, **_IMAGE)
            ),
            loader=hf.AutoModelForImageClassification,
            tier="tap",
            projections=_layers("dinov2.encoder.layer.{}.attention.o_proj"),
        ),
        "longformer": Family(
            title="Longformer",
            kind="encoder",
            build=lambda: hf.LongformerForSequenceClassification(
                hf.LongformerConfig(
                    attention_window=4, **{**_TEXT, "max_position_embeddings": 66}, pad_token_id=1
                )
            ),
            loader=_CLASSIFIER,
            tier="attribution only",
            padding_first=False,
        ),
    }
)


def save_family(name: str, folder: Path, *, seed: int = 0) -> Path:
    """Write the tiny random model of a family, with its tokenizer or image processor."""
    family = FAMILIES[name]
    torch.manual_seed(seed)
    spread(family.build(), family.spread).save_pretrained(folder)
    if family.kind == "image":
        side = {"height": IMAGE_SIDE, "width": IMAGE_SIDE}
        hf.ViTImageProcessor(size=side).save_pretrained(folder)
        return folder
    special = SPECIAL if family.padding_first else ("[UNK]", "[PAD]", *SPECIAL[2:])
    word_piece_tokenizer(decoder=family.causal, special=special).save_pretrained(folder)
    return folder
