"""What must hold for every statistic, whatever the model says."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForSequenceClassification

from monitor.analysis.heads.statistics import HEAD_STATISTICS, KeySums, join_blocks, reduce_block
from monitor.analysis.layout import Sight, TokenLayout
from monitor.analysis.settings import AnalysisSettings
from monitor.reading.analyser import Analyser
from monitor.reading.stacking import stack
from monitor.records import STATISTICS, Sample, ServedPrediction
from monitor.replay.model import load_model
from monitor.replay.settings import ModelSettings
from tests.models import save_tiny

BOUNDED = [name for name in HEAD_STATISTICS if name not in ("distance", "output_norm")]
FAMILIES = ("bert", "gpt2", "llama", "mistral", "deberta", "roberta", "encoder")
TEXTS = (
    "the cat sat on the mat, and the dog ran.",
    "a dog",
    "it was unable to walk; but it ran very quickly, quickly!",
    "river",
)


def samples(texts: tuple[str, ...] = TEXTS) -> list[Sample]:
    return [Sample(id=text, time=0.0, text=text) for text in texts]


def random_layer(
    seed: int, lengths: list[int], *, causal: bool, side: str, width: int
) -> tuple[torch.Tensor, torch.Tensor, TokenLayout, Sight]:
    """Attention whose real part depends on the row alone, not on where the padding is."""
    real = torch.zeros(len(lengths), width, dtype=torch.bool)
    special = torch.zeros_like(real)
    scores = torch.full((len(lengths), 3, width, width), -1e30)
    norms = torch.ones(len(lengths), 3, width)
    for row, length in enumerate(lengths):
        draw = torch.Generator().manual_seed(seed + row)
        start = width - length if side == "left" else 0
        span = slice(start, start + length)
        real[row, span] = True
        special[row, start] = special[row, start + length - 1] = True
        scores[row, :, span, span] = 3 * torch.randn(3, length, length, generator=draw)
        norms[row, :, span] = torch.rand(3, length, generator=draw)
    if causal:
        scores = scores.masked_fill(~torch.ones(width, width, dtype=torch.bool).tril(), -1e30)
    layout = TokenLayout.of(real, special, causal=causal)
    return scores.log_softmax(-1), norms, layout, Sight.of(layout, None)


def key_sums(log_attention: torch.Tensor, norms: torch.Tensor, sight: Sight, block: int) -> KeySums:
    blocks = [
        reduce_block(part.exp(), part, start, sight)
        for start, part in zip(
            range(0, log_attention.shape[2], block), log_attention.split(block, dim=2), strict=True
        )
    ]
    return join_blocks(blocks, norms)


@pytest.mark.parametrize("causal", [False, True], ids=["encoder", "decoder"])
@pytest.mark.parametrize("name", HEAD_STATISTICS)
def test_padding_on_either_side_changes_no_head_statistic(name: str, causal: bool) -> None:
    lengths = [1, 2, 3, 7, 12]
    values = []
    for side, width, block in (("right", 12, 12), ("left", 12, 5), ("right", 19, 4), ("left", 19, 19)):
        log_attention, norms, _, sight = random_layer(3, lengths, causal=causal, side=side, width=width)
        values.append(HEAD_STATISTICS[name](key_sums(log_attention, norms, sight, block), sight))
    for other in values[1:]:
        torch.testing.assert_close(other, values[0], atol=2e-6, rtol=0)


@given(
    seed=st.integers(0, 10_000),
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    causal=st.booleans(),
)
def test_bounded_statistics_stay_within_zero_and_one(seed: int, lengths: list[int], causal: bool) -> None:
    log_attention, norms, _, sight = random_layer(seed, lengths, causal=causal, side="right", width=10)
    sums = key_sums(log_attention, norms, sight, 10)
    for name, statistic in HEAD_STATISTICS.items():
        values = statistic(sums, sight)
        assert torch.isfinite(values).all(), name
        if name in BOUNDED:
            assert values.min() >= -1e-6, name
            assert values.max() <= 1 + 1e-6, name
        if name == "distance":
            assert values.min() >= 0


def test_uniform_attention_has_entropy_and_distance_one() -> None:
    log_attention, norms, layout, sight = random_layer(0, [8], causal=False, side="right", width=8)
    uniform = torch.full_like(log_attention, -np.log(8))
    sums = key_sums(uniform, norms, sight, 8)
    assert layout.content.sum() == 6
    for name in ("entropy", "content_entropy", "distance", "readout_entropy"):
        torch.testing.assert_close(HEAD_STATISTICS[name](sums, sight), torch.ones(1, 3))


def test_the_statistics_are_those_that_the_records_name_in_that_order() -> None:
    assert tuple(HEAD_STATISTICS) == STATISTICS


@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_gives_what_single_rows_give(family: str, tiny_analyser: Callable[..., Analyser]) -> None:
    together = tiny_analyser(family).profile(samples()).analyses
    alone = [tiny_analyser(family).profile([sample]).analyses[0] for sample in samples()]
    for one, other in zip(together, alone, strict=True):
        assert one.id == other.id
        np.testing.assert_allclose(one.profile, other.profile, atol=2e-5)
        np.testing.assert_allclose(one.rollout.row, other.rollout.row, atol=1e-5)
        assert one.head_importance is not None
        assert other.head_importance is not None
        np.testing.assert_allclose(one.head_importance, other.head_importance, atol=1e-4, rtol=1e-3)
        assert one.top_words == other.top_words
        assert one.words == other.words


@pytest.mark.parametrize("family", FAMILIES)
def test_the_gradient_pass_changes_no_statistic(family: str, tiny_analyser: Callable[..., Analyser]) -> None:
    analyser = tiny_analyser(family)
    with_gradient = analyser.profile(samples(), gradient=True).analyses
    without = analyser.profile(samples(), gradient=False).analyses
    for one, other in zip(with_gradient, without, strict=True):
        np.testing.assert_allclose(one.profile, other.profile, atol=1e-5)
        assert other.head_importance is None
        assert other.top_words == ()


def test_query_blocks_do_not_change_the_profile(
    tiny_analyser: Callable[..., Analyser], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tiny_analyser("mistral").profile(samples()).analyses
    monkeypatch.setattr("monitor.replay.tap.SLAB_ELEMENTS", 1500)
    monkeypatch.setattr("monitor.replay.tap.BLOCK_ELEMENTS", 300)
    blocks = tiny_analyser("mistral").profile(samples()).analyses
    for one, other in zip(whole, blocks, strict=True):
        np.testing.assert_allclose(one.profile, other.profile, atol=1e-6)
        np.testing.assert_allclose(one.rollout.row, other.rollout.row, atol=1e-6)


def test_a_rollout_row_sums_to_one_and_its_summary_is_bounded(tiny_analyser: Callable[..., Analyser]) -> None:
    for family in ("bert", "llama"):
        for analysis in tiny_analyser(family).profile(samples()).analyses:
            assert analysis.rollout.row.sum() == pytest.approx(1, abs=1e-5)
            for value in (analysis.rollout.entropy, analysis.rollout.special_mass, analysis.rollout.reach):
                assert 0 <= value <= 1 + 1e-6


def test_a_head_that_writes_nothing_has_a_finite_output_norm_and_no_importance(tmp_path: Path) -> None:
    network = AutoModelForSequenceClassification.from_pretrained(save_tiny("bert", tmp_path))
    network.bert.encoder.layer[1].attention.output.dense.weight.data[:, 8:16] = 0
    network.save_pretrained(tmp_path)
    analyser = Analyser(load_model(ModelSettings(source=str(tmp_path))), AnalysisSettings())
    analysis = analyser.profile(samples()[:1]).analyses[0]
    place = analyser.statistics.index("output_norm")
    assert analysis.profile[1, 1, place] == pytest.approx(np.log(1e-12))
    assert analysis.profile[1, 0, place] > -10
    assert analysis.head_importance is not None
    assert analysis.head_importance[1, 1] == 0


def test_two_threads_profile_different_samples_and_see_only_their_own(
    tiny_analyser: Callable[..., Analyser],
) -> None:
    analyser = tiny_analyser("llama")
    expected = {s.id: analyser.profile([s]).analyses[0].profile for s in samples()}

    def work(sample: Sample) -> tuple[str, Any]:
        return sample.id, analyser.profile([sample]).analyses[0].profile

    with ThreadPoolExecutor(2) as threads:
        for id_, profile in threads.map(work, samples() * 15):
            np.testing.assert_array_equal(profile, expected[id_])


def test_work_stops_between_batches_when_asked_and_says_so(tiny_analyser: Callable[..., Analyser]) -> None:
    analyser = tiny_analyser("bert", token_budget=16)
    asked = iter([False, True])
    analysed = analyser.profile(samples(), should_stop=lambda: next(asked))
    assert not analysed.complete
    assert [a.id for a in analysed.analyses] == ["a dog", "river"]


def test_the_probe_gives_the_same_bits_each_time(tiny_analyser: Callable[..., Analyser]) -> None:
    analyser = tiny_analyser("bert")
    first, second = analyser.probe(TEXTS), analyser.probe(TEXTS)
    np.testing.assert_array_equal(first.profile, second.profile)
    np.testing.assert_array_equal(first.prediction, second.prediction)
    assert first.inputs_hash == second.inputs_hash
    assert first.profile.shape == (4, 3, 4, 10)


def test_features_say_how_the_served_answer_differs_from_the_replay(
    tiny_analyser: Callable[..., Analyser],
) -> None:
    analyser = tiny_analyser("bert")
    own = analyser.profile(samples()[:1]).analyses[0].prediction
    assert own is not None
    other = (own.target + 1) % 3
    answers = [
        ServedPrediction(label=own.label.lower(), probability=own.probability),
        ServedPrediction(label=str(other), probability=0.9),
        ServedPrediction(label=own.label),
        None,
    ]
    rows = [Sample(id=str(i), time=float(i), text=TEXTS[0], served=a) for i, a in enumerate(answers)]
    features = stack(analyser.profile(rows).analyses)
    remaining = abs(0.9 - (1 - own.probability) / 2)
    np.testing.assert_allclose(
        features.fidelity, [[0, 0], [1, remaining], [0, np.nan], [np.nan, np.nan]], atol=1e-6
    )
    assert features.prediction.shape == (4, 5)
    assert features.importance.shape == (3, 4)
    assert features.times.tolist() == [0, 1, 2, 3]


def test_an_encoder_without_a_head_predicts_nothing(tiny_analyser: Callable[..., Analyser]) -> None:
    features = stack(tiny_analyser("encoder").profile(samples()).analyses)
    assert features.prediction.shape == (4, 0)
    assert np.isnan(features.fidelity).all()


@pytest.mark.parametrize("family", ["bert", "llama", "mistral"])
@pytest.mark.parametrize("side", ["right", "left"])
def test_watching_changes_no_answer_beyond_rounding(
    family: str, side: str, tiny_analyser: Callable[..., Analyser]
) -> None:
    analyser = tiny_analyser(family)
    rows = list(analyser.encode(samples())[0].values())
    batch = analyser.model.batch(rows, side=side)  # type: ignore[arg-type]
    answers = analyser.reader.read_batch(batch, gradient=False).answers
    with_gradient = analyser.reader.read_batch(batch, gradient=True).answers.detach()
    unwatched = analyser.model.run(batch).answers
    torch.testing.assert_close(answers, unwatched, atol=2e-6, rtol=1e-5)
    torch.testing.assert_close(with_gradient, unwatched, atol=0, rtol=0)
