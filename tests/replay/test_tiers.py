"""Tiers 2 to 5: what each holds in memory, what it refuses, and that passes do not see each other."""

from __future__ import annotations

import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    DebertaV2Config,
    DebertaV2ForSequenceClassification,
    Gemma2Config,
    Gemma2ForCausalLM,
    MambaConfig,
    MambaForCausalLM,
)

from monitor.analysis.settings import AnalysisSettings
from monitor.reading.analyser import Analyser
from monitor.records import Sample
from monitor.replay import module_eager
from monitor.replay.model import load_model
from monitor.replay.replayed_model import ReplayModel
from monitor.replay.settings import ModelSettings
from tests.models import spread, word_piece_tokenizer

LENGTH = 40
TEXTS = ("the cat sat on the mat, and the dog ran.", "a dog", "it was unable to walk!", "river")


def loaded(folder: Path, **options: Any) -> ReplayModel:
    return load_model(ModelSettings(source=str(folder), **options))


def analyser_of(folder: Path) -> Analyser:
    return Analyser(loaded(folder), AnalysisSettings())


def samples() -> list[Sample]:
    return [Sample(id=text, time=0.0, text=text) for text in TEXTS]


def layers_of(name: str, layers: int) -> Any:
    sizes = {"hidden_size": 32, "num_hidden_layers": layers, "num_attention_heads": 4,
             "intermediate_size": 48, "vocab_size": 64, "max_position_embeddings": 64}  # fmt: skip
    if name == "layer hooks":
        return DebertaV2ForSequenceClassification(DebertaV2Config(type_vocab_size=0, **sizes))
    options = {**sizes, "head_dim": 8, "num_key_value_heads": 2}
    return Gemma2ForCausalLM(Gemma2Config(**options))


class MostMatrices:
    """A reducer that counts the attention matrices alive while a layer is reduced."""

    def __init__(self) -> None:
        self.most = 0

    def begin(self, layer: int, visible: torch.Tensor | None) -> None:
        alive = [
            one
            for one in gc.get_objects()
            if type(one) is torch.Tensor and one.ndim == 4 and one.shape[1:] == (4, LENGTH, LENGTH)
        ]
        self.most = max(self.most, len({one.data_ptr() for one in alive}))

    def weights(self, attention: torch.Tensor, log_attention: torch.Tensor, start: int) -> None:
        pass

    def context(self, context: torch.Tensor) -> None:
        pass


