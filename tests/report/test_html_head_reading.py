"""Where heads look, as pages get it: the model's own matrices, merged, bounded and told so."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, AutoModelForSequenceClassification

from monitor.analysis.heads.grouped_matrices import GroupedMatrices, LayerGroups, quantised
from monitor.commands.samples import load_analyser
from monitor.reading.whole_heads import items_of, read_heads
from monitor.records import Sample
from monitor.replay.images import self_test_images
from monitor.report.html.head_view import packed
from tests.families import save_family
from tests.models import save_tiny

TEXT = "the small dog was unable to walk under the old house."


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    return cache(lambda name: save_family(name, tmp_path_factory.mktemp(name)))


def analyser_of(folder: Path):
    return load_analyser(str(folder), task="auto", max_tokens=None, threads=1)


def encoded(analyser, **sample):
    rows, refused = analyser.encode([Sample(id="s", time=0.0, **sample)])
    assert refused == []
    return rows[0]


def weights(row) -> np.ndarray:
    return (row.matrices / 255.0) ** 2


def test_a_weight_comes_back_within_the_rounding_of_its_root():
    given = np.linspace(0, 1, 100_001)
    assert (np.abs((quantised(given) / 255.0) ** 2 - given) <= np.sqrt(given) / 255 + 4e-6).all()


def test_heads_look_where_the_models_own_matrices_say(family):
    folder = family("bert")
    analyser = analyser_of(folder)
    row = encoded(analyser, text=TEXT)
    view = read_heads(analyser, row, np.ones(len(row.ids), dtype=np.float32))
    network = AutoModelForSequenceClassification.from_pretrained(folder, attn_implementation="eager")
    with torch.no_grad():
        wanted = network(input_ids=torch.tensor([row.ids]), output_attentions=True).attentions
    assert view.sides["input"].names == row.tokens
    assert view.sides["input"].special == row.special
    assert [row.title for row in view.rows] == ["0", "1", "2"]
    for shown, matrix in zip(view.rows, wanted, strict=True):
        np.testing.assert_allclose(weights(shown), matrix[0].numpy(), atol=1 / 255 + 1e-4)
        assert [head.name for head in shown.heads] == [f"L{shown.title}H{head}" for head in range(4)]
        named = {name for name, _ in shown.heads[0].facts}
        assert named >= {"spread of attention", "on the token itself", "importance"}
    importance = [[float(dict(head.facts)["importance"]) for head in row.heads] for row in view.rows]
    assert view.start == np.unravel_index(np.argmax(importance), (3, 4))


def test_a_decoders_heads_look_back_only_and_its_first_token_can_be_hidden(family):
    analyser = analyser_of(family("gpt2"))
    row = encoded(analyser, text=TEXT)
    view = read_heads(analyser, row, np.ones(len(row.ids), dtype=np.float32))
    for shown in view.rows:
        assert not np.triu(shown.matrices, k=1).any()
        np.testing.assert_allclose(weights(shown).sum(axis=-1), 1, atol=0.05)
    assert view.sides["input"].special == (0,)
    assert view.toggle == "the first token, where decoders rest"


def test_an_encoder_decoders_three_kinds_of_attention_are_told_apart(family):
    folder = family("bart")
    analyser = analyser_of(folder)
    row = encoded(analyser, text=TEXT, text_pair="the dog ran")
    view = read_heads(analyser, row, np.ones(len(row.ids), dtype=np.float32))
    network = AutoModelForSeq2SeqLM.from_pretrained(folder, attn_implementation="eager")
    with torch.no_grad():
        output = network(
            input_ids=torch.tensor([row.ids]),
            decoder_input_ids=torch.tensor([row.decoder_ids]),
            output_attentions=True,
        )
    wanted = (*output.encoder_attentions, *output.decoder_attentions, *output.cross_attentions)
    assert [(row.title, row.queries, row.keys) for row in view.rows] == [
        ("encoder 0", "input", "input"),
        ("encoder 1", "input", "input"),
        ("decoder 0", "output", "output"),
        ("decoder 1", "output", "output"),
        ("cross 0", "output", "input"),
        ("cross 1", "output", "input"),
    ]
    for shown, matrix in zip(view.rows, wanted, strict=True):
        np.testing.assert_allclose(weights(shown), matrix[0].numpy(), atol=1 / 255 + 1e-4)
    assert len(view.sides["output"].names) == len(row.decoder_ids)
    assert [bool(row.heads[0].role) for row in view.rows] == [True, True, False, False, False, False]


def test_an_images_patches_lie_over_the_picture_as_the_model_saw_it(family):
    import io

    from PIL import Image

    analyser = analyser_of(family("vit"))
    picture = self_test_images()[2]
    row = encoded(analyser, image=picture)
    view = read_heads(analyser, row, np.ones(len(row.ids), dtype=np.float32))
    assert (view.picture.rows, view.picture.columns, view.picture.before) == (4, 4, 1)
    assert len(view.sides["input"].names) == 17
    kind, file = analyser.model.encoder.picture(row.pixels)
    with Image.open(io.BytesIO(file)) as seen, Image.open(io.BytesIO(picture)) as given:
        resized = given.convert("RGB").resize((16, 16), Image.Resampling.BILINEAR)
        assert kind == "png"
        assert np.abs(np.asarray(seen, dtype=int) - np.asarray(resized, dtype=int)).max() <= 1


def test_tokens_are_summed_as_keys_and_averaged_as_queries_whatever_the_blocks():
    draw = torch.Generator().manual_seed(0)
    attention = torch.rand(1, 2, 6, 6, generator=draw).softmax(dim=-1)
    groups = LayerGroups(queries=((0,), (1, 2), (5,)), keys=((0, 3), (4,)))
    found = []
    for size in (6, 2, 1):
        keeper = GroupedMatrices([groups])
        keeper.begin(0, None)
        for start in range(0, 6, size):
            block = attention[:, :, start : start + size]
            keeper.weights(block, block.log(), start)
        found.append(keeper.matrices()[0])
    assert (found[0] == found[1]).all()
    assert (found[0] == found[2]).all()
    plain = attention[0].numpy()
    rows = np.stack([plain[:, 0], plain[:, 1:3].mean(axis=1), plain[:, 5]], axis=1)
    wanted = np.stack([rows[..., 0] + rows[..., 3], rows[..., 4]], axis=-1)
    np.testing.assert_allclose((found[0] / 255.0) ** 2, wanted, atol=1 / 255)


def test_a_long_input_is_merged_to_words_then_cut_to_the_strongest_and_both_are_said(family):
    analyser = analyser_of(family("bert"))
    row = encoded(analyser, text="unable walks running dogs. " * 6)
    strength = np.zeros(len(row.ids), dtype=np.float32)
    strength[[10, 20]] = -3.0
    whole = read_heads(analyser, row, strength)
    words = len(items_of(analyser.model, row))
    assert len(whole.sides["input"].names) == len(row.ids) > words > 12
    small = read_heads(analyser, row, strength, most_packed=900)
    kept = len(small.sides["input"].names)
    assert kept < words
    assert len(packed(small)) <= 900
    merged, cut, _ = small.notes
    assert merged == "The input is long: the tokens of a word are merged."
    assert cut == (
        f"Of {words} words and special tokens the {kept} with the strongest attribution are shown, and the "
        "first and the last; what goes to others is told as not shown."
    )
    names = small.sides["input"].names
    assert (names[0], names[-1]) == ("[CLS]", "[SEP]")
    strongest = [item.name for item in items_of(analyser.model, row) if {10, 20} & set(item.tokens)]
    assert all(name in names for name in strongest)


def test_a_large_image_is_merged_to_blocks_of_patches(family):
    analyser = analyser_of(family("vit"))
    row = encoded(analyser, image=self_test_images()[0])
    view = read_heads(analyser, row, np.ones(len(row.ids), dtype=np.float32), most_packed=700)
    assert (view.picture.rows, view.picture.columns) == (2, 2)
    assert view.sides["input"].names == ("[CLS]", "r0c0", "r0c1", "r1c0", "r1c1")
    assert view.notes[0] == "Neighbouring patches are merged: 2 x 2 are shown."
    for shown in view.rows:
        np.testing.assert_allclose(weights(shown).sum(axis=-1), 1, atol=0.03)


def test_where_no_attention_can_be_read_there_is_no_view(family):
    analyser = analyser_of(family("squeezebert"))
    row = encoded(analyser, text=TEXT)
    assert read_heads(analyser, row, np.ones(len(row.ids), dtype=np.float32)) is None


def test_words_keep_their_place_among_special_tokens(tmp_path):
    analyser = analyser_of(save_tiny("bert", tmp_path))
    row = encoded(analyser, text="the dog was unable", text_pair="a cat")
    items = items_of(analyser.model, row)
    assert [item.name for item in items] == [
        "[CLS]", "the", "dog", "was", "unable", "[SEP]", "a", "cat", "[SEP]"
    ]  # fmt: skip
    assert [place for item in items for place in item.tokens] == list(range(len(row.ids)))
    assert [item.name for item in items if item.special] == ["[CLS]", "[SEP]", "[SEP]"]
