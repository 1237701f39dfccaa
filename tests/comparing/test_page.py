"""The page: whole in itself, well-formed, small, and every head in its map."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from monitor.comparing.comparison import compare
from monitor.comparing.examples import read_examples, side_by_side
from monitor.comparing.page import page
from monitor.comparing.summary import sentences, to_json
from monitor.records import STATISTICS, HeadId
from monitor.records.statistic_names import NAMES, PHRASES
from tests.browser import chromium_page
from tests.comparing.conftest import HEADS, LAYERS, SAMPLES, analyser_of, read, zeroed

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


def test_statistics_have_the_names_of_the_drift_report(found, example):
    text = page(found, example[0])
    assert re.search(r"<h1>[^<]*L1H2 \(log size of its output [\d.-]+ → [\d.-]+, ", text)
    assert '["spread of attention","spread over content words","on the token itself",' in text
    assert set(STATISTICS) == set(NAMES) == set(PHRASES)
    assert not re.search(r"\b(output_norm|content_entropy|readout_\w+)\b", text)
    assert "L1H2 (output_norm " in sentences(found)[0]


@pytest.fixture
def example(found, bert, candidate):
    views = [
        read_examples(analyser_of(folder), SAMPLES) for folder in (bert, candidate(zeroed(1, 2), "again"))
    ]
    return side_by_side(found, *views), views


def test_the_moved_heads_stand_side_by_side_on_the_input_where_they_differ_most(found, example):
    (name, view), (before, after) = example
    assert list(before) == [sample.id for sample in SAMPLES if 4 <= len(sample.text.split()) <= 38][:8]
    heads = [item.head for item in found.ranked[:12]]
    assert [row.title for row in view.rows] == list(map(str, heads))
    moved = {}
    for sample in before:
        pairs = [
            [(one[sample].rows[head.layer].matrices[head.head] / 255.0) ** 2 for one in (before, after)]
            for head in heads
        ]
        moved[sample] = np.mean([np.abs(one - other).sum(axis=-1).mean() for one, other in pairs])
    assert name == max(moved, key=moved.get)
    for row, head in zip(view.rows, heads, strict=True):
        for column, one in enumerate((before, after)):
            assert (row.matrices[column] == one[name].rows[head.layer].matrices[head.head]).all()


def test_where_no_head_moved_there_is_nothing_to_show(bert_reading, example):
    _, (before, _) = example
    assert side_by_side(compare(bert_reading, bert_reading), before, before) is None
    assert side_by_side(compare(bert_reading, bert_reading), {}, {}) is None


def test_the_example_is_text_and_needs_nothing_from_anywhere(found, example):
    (name, view), _ = example
    strange = replace(view, sides={"input": replace(view.sides["input"], names=("</script><img>",) * 40)})
    text = page(found, (f"<b>{name}", strange))
    outline = Outline(text)
    assert outline.addresses == []
    assert not re.search(r"https?:|url\(|@import|<link|<img|<b>" + name, text)
    assert text.count("</script>") == 2


@pytest.mark.servers
def test_both_checkpoints_answer_to_one_token(found, example, tmp_path):
    file = tmp_path / "page.html"
    file.write_text(page(found, example[0]), encoding="utf-8")
    with chromium_page(offline=True) as browser:
        browser.goto(file.as_uri())
        browser.wait_for_selector(".head-view .grid", timeout=60_000)
        assert browser.locator(".head-view .panel h4").all_text_contents() == ["model", "candidate"] * 2
        assert browser.locator(".head-view .name").first.text_content() == "L1H2"
        browser.locator(".from .item").nth(2).hover()
        assert browser.locator(".said").inner_text().count("looks most at") == 2


def test_a_head_that_moved_more_is_brighter(found):
    cells = {cell["title"].partition(":")[0]: cell.get("style") for cell in Outline(page(found)).cells}
    brightness = []
    for item in sorted(found.moved, key=lambda item: item.size):
        red, green, blue = bytes.fromhex(re.search(r"#([0-9a-f]{6})", cells[str(item.head)])[1])
        brightness.append(0.2126 * red + 0.7152 * green + 0.0722 * blue)
    assert brightness == sorted(brightness)
    assert len(set(brightness)) > 2


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
