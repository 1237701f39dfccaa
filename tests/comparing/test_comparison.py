"""Two checkpoints whose difference is known: what is named, what is counted, what is left alone."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy.stats import spearmanr
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from benchmarks.detection.faults import ZEROED, Fault, changed_weights, damaged_head
from monitor.comparing.comparable import mismatch, reading_mismatch
from monitor.comparing.comparison import compare, floor_of
from monitor.records import HeadId
from tests.comparing.conftest import HEADS, LAYERS, SAMPLES, TEXTS, read, zeroed
from tests.models import save_tiny


def without_hashes(reading):
    """A reading whose parameters cannot be compared, so that behaviour has to tell."""
    identity = replace(reading.identity, head_hashes=(), layer_hashes=(), other_hashes={})
    return replace(reading, identity=identity)


@pytest.mark.parametrize("layer", range(LAYERS))
@pytest.mark.parametrize("head", range(HEADS))
def test_a_zeroed_head_is_named_by_its_weights_and_by_behaviour_alone(candidate, bert_reading, layer, head):
    after = read(candidate(zeroed(layer, head)))
    damaged = HeadId(layer=layer, head=head)
    found = compare(bert_reading, after)
    assert [item.head for item in found.origins] == [damaged]
    assert (found.told_by, found.begins) == ("weights", damaged)
    blind = compare(without_hashes(bert_reading), without_hashes(after))
    assert [item.head for item in blind.origins] == [damaged]
    assert blind.told_by == "behaviour"
    for item in found.heads:
        if item.head != damaged:
            assert item.role == ("downstream" if item.moved else "still")
            assert item.moved is False or item.head.layer > layer
    assert found.differs
    assert found.fails("any")


@pytest.mark.parametrize("damage", ZEROED)
@pytest.mark.parametrize("head", range(HEADS))
def test_a_head_whose_values_queries_or_keys_are_zero_is_named(candidate, bert_reading, damage, head):
    after = read(candidate(damaged_head(1, head, heads=HEADS, damage=damage)))
    found = compare(bert_reading, after)
    damaged = HeadId(layer=1, head=head)
    assert (found.changes.heads, found.changes.layers, found.changes.modules) == ((damaged,), (), ())
    assert [item.head for item in found.origins] == [damaged]
    assert found.begins == damaged


@pytest.mark.parametrize("family,name", [
    ("gpt2", "transformer.h.1.attn.c_proj.weight"),
    ("llama", "model.layers.1.self_attn.o_proj.weight"),
])  # fmt: skip
def test_a_zeroed_head_of_a_decoder_is_named(tmp_path, family, name):
    model = save_tiny(family, tmp_path / "model")
    copy = tmp_path / "candidate"
    shutil.copytree(model, copy)
    tensors = load_file(copy / "model.safetensors")
    # Conv1D keeps (input, output), Linear (output, input)
    span = (slice(16, 24),) if family == "gpt2" else (slice(None), slice(16, 24))
    tensors[name][span] = 0.0
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    before, after = read(model), read(copy)
    assert [str(item.head) for item in compare(before, after).origins] == ["L1H2"]
    assert str(compare(without_hashes(before), without_hashes(after)).begins) == "L1H2"


def test_the_same_checkpoint_gives_nothing_to_the_last_bit(candidate, bert_reading):
    found = compare(bert_reading, read(candidate(Fault())))
    assert not found.differs
    assert not found.fails("any")
    assert not found.fails("important")
    assert (found.moved, found.ranked, found.origins, found.begins) == ((), (), (), None)
    assert max(item.size for item in found.heads) == 0.0
    assert (found.predictions.flips, found.predictions.largest_change) == ((), 0.0)
    assert (found.attributions.mean, found.attributions.lowest) == (pytest.approx(1), pytest.approx(1))


def test_rounded_weights_differ_but_move_no_head_over_the_floor(candidate, bert, bert_reading):
    def rounded(tensors):
        for name, tensor in tensors.items():
            tensors[name] = tensor.bfloat16().float()

    floor = floor_of(bert_reading, read(bert, "bfloat16"))
    found = compare(bert_reading, read(candidate(Fault(files=changed_weights(rounded)))), floor)
    assert found.differs
    assert len(found.changes.heads) == LAYERS * HEADS
    assert found.moved == ()
    assert found.origins == ()
    assert max(item.size for item in found.heads) > 0


def test_another_training_blames_no_single_head(tmp_path, bert_reading):
    found = compare(bert_reading, read(save_tiny("bert", tmp_path / "other", seed=1)))
    assert found.origins == ()
    assert {item.role for item in found.heads} == {"changed"}
    assert len(found.moved) == LAYERS * HEADS
    assert found.fails("important")


def test_a_changed_feed_forward_layer_moves_later_heads_and_blames_none(candidate, bert_reading):
    def change(tensors):
        tensors["bert.encoder.layer.0.output.dense.weight"] *= 1.5

    found = compare(bert_reading, read(candidate(Fault(files=changed_weights(change)))))
    assert found.origins == ()
    assert found.changes.layers == (0,)
    assert {item.head.layer for item in found.moved} == {1, 2}
    assert {item.role for item in found.moved} == {"downstream"}


def test_a_new_classifier_moves_answers_and_no_head(candidate, bert_reading):
    def change(tensors):
        tensors["classifier.weight"] *= -1

    found = compare(bert_reading, read(candidate(Fault(files=changed_weights(change)))))
    assert found.moved == ()
    assert found.predictions.flips
    assert found.fails("any")
    assert not found.fails("important")


def test_important_asks_the_head_that_it_began_with(candidate, bert_reading):
    importance = bert_reading.importance.mean(axis=0)
    order = [divmod(int(place), HEADS) for place in importance.argsort(axis=None)]
    least, most = order[0], order[-1]
    found = compare(bert_reading, read(candidate(zeroed(*least))))
    assert not found.fails("important")
    assert found.fails("any")
    assert found.origins[0].importance == pytest.approx(float(importance[least]), rel=1e-5)
    others = [item for item in found.heads if item.important]
    assert len(others) == LAYERS * HEADS // 2
    assert compare(bert_reading, read(candidate(zeroed(*most), "other"))).fails("important")


def test_answers_are_those_of_the_plain_models(candidate, bert, bert_reading):
    folder = candidate(zeroed(0, 1))
    found = compare(bert_reading, read(folder)).predictions
    tokenizer = AutoTokenizer.from_pretrained(bert)
    said = []
    for path in (bert, folder):
        network = AutoModelForSequenceClassification.from_pretrained(path, attn_implementation="eager").eval()
        with torch.no_grad():
            logits = [network(**tokenizer(text, return_tensors="pt")).logits[0] for text in TEXTS]
        said.append(torch.stack(logits).softmax(-1).numpy())
    before, after = said
    own = before.argmax(axis=1)
    flipped = [SAMPLES[i].id for i in np.flatnonzero(own != after.argmax(axis=1))]
    assert [flip.id for flip in found.flips] == flipped
    moved = np.abs(after - before)[np.arange(len(own)), own]
    assert found.known == found.samples == len(TEXTS)
    assert found.mean_change == pytest.approx(float(moved.mean()), abs=1e-5)
    assert found.largest_change == pytest.approx(float(moved.max()), abs=1e-5)


def test_attributions_are_ranked_where_the_labels_agree(candidate, bert_reading):
    after = read(candidate(zeroed(0, 1)))
    found = compare(bert_reading, after).attributions
    ranks = [
        spearmanr(one, other).statistic
        for one, other, said, now in zip(
            bert_reading.attributions, after.attributions, bert_reading.predictions, after.predictions,
            strict=True,
        )
        if said.label == now.label
    ]  # fmt: skip
    assert found.samples == len(ranks)
    assert found.mean == pytest.approx(np.mean(ranks), abs=1e-6)
    assert found.lowest == pytest.approx(min(ranks), abs=1e-6)
    assert found.lowest < 0.999


def test_attributions_are_of_the_content_tokens(bert_reading):
    for row, values in zip(bert_reading.rows, bert_reading.attributions, strict=True):
        assert len(values) == len(row) - 2


def test_a_broken_candidate_is_told_by_the_first_layer_whose_numbers_end(bert_reading):
    # as a model gives it whose output projections cannot be found among its NaN: no head has a hash
    profile = bert_reading.profile.copy()
    profile[:, 2:] = np.nan
    hashes = {"head_hashes": (), "layer_hashes": (), "other_hashes": {"everything": "0"}}
    identity = replace(bert_reading.identity, weights_hash="0", **hashes)
    found = compare(bert_reading, replace(bert_reading, profile=profile, identity=identity))
    assert not found.changes.compared
    assert found.told_by == "behaviour"
    assert {(item.head.layer, item.size) for item in found.moved} == {(2, np.inf)}
    assert [item.role for item in found.ranked] == ["origin", "beside", "beside", "beside"]
    assert found.fails("any")


def test_what_only_one_of_the_two_measures_is_left_out(candidate, bert_reading):
    after = read(candidate(zeroed(1, 2)))
    kept = [place for place, name in enumerate(after.statistics) if name != "output_norm"]
    lacking = replace(
        after, statistics=tuple(after.statistics[place] for place in kept), profile=after.profile[..., kept]
    )
    found = compare(bert_reading, lacking)
    assert all("output_norm" not in item.statistics for item in found.heads)
    whole = compare(bert_reading, after)
    for one, other in zip(found.heads, whole.heads, strict=True):
        assert one.statistics == {k: v for k, v in other.statistics.items() if k != "output_norm"}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (
            "architecture",
            "GPT2LMHeadModel",
            (
                "is GPT2LMHeadModel for sequence-classification, the model BertForSequenceClassification for "
                "sequence-classification; compare checkpoints of one architecture"
            ),
        ),
        (
            "heads",
            8,
            "has 3 layers of 8 heads, the model 3 of 4; compare checkpoints of one shape",
        ),
        (
            "layers",
            2,
            "has 2 layers of 4 heads, the model 3 of 4; compare checkpoints of one shape",
        ),
    ],
)
def test_checkpoints_of_another_shape_are_refused(bert_reading, field, value, message):
    identity = bert_reading.identity
    assert mismatch(identity, replace(identity, **{field: value})) == message
    assert mismatch(identity, identity) == ""


def test_readings_of_other_tokens_are_refused(bert_reading):
    rows = list(bert_reading.rows)
    rows[5] = (*rows[5][:-2], 9, rows[5][-1])
    assert reading_mismatch(bert_reading, replace(bert_reading, rows=tuple(rows))) == (
        "its tokenizer cuts 1 of 24 samples otherwise, s5 first; compare checkpoints that share a tokenizer, "
        "and a limit (--max-tokens)"
    )
    fewer = bert_reading.take(np.arange(20))
    assert reading_mismatch(bert_reading, fewer).startswith(
        "its tokenizer cuts 4 of 24 samples otherwise, s20"
    )
    assert reading_mismatch(bert_reading, bert_reading) == ""
