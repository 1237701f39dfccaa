"""``headwatch explain --html``: the page of one input, as a browser shows it, for every kind of model."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from html.parser import HTMLParser
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page

from monitor.cli import main
from monitor.replay.images import self_test_images
from monitor.report.explained_page import ExplainedPage, ShownItem, explained_page
from tests.browser import chromium_page
from tests.families import save_family

TEXT = "the small dog was unable to walk under the old house."
NASTY = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
VOID = {"meta", "img", "input"}


class Outline(HTMLParser):
    """Every tag is closed by its own end; which elements there are, and every address in them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [str(value) for name, value in attrs if name in ("src", "href", "action")]
        assert not [name for name, _ in attrs if name.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    return cache(lambda name: save_family(name, tmp_path_factory.mktemp(name)))


@pytest.fixture(scope="module")
def browser_page() -> Iterator[Page]:
    with chromium_page(offline=True) as page:
        yield page


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    return int(left.value.code or 0)


def written(folder: Path, target: Path, *options: object) -> str:
    assert run("explain", "--model", folder, "--html", target, *options) == 0
    return target.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def explained(family, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """``explained(name, *options)``: the page of this kind of model, written once for all who ask for it."""
    folder = tmp_path_factory.mktemp("pages")
    numbers = count()

    @cache
    def _explained(name: str, *options: object) -> Path:
        target = folder / f"{next(numbers)}.html"
        written(family(name), target, *options)
        return target

    return _explained


def shown(page: Page, target: Path) -> Page:
    page.goto(target.as_uri())
    page.wait_for_selector(".head-view .grid", timeout=60_000)
    return page


def test_the_page_says_the_answer_every_method_and_how_far_to_rely_on_it(family, tmp_path, capfd):
    target = tmp_path / "out.html"
    options = ("--text", TEXT, "--also", "relevance", "--json")
    folder = family("bert")
    capfd.readouterr()
    text = written(folder, target, *options)
    printed = capfd.readouterr()
    assert printed.err == f"{target}\n"
    document = json.loads(printed.out)
    assert run("explain", "--model", folder, *options) == 0
    assert json.loads(capfd.readouterr().out) == document
    first = document["summary"].split(". ")[0] + "."
    assert f"<h1>{first.replace(chr(39), '&#x27;')}</h1>" in text
    assert re.findall(r'data-method="(\w+)"', text) == [
        "attribution", "gradient_times_input", "relevance", "gradient_times_attention", "rollout"
    ]  # fmt: skip
    assert "Attention is not an explanation." in text
    gap = document["convergence"]
    assert f"settled after {gap['steps']} steps;" in text
    for agreed in document["agreements"].values():
        assert f"({agreed['spearman']:.2f}; {agreed['overlap_at_5']:.0%} of the top 5)" in text
    assert Outline(text).addresses == []
    assert "https:" not in text
    assert "http:" not in text


def test_the_words_carry_the_numbers_that_the_command_prints(family, tmp_path, capfd):
    target = tmp_path / "out.html"
    text = written(family("bert"), target, "--text", "the small dog was unable to walk", "--json")
    words = {one["word"]: one["attribution"] for one in json.loads(capfd.readouterr().out)["words"]}
    assert len(words) == 7
    panel = text[text.index('data-method="attribution"') : text.index('data-method="gradient_times_input"')]
    spans = re.findall(
        r'<span class="(\w+)[^"]*" style="--share:([\d.]+)" title="(\S+) logits">(.+?)</span>', panel
    )
    largest = max(map(abs, words.values()))
    content = [span for span in spans if not span[3].startswith("[")]
    assert [span[3] for span in content] == list(words)
    for sign, share, number, word in content:
        assert float(number) == pytest.approx(words[word], rel=0.01, abs=1e-4)
        assert sign == ("less" if words[word] < 0 else "more")
        assert float(share) == pytest.approx(abs(words[word]) / largest, abs=0.006)


@pytest.mark.servers
def test_a_click_on_a_method_shows_that_method_alone(explained, browser_page):
    page = shown(browser_page, explained("bert", "--text", TEXT))
    panels = "[...document.querySelectorAll('.panel[data-method]')]"
    visible = f"{panels}.filter((one) => one.offsetParent).map((one) => one.dataset.method)"
    assert page.evaluate(visible) == ["attribution"]
    page.locator("label", has_text="attention rollout").click()
    assert page.evaluate(visible) == ["rollout"]
    page.keyboard.press("ArrowLeft")
    assert page.evaluate(visible) == ["gradient_times_attention"]
    page.emulate_media(media="print")
    assert set(page.evaluate(visible)) == {
        "attribution", "gradient_times_input", "relevance", "gradient_times_attention", "rollout",
    }  # fmt: skip
    page.emulate_media(media="screen")


@pytest.mark.servers
@pytest.mark.parametrize(
    ("name", "options", "rows"),
    [
        ("bert", ("--text", TEXT), ["0", "1", "2"]),
        ("gpt2", ("--text", TEXT), ["0", "1", "2"]),
        ("llama", ("--text", TEXT, "--text-pair", "the cat ran"), ["0", "1", "2"]),
        (
            "bart",
            ("--text", TEXT, "--text-pair", "the cat ran"),
            ["encoder 0", "encoder 1", "decoder 0", "decoder 1", "cross 0", "cross 1"],
        ),
        ("deberta", ("--text", TEXT), ["0", "1", "2"]),
    ],
    ids=["encoder", "decoder", "served completion", "encoder-decoder", "layer hooks"],
)
def test_models_of_every_kind_show_all_their_heads(name, options, rows, explained, browser_page):
    page = shown(browser_page, explained(name, *options))
    assert page.locator(".grid .name").all_text_contents() == rows
    assert page.locator(".grid button").count() == 4 * len(rows)
    page.locator(".grid button").last.click()
    page.locator(".from .item").last.hover()
    assert "looks most at" in page.locator(".said").inner_text()


@pytest.mark.parametrize("name", ["llama", "bart"])
def test_a_given_answer_is_told_as_given_and_not_as_what_the_model_says(name, explained):
    page = explained(name, "--text", TEXT, "--text-pair", "the cat ran").read_text(encoding="utf-8")
    assert re.search("<h1>The model gives a token of this answer probability 0[.][0-9]{2} [(]the", page)
    assert "Place by place, its own first choices were" in page
    assert "<dt>own first choices</dt>" in page
    assert "The model says" not in page


@pytest.mark.servers
def test_an_image_is_explained_over_its_patches(family, tmp_path, browser_page):
    image, target = tmp_path / "in.png", tmp_path / "out.html"
    image.write_bytes(self_test_images()[2])
    text = written(family("vit"), target, "--image", image)
    assert all(one.startswith("data:image/png;base64,") for one in Outline(text).addresses)
    page = shown(browser_page, target)
    first = page.locator(".panel[data-method=attribution] .patches span")
    assert first.count() == 16
    assert first.nth(5).get_attribute("title").startswith("r1c1: ")
    page.locator(".patch").nth(5).click()
    assert page.locator(".said").inner_text().startswith("‘r1c1’ looks most at")


@pytest.mark.servers
@pytest.mark.parametrize(("width", "dark"), [(360, False), (360, True), (1200, True)])
def test_the_page_fits_a_phone_and_a_screen(width, dark, explained, browser_page):
    target = explained("bert", "--text", TEXT, "--also", "relevance")
    browser_page.set_viewport_size({"width": width, "height": 800})
    browser_page.emulate_media(color_scheme="dark" if dark else "light")
    page = shown(browser_page, target)
    page.get_by_text("The numbers").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    browser_page.set_viewport_size({"width": 1200, "height": 900})


def test_labels_and_words_are_text_and_not_markup(family, explained, tmp_path):
    import shutil

    folder, target = tmp_path / "model", tmp_path / "out.html"
    shutil.copytree(family("bert"), folder)
    config = json.loads((folder / "config.json").read_text())
    config["id2label"] = {str(number): NASTY for number in range(3)}
    (folder / "config.json").write_text(json.dumps(config))
    text = written(folder, target, "--text", f"the dog {NASTY} ran", "--text-pair", NASTY)
    plain = explained("bert", "--text", TEXT).read_text(encoding="utf-8")
    assert Outline(text).tags.count("script") == Outline(plain).tags.count("script") == 2
    assert "img" not in Outline(text).tags
    assert "&lt;/script&gt;&lt;script&gt;alert(1)" in text


def test_items_with_markup_in_their_names_stay_text():
    tokens: list[dict[str, Any]] = [{"token": NASTY, "attribution": 1.0, "rollout": 0.5} for _ in range(2)]
    page = explained_page(
        ExplainedPage(
            model=NASTY,
            document={
                "prediction": {"label": NASTY, "probability": None, "target": 0},
                "tokens": tokens,
                "convergence": {"delta": 1.0, "relative_delta": 0.3, "steps": 255, "converged": False},
                "agreement": {"spearman": None},
                "agreements": {},
                "faithfulness": {},
            },
            sentences=(NASTY, NASTY),
            items=[ShownItem(name=NASTY, tokens=(place,), special=bool(place)) for place in range(2)],
            picture=None,
            view=None,
        )
    )
    assert "script" not in Outline(page).tags
    assert "img" not in Outline(page).tags
    assert "<b>Do not rely on them:</b> they had not settled after 255 steps; 30.0% of what they" in page
    assert "This model's attention cannot be read, so no head is shown." in page


def test_a_model_whose_attention_cannot_be_read_still_gets_a_page(family, tmp_path):
    text = written(family("squeezebert"), tmp_path / "out.html", "--text", TEXT)
    assert "This model's attention cannot be read, so no head is shown." in text
    assert 'data-method="rollout"' not in text
    assert "script" not in Outline(text).tags


@pytest.mark.parametrize(("layers", "across"), [(12, 12), (80, 64)])
def test_a_long_input_of_a_large_model_stays_below_five_megabytes(layers, across):
    from monitor.reading.whole_heads import MOST_PACKED, MOST_WEIGHTS
    from monitor.report.html.head_view import HeadNote, HeadRow, HeadView, Side, head_view

    draw = np.random.default_rng(0)
    side = int((MOST_PACKED / (layers * across)) ** 0.5)
    assert layers * across * side * side <= MOST_WEIGHTS
    # noise cannot be deflated: the largest that read_heads lets through
    noise = [draw.integers(0, 256, (across, side, side), dtype=np.uint8) for _ in range(layers)]
    heads = tuple(
        HeadNote(name=f"L10H{number}", role="separator", facts=(("entropy", "-0.50"),) * 11)
        for number in range(across)
    )
    view = HeadView(
        sides={"input": Side(names=("a long word",) * side)},
        rows=tuple(HeadRow(title="0", queries="input", keys="input", matrices=m, heads=heads) for m in noise),
        columns=tuple(map(str, range(across))),
    )
    assert len(head_view(view).encode()) < 4_900_000
