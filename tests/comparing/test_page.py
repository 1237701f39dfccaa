"""The page: whole in itself, well-formed, small, and every head in its map."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from monitor.comparing.comparison import compare
from monitor.comparing.page import CIVIDIS, page
from monitor.comparing.summary import sentences, to_json
from monitor.records import HeadId
from tests.comparing.conftest import HEADS, LAYERS, read, zeroed

VOID = {"meta", "br"}


class Outline(HTMLParser):
    """Every tag is closed by its own end; what each cell of the map says."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.cells: list[dict[str, str | None]] = []
        self.addresses: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.addresses += [name for name in values if name in ("src", "href", "action")]
        if tag == "td" and "title" in values:
            self.cells.append(values)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture
def found(candidate, bert_reading):
    return compare(bert_reading, read(candidate(zeroed(1, 2))))


def test_the_page_needs_nothing_from_anywhere(found):
    text = page(found)
    assert Outline(text).addresses == []
    assert not re.search(r"https?:|url\(|@import|<script|<link|<img", text)


def test_every_head_is_in_the_map_once_and_the_origin_is_marked(found):
    cells = Outline(page(found)).cells
    names = [str(HeadId(layer=layer, head=head)) for layer in range(LAYERS) for head in range(HEADS)]
    assert [cell["title"].partition(":")[0] for cell in cells] == names
    marked = [cell for cell in cells if cell.get("class") == "origin"]
    assert [cell["title"].partition(":")[0] for cell in marked] == ["L1H2"]
    coloured = [cell["title"].partition(":")[0] for cell in cells if "style" in cell]
    assert sorted(coloured) == sorted(str(item.head) for item in found.moved)


def test_a_head_that_moved_more_is_brighter(found):
    cells = {cell["title"].partition(":")[0]: cell.get("style") for cell in Outline(page(found)).cells}
    brightness = []
    for item in sorted(found.moved, key=lambda item: item.size):
        red, green, blue = bytes.fromhex(re.search(r"#([0-9a-f]{6})", cells[str(item.head)])[1])
        brightness.append(0.2126 * red + 0.7152 * green + 0.0722 * blue)
    assert brightness == sorted(brightness)
    assert len(set(brightness)) > 2


def test_the_ramp_is_cividis():
    from matplotlib import colormaps

    wanted = colormaps["cividis"](np.linspace(0, 1, len(CIVIDIS)))[:, :3] * 255
    given = np.array([list(bytes.fromhex(colour[1:])) for colour in CIVIDIS])
    assert np.abs(given - wanted).max() <= 2


def test_names_and_labels_are_text_and_not_markup(found):
    strange = replace(found.candidate, name="<b>&\"'")
    flip = replace(found, candidate=strange)
    text = page(flip)
    assert "<b>&" not in text
    assert "&lt;b&gt;&amp;&quot;&#x27;" in text


def test_a_page_of_the_largest_models_stays_below_two_megabytes(bert_reading):
    draw = np.random.default_rng(0)
    profile = draw.normal(size=(3, 80, 64, 10)).astype(np.float32)
    identity = replace(bert_reading.identity, layers=80, heads=64, head_hashes=(), other_hashes={})
    before = replace(
        bert_reading.take(np.arange(3)),
        identity=identity,
        profile=profile,
        importance=np.abs(profile[..., 0]),
    )
    found = compare(before, replace(before, profile=profile + draw.normal(size=profile.shape)))
    text = page(found)
    assert len(found.moved) == 80 * 64
    assert len(Outline(text).cells) == 80 * 64
    assert len(text.encode()) < 2_000_000


def test_a_broken_candidate_still_gives_a_page_and_json(bert_reading):
    profile = bert_reading.profile.copy()
    profile[:, 1:] = np.nan
    found = compare(bert_reading, replace(bert_reading, profile=profile))
    assert "no number" in page(found)
    document = json.loads(json.dumps(to_json(found), allow_nan=False))
    assert [item["size"] for item in document["heads"]] == [0.0] * HEADS + [None] * HEADS * (LAYERS - 1)


def test_without_importance_or_predictions_the_rest_is_there(bert_reading, candidate):
    bare = {"importance": None, "attributions": None, "predictions": (None,) * len(bert_reading.samples)}
    found = compare(replace(bert_reading, **bare), replace(read(candidate(zeroed(1, 2))), **bare))
    assert Outline(page(found)).cells
    assert sentences(found)[-2:] == ("The model predicts no label.", "Attributions cannot be compared.")
    document = to_json(found)
    assert (document["predictions"], document["attributions"]) == (None, None)
    assert document["origins"] == ["L1H2"]