@pytest.mark.parametrize("tier", ["layer hooks", "module eager"])
def test_no_matrix_is_kept_when_its_layer_is_done(tier: str, tmp_path: Path) -> None:
    most = []
    for layers in (2, 8):
        folder = tmp_path / str(layers)
        layers_of(tier, layers).save_pretrained(folder)
        word_piece_tokenizer(decoder=tier == "module eager").save_pretrained(folder)
        model = loaded(folder)
        assert (model.tier, model.layers_seen) == (tier, layers)
        row = model.encoder.encode(Sample(id="", time=0.0, input_ids=tuple(range(5, 5 + LENGTH // 2)) * 2))
        counter = MostMatrices()
        model.run(model.batch([row]), counter)
        most.append(counter.most)
    assert most[0] == most[1] <= 3


def test_all_matrices_are_kept_by_the_fourth_tier_so_its_inputs_are_short(
    tiny_family: Callable[[str], Path],
) -> None:
    model = loaded(tiny_family("xlnet"))
    assert model.tier == "all matrices"
    assert model.max_tokens == 512
    assert "inputs over 512 tokens: every layer's matrix is kept at once" in model.refusals


@pytest.mark.parametrize("name", ["deberta", "bloom", "gemma2", "t5"])
def test_threads_see_only_their_own_forward_pass(name: str, tiny_family: Callable[[str], Path]) -> None:
    analyser = analyser_of(tiny_family(name))
    expected = {s.id: analyser.profile([s]).analyses[0] for s in samples()}

    def work(sample: Sample) -> tuple[str, Any]:
        return sample.id, analyser.profile([sample]).analyses[0]

    with ThreadPoolExecutor(2) as threads:
        for id_, analysis in threads.map(work, samples() * 5):
            np.testing.assert_array_equal(analysis.profile, expected[id_].profile)
            assert analysis.top_words == expected[id_].top_words
            np.testing.assert_array_equal(analysis.head_importance, expected[id_].head_importance)


@pytest.mark.parametrize(
    "name", ["deberta", "mpnet", "bloom", "gemma2", "gpt_oss", "t5", "bart", "longformer"]
)
def test_a_batch_gives_what_single_rows_give_in_every_tier(
    name: str, tiny_family: Callable[[str], Path]
) -> None:
    analyser = analyser_of(tiny_family(name))
    together = analyser.profile(samples()).analyses
    for one, sample in zip(together, samples(), strict=True):
        other = analyser.profile([sample]).analyses[0]
        np.testing.assert_allclose(one.profile, other.profile, atol=5e-5)
        np.testing.assert_allclose(one.rollout.row, other.rollout.row, atol=1e-5)
        assert one.prediction is not None
        assert other.prediction is not None
        assert one.prediction.probability == pytest.approx(other.prediction.probability, abs=1e-4)
        if one.head_importance is not None:
            np.testing.assert_allclose(one.head_importance, other.head_importance, atol=1e-3, rtol=1e-2)


def test_a_model_without_attention_still_gets_attribution_and_says_so(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = MambaConfig(vocab_size=64, hidden_size=16, num_hidden_layers=2, state_size=4, pad_token_id=0)
    spread(MambaForCausalLM(config), 2.0).save_pretrained(tmp_path)
    word_piece_tokenizer(decoder=True).save_pretrained(tmp_path)
    analyser = analyser_of(tmp_path)
    model = analyser.model
    assert (model.tier, model.layers_seen, model.statistics) == ("attribution only", 0, ())
    assert [tier for tier, _ in model.finding.refused] == [
        "tap", "module eager", "layer hooks", "all matrices",
    ]  # fmt: skip
    assert model.refusals[0].startswith("head profiles and rollout: no tier reads this model's attention (")
    analysis = analyser.profile(samples()[:1]).analyses[0]
    assert analysis.profile.shape == (0, 0, 0)
    assert analysis.rollout.top_words == ()
    assert analysis.top_words
    explained = analyser.attribute(samples()[:1])[0]
    assert explained.relative_delta < 0.05
    assert float(np.abs(explained.values).max()) > 0


def test_heads_that_differ_between_encoder_and_decoder_are_refused_in_words(tmp_path: Path) -> None:
    config = BartConfig(vocab_size=64, d_model=32, encoder_layers=1, decoder_layers=1,
                        encoder_attention_heads=4, decoder_attention_heads=2, encoder_ffn_dim=48,
                        decoder_ffn_dim=48, max_position_embeddings=64, pad_token_id=0, bos_token_id=2,
                        eos_token_id=3, decoder_start_token_id=3, forced_eos_token_id=None)  # fmt: skip
    BartForConditionalGeneration(config).save_pretrained(tmp_path)
    word_piece_tokenizer().save_pretrained(tmp_path)
    model = loaded(tmp_path)
    assert model.tier == "attribution only"
    assert model.finding.reason == "its layers differ in their heads (2, 4)"


def test_weights_that_are_not_those_of_eager_attention_refuse_the_second_tier(
    tiny_family: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers.models.gemma2 import modeling_gemma2

    folder = tiny_family("gemma2")
    eager = modeling_gemma2.eager_attention_forward

    def scaled(*arguments: Any, **options: Any) -> Any:
        output, weights = eager(*arguments, **options)
        return output, weights * 0.9

    monkeypatch.setattr(module_eager, "modelled", lambda _module: scaled)
    model = loaded(folder)
    assert model.tier == "layer hooks"
    assert model.finding.refused[1] == ("module eager", "its weights differ from eager attention")


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", ["bert", "llama", "gemma2", "deberta", "bart", "t5", "vit"])
def test_half_precision_is_served_by_the_same_tier(
    name: str, dtype: str, tiny_family: Callable[[str], Path]
) -> None:
    full = loaded(tiny_family(name))
    model = loaded(tiny_family(name), dtype=dtype)
    assert (model.tier, model.layers_seen, model.identity.dtype) == (full.tier, full.layers_seen, dtype)
