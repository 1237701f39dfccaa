"""The benchmark's faults do what they say, and nothing else; on a small random model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from benchmarks.detection.corpora import unlabelled
from benchmarks.detection.extraction import (
    extract,
    read_pool,
    read_reading,
    save_pool,
    save_reading,
)
from benchmarks.detection.faults import DAMAGES, WEIGHTS, ZEROED, Fault, damaged_head, loaded, pipeline_faults
from benchmarks.detection.models import logistic_regression
from monitor.analysis.settings import AnalysisSettings
from monitor.reading.analyser import Analyser
from monitor.records import Sample
from monitor.replay.batches import make_batch

TEXTS = unlabelled(
    "x",
    (
        "A good film.",
        "the plot is long and the actors are dull, but it is never bad",
        "Fine.",
        "nobody knows what this story is about",
    ),
)
FAULTS = pipeline_faults(lambda: ["the film is good", "the plot is bad", "a good plot"] * 20)


def profile_of(folder: Path, fault: Fault | None = None):
    with loaded(folder, fault) as model:
        return extract(Analyser(model, AnalysisSettings()), TEXTS, gradient=fault is None or fault.gradient)


@pytest.fixture(scope="module")
def intact(tiny_classifier):
    return profile_of(tiny_classifier)


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_changes_the_weights_of_one_head_only(tiny_classifier, tmp_path, damage):
    before = load_file(tiny_classifier / WEIGHTS)
    with loaded(tiny_classifier, damaged_head(1, 0, heads=2, damage=damage)) as model:
        after = model.network.state_dict()
    changed = {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}
    attention = "bert.encoder.layer.1.attention"
    if damage == "output_zeroed":
        name = f"{attention}.output.dense.weight"
        assert changed == {name}
        assert torch.equal(after[name][:, 16:], before[name][:, 16:])
        assert not after[name][:, :16].any()
        return
    name = f"{attention}.self.query.weight"
    assert changed <= {name, f"{attention}.self.query.bias"}
    assert torch.equal(after[name][16:], before[name][16:])
    if damage == "queries_permuted":
        assert sorted(after[name][:16, 0].tolist()) == sorted(before[name][:16, 0].tolist())


@pytest.mark.parametrize("damage", ZEROED)
def test_a_head_that_is_zeroed_loses_one_part_and_nothing_else(tiny_classifier, tmp_path, damage):
    before = load_file(tiny_classifier / WEIGHTS)
    with loaded(tiny_classifier, damaged_head(1, 0, heads=2, damage=damage)) as model:
        after = model.network.state_dict()
    part = f"bert.encoder.layer.1.attention.self.{ZEROED[damage]}"
    for name, tensor in before.items():
        own = name.startswith(f"{part}.")
        assert torch.equal(after[name][16:] if own else after[name], tensor[16:] if own else tensor)
        assert not own or not after[name][:16].any()


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_head_shows_in_its_own_layer_first(tiny_classifier, intact, damage):
    faulty = profile_of(tiny_classifier, damaged_head(1, 0, heads=2, damage=damage))
    moved = np.abs(faulty.features.profile - intact.features.profile).max(axis=(0, 3))
    assert not moved[0].any()
    assert moved[1, 0] > 1e-4
    assert moved[1, 1] == 0


def test_the_model_s_own_files_stay_as_they_were(tiny_classifier):
    before = {path.name: path.read_bytes() for path in tiny_classifier.iterdir()}
    for fault in (*FAULTS.values(), damaged_head(0, 0, heads=2, damage="output_zeroed")):
        with loaded(tiny_classifier, fault):
            pass
    assert {path.name: path.read_bytes() for path in tiny_classifier.iterdir()} == before
    assert not list(tiny_classifier.parent.glob(".faulty*"))


def test_a_doubled_separator_is_one_special_token_more(tiny_classifier, intact):
    faulty = profile_of(tiny_classifier, FAULTS["doubled_separator"])
    assert (faulty.features.inputs[:, 3] == intact.features.inputs[:, 3] + 1).all()
    assert faulty.features.words == intact.features.words


def test_without_lower_casing_words_with_capitals_are_unknown(tiny_classifier, intact):
    faulty = profile_of(tiny_classifier, FAULTS["lower_casing_removed"])
    assert not intact.features.inputs[:, 1].any()
    assert faulty.features.inputs[:, 1].tolist() == [pytest.approx(1 / 6), 0, pytest.approx(1 / 4), 0]


def batch_of(model, side: str = "right"):
    samples = [Sample(id="", time=0, text=text) for text in TEXTS.texts]
    rows = list(Analyser(model, AnalysisSettings()).encode(samples)[0].values())
    return make_batch(rows, padding_id=model.padding_id, side=side)


def test_padding_on_the_left_moves_positions_as_a_batch_padded_there_does(tiny_classifier):
    with loaded(tiny_classifier) as model:
        right, left = batch_of(model), batch_of(model, "left")
        network = model.network
        hidden = network.bert(input_ids=left.ids, attention_mask=left.real.long()).last_hidden_state
        first = hidden[torch.arange(len(left)), left.real.long().argmax(dim=1)]
        expected = network.classifier(network.bert.pooler(first.unsqueeze(1)))
        unmoved = model.run(right).answers
    with loaded(tiny_classifier, FAULTS["padding_on_the_left"]) as model:
        answers = model.run(right).answers
    assert torch.allclose(answers, expected, atol=1e-5)
    assert not torch.allclose(answers, unmoved, atol=1e-4)


def test_without_a_mask_only_padded_rows_change(tiny_classifier):
    with loaded(tiny_classifier) as model:
        batch = batch_of(model)
        before = model.run(batch).answers
    with loaded(tiny_classifier, FAULTS["no_attention_mask"]) as model:
        after = model.run(batch).answers
    same = torch.isclose(before, after, atol=1e-6).all(dim=1)
    assert same.tolist() == batch.real.all(dim=1).tolist()


@pytest.mark.parametrize("name", ["bf16", "int8"])
def test_fewer_bits_change_a_little(tiny_classifier, intact, name):
    moved = np.abs(profile_of(tiny_classifier, FAULTS[name]).features.profile - intact.features.profile).max()
    assert 1e-5 < moved < 0.5


def test_another_vocabulary_gives_other_tokens_of_the_same_words(tiny_classifier, intact):
    for name in ("vocabulary_shifted", "other_vocabulary"):
        faulty = profile_of(tiny_classifier, FAULTS[name])
        assert not np.array_equal(faulty.features.profile, intact.features.profile)
        assert faulty.features.inputs[:, 3].tolist() == [2, 2, 2, 2]
        more = faulty.features.inputs[:, 4] > intact.features.inputs[:, 4]
        assert more.any() == (name == "other_vocabulary")


def test_the_pooled_output_is_the_mean_over_a_text_s_own_tokens(tiny_classifier, intact):
    with loaded(tiny_classifier) as model:
        for row, text in enumerate(TEXTS.texts):
            encoded = model.tokenizer(text, return_tensors="pt")
            mean = model.network.bert(**encoded).last_hidden_state.mean(dim=1)[0]
            assert intact.pooled[row] == pytest.approx(mean.numpy(), abs=1e-5)


def test_samples_keep_the_order_the_ids_and_the_labels_of_their_texts(intact):
    assert intact.features.ids == TEXTS.ids
    assert intact.labels.tolist() == [-1] * 4
    assert np.diff(np.exp(intact.features.inputs[:, 0])).round().tolist() == [11, -13, 5]


def test_a_pool_and_a_reading_come_back_from_disk_as_they_were(tiny_classifier, intact, tmp_path):
    save_pool(intact, tmp_path / "pool.npz")
    again = read_pool(tmp_path / "pool.npz")
    assert (again.features.words, again.features.ids) == (intact.features.words, intact.features.ids)
    assert np.array_equal(again.features.profile, intact.features.profile)
    assert np.array_equal(again.pooled, intact.pooled)
    with loaded(tiny_classifier) as model:
        reading = Analyser(model, AnalysisSettings()).probe(TEXTS.texts)
    save_reading(reading, tmp_path / "reading.npz")
    back = read_reading(tmp_path / "reading.npz")
    assert back.identity == reading.identity
    assert back.inputs_hash == reading.inputs_hash
    assert np.array_equal(back.profile, reading.profile)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pool.npz", "reading.npz"]


def test_a_logistic_regression_separates_what_can_be_separated():
    rng = torch.Generator().manual_seed(0)
    centres = torch.tensor([[3.0, 0.0], [0.0, 3.0], [-3.0, -3.0]])
    labels = torch.arange(300) % 3
    inputs = centres[labels] + 0.5 * torch.randn(300, 2, generator=rng)
    weight, bias = logistic_regression(inputs, labels, classes=3)
    assert ((inputs @ weight.T + bias).argmax(dim=1) == labels).float().mean() > 0.98
