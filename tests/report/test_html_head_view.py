"""The head view in a real browser, cut off from any network: by clicks, by keys and by reading the page."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from playwright.sync_api import Page

from monitor.analysis.heads.grouped_matrices import quantised
from monitor.replay.images import png_bytes
from monitor.report.html.head_view import SCRIPT, STYLE, HeadNote, HeadRow, HeadView, Picture, Side, head_view
from monitor.report.html.skeleton import document
from tests.browser import chromium_page

NASTY = "</script><img src=x onerror=alert(1)>"
NAMES = ("[CLS]", "good", NASTY, "[SEP]")
PIXEL = f"data:image/png;base64,{b64encode(png_bytes(torch.zeros(1, 1, 3, dtype=torch.uint8))).decode()}"

pytestmark = pytest.mark.servers


def weights(seed: int, heads: int, queries: int, keys: int) -> np.ndarray:
    given = np.random.default_rng(seed).random((heads, queries, keys)) ** 4
    return given / given.sum(axis=-1, keepdims=True)


def rows(layers: int, heads: int, height: int, width: int, **options: str) -> tuple[HeadRow, ...]:
    given = {"queries": "input", "keys": "input", **options}
    return tuple(
        HeadRow(
            title=given.get("title", str(layer)),
            queries=given["queries"],
            keys=given["keys"],
            matrices=quantised(weights(layer, heads, height, width)),
            heads=tuple(
                HeadNote(
                    name=f"L{layer}H{head}",
                    role="next" if head else "",
                    facts=(("entropy", f"0.{layer}{head}"),),
                )
                for head in range(heads)
            ),
        )
        for layer in range(layers)
    )


VIEW = HeadView(
    sides={"input": Side(names=NAMES, special=(0, 3))},
    rows=rows(3, 2, 4, 4),
    columns=("0", "1"),
    start=(1, 0),
)


@pytest.fixture(scope="module")
def browser_page() -> Iterator[Page]:
    with chromium_page(offline=True) as page:
        yield page


@pytest.fixture
def opened(browser_page: Page, tmp_path: Path) -> Callable[..., Page]:
    """``opened(view)``: the page of a view, cut off from any network."""

    def _open(view: HeadView, *, width: int = 1200, height: int = 900, dark: bool = False) -> Page:
        file = tmp_path / "page.html"
        text = document("heads", head_view(view), styles=[STYLE], scripts=[SCRIPT])
        file.write_text(text, encoding="utf-8")
        browser_page.mouse.move(0, 0)
        browser_page.set_viewport_size({"width": width, "height": height})
        browser_page.emulate_media(color_scheme="dark" if dark else "light")
        browser_page.goto(file.as_uri())
        browser_page.wait_for_selector(".head-view .grid", timeout=60_000)
        return browser_page

    return _open


def percent(share: float) -> str:
    return f"{100 * share:.{1 if share < 0.0995 else 0}f} %"


def shares(view: HeadView, layer: int, head: int) -> np.ndarray:
    return (view.rows[layer].matrices[head] / 255.0) ** 2


def shown_shares(page, side: str) -> list[str]:
    return page.locator(f".{side} .share").all_text_contents()


def test_every_head_has_a_thumbnail_of_its_own_matrix(opened):
    page = opened(VIEW)
    assert page.locator(".grid button").count() == 6
    assert page.locator(".grid button").nth(5).get_attribute("aria-label") == "L2H1, next"
    pixels = page.evaluate(
        "[...document.querySelectorAll('.grid canvas')].map((one) => "
        "[...one.getContext('2d').getImageData(0, 0, one.width, one.height).data])"
    )
    for number, flat in enumerate(pixels):
        image = np.array(flat).reshape(4, 4, 4)
        brightness = image[..., :3] @ [0.2126, 0.7152, 0.0722]
        matrix = VIEW.rows[number // 2].matrices[number % 2]
        order = np.argsort(matrix, axis=None)
        assert (np.diff(brightness.flatten()[order]) >= -1).all()
        assert (image[..., 3] == 255).all()


def test_a_click_on_a_thumbnail_opens_that_head(opened):
    page = opened(VIEW)
    assert page.locator(".head h3").inner_text() == "L1H0"
    page.locator(".grid button").nth(5).click()
    assert page.locator(".head h3").inner_text().split() == ["L2H1", "next"]
    assert page.locator(".numbers").inner_text().split() == ["entropy", "0.21"]
    selects = page.locator(".chooser select")
    assert [selects.nth(n).input_value() for n in (0, 1)] == ["2", "1"]
    assert page.locator("[aria-selected=true]").get_attribute("aria-label") == "L2H1, next"
    selects.nth(0).select_option("0")
    assert page.locator("[aria-selected=true]").get_attribute("aria-label") == "L0H1, next"


def test_arrow_keys_walk_the_heads(opened):
    page = opened(VIEW)
    page.locator("[aria-selected=true]").focus()
    seen = []
    for key in ("ArrowRight", "ArrowDown", "ArrowDown", "ArrowLeft", "Home", "ArrowUp", "End"):
        page.keyboard.press(key)
        seen.append(page.evaluate("document.activeElement.getAttribute('aria-label')").partition(",")[0])
        assert page.locator("[aria-selected=true]").get_attribute("aria-label").startswith(seen[-1])
    assert seen == ["L1H1", "L2H1", "L2H1", "L2H0", "L2H0", "L1H0", "L1H1"]
    assert page.locator(".grid button[tabindex='0']").count() == 1


def test_hovering_a_token_shows_where_it_looks_and_a_looked_at_one_who_looks(opened):
    page = opened(VIEW)
    matrix = shares(VIEW, 1, 0)
    page.locator(".from .item").nth(1).hover()
    assert shown_shares(page, "to") == [percent(share) if share >= 0.005 else "" for share in matrix[1]]
    assert shown_shares(page, "from") == ["", "", "", ""]
    first = int(matrix[1].argmax())
    said = page.locator(".said").inner_text()
    assert said.startswith(f"‘good’ looks most at ‘{NAMES[first]}’ {percent(matrix[1][first])},")
    page.locator(".to .item").nth(2).hover()
    assert shown_shares(page, "from") == [percent(share) if share >= 0.005 else "" for share in matrix[:, 2]]
    assert f"‘{NASTY}’ is looked at most by" in page.locator(".said").inner_text()
    page.mouse.move(2, 2)
    assert shown_shares(page, "from") == ["", "", "", ""]


def test_a_click_keeps_a_token_until_escape_and_the_next_head_keeps_it_too(opened):
    page = opened(VIEW)
    page.locator(".from .item").nth(1).click()
    page.mouse.move(2, 2)
    assert page.locator(".from .item").nth(1).get_attribute("aria-pressed") == "true"
    page.locator(".grid button").nth(0).click()
    assert shown_shares(page, "to") == [
        percent(share) if share >= 0.005 else "" for share in shares(VIEW, 0, 0)[1]
    ]
    page.keyboard.press("Escape")
    assert shown_shares(page, "to") == ["", "", "", ""]


def test_what_was_kept_is_let_go_when_the_lists_change(opened):
    page = opened(VIEW)
    page.locator(".from .item").nth(1).click()
    page.get_by_label("special tokens").uncheck()
    assert page.locator(".from [aria-pressed=true]").count() == 0
    page.locator(".from .item").nth(1).hover()
    assert page.locator(".said").inner_text().startswith(f"‘{NASTY}’ looks most at")


def test_tokens_are_reached_and_kept_by_keys_alone(opened):
    page = opened(VIEW)
    page.locator(".chooser select").nth(1).focus()
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    assert page.locator(".said").inner_text().startswith("‘good’ looks most at")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    assert page.locator(".from .item").nth(1).get_attribute("aria-pressed") == "true"
    page.keyboard.press("Escape")
    page.keyboard.press("ArrowRight")
    assert page.locator(".said").inner_text().startswith("‘good’ is looked at most by")


def test_special_tokens_can_be_left_out_and_what_goes_there_is_told(opened):
    page = opened(VIEW)
    page.get_by_label("special tokens").uncheck()
    assert page.locator(".from .text").all_text_contents() == ["good", NASTY]
    assert page.locator(".grid canvas").first.get_attribute("width") == "2"
    page.locator(".from .item").first.hover()
    left = 1 - shares(VIEW, 1, 0)[1, 1:3].sum()
    assert page.locator(".said").inner_text().endswith(f"; {percent(left)} goes to what is not shown.")


def test_text_of_the_input_is_never_markup(opened):
    page = opened(VIEW)
    assert page.locator(".from .text").all_text_contents() == list(NAMES)
    assert page.locator("img").count() == 0


def test_cross_attention_shows_the_output_looking_at_the_input(opened):
    view = HeadView(
        sides={"input": Side(names=("a", "b", "c")), "output": Side(names=("x", "y"))},
        rows=(*rows(1, 2, 3, 3), *rows(1, 2, 2, 3, title="cross 0", queries="output")),
        columns=("0", "1"),
    )  # fmt: skip
    page = opened(view)
    assert page.locator(".from .text").all_text_contents() == ["a", "b", "c"]
    page.locator(".grid button").nth(3).click()
    assert page.locator(".from .text").all_text_contents() == ["x", "y"]
    page.locator(".from .item").nth(1).hover()
    assert shown_shares(page, "to") == [
        percent(share) if share >= 0.005 else "" for share in shares(view, 1, 1)[1]
    ]


def test_patches_of_a_picture_show_where_they_look_and_who_looks_at_them(opened):
    names = ("[CLS]", "r0c0", "r0c1", "r1c0", "r1c1")
    view = HeadView(
        sides={"input": Side(names=names, special=(0,))},
        rows=rows(2, 2, 5, 5),
        columns=("0", "1"),
        picture=Picture(address=PIXEL, rows=2, columns=2, before=1),
    )
    page = opened(view)
    assert page.locator(".picture img").evaluate("(one) => one.naturalWidth") == 1
    matrix = shares(view, 0, 0)
    titles = "(all) => all.map((one) => one.title)"
    mean = [f"{name}: {percent(share)}" for name, share in zip(names[1:], matrix.mean(0)[1:], strict=True)]
    assert page.locator(".patch").evaluate_all(titles) == mean
    page.locator(".patch").nth(2).click()
    assert page.locator(".patch").evaluate_all(titles) == [
        f"{name}: {percent(share)}" for name, share in zip(names[1:], matrix[3, 1:], strict=True)
    ]
    page.get_by_label("who looks at it").check()
    assert page.locator(".patch").evaluate_all(titles) == [
        f"{name}: {percent(share)}" for name, share in zip(names[1:], matrix[1:, 3], strict=True)
    ]
    page.locator(".patch").nth(2).click()
    assert page.locator(".patch[aria-pressed=true]").count() == 0
    page.locator(".patch").nth(2).focus()
    page.keyboard.press("ArrowUp")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "r0c0"


def test_two_checkpoints_stand_side_by_side(opened):
    pair = rows(2, 2, 4, 4)
    view = HeadView(
        sides=VIEW.sides,
        rows=pair,
        columns=("model", "candidate"),
        words=("Head", "Checkpoint"),
        together=True,
    )
    page = opened(view)
    assert page.locator(".panel h4").all_text_contents() == ["model", "candidate"] * 2
    assert page.locator("[aria-selected=true]").count() == 2
    page.locator(".panel").nth(0).locator(".from .item").nth(1).hover()
    wanted = [percent(s) if s >= 0.005 else "" for head in (0, 1) for s in shares(view, 0, head)[1]]
    assert shown_shares(page, "to") == wanted
    said = page.locator(".said").inner_text()
    assert said.count("‘good’ looks most at") == 2
    assert said.startswith("model: ")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_on_a_phone_nothing_is_wider_than_the_screen(opened, dark):
    view = HeadView(sides=VIEW.sides, rows=rows(6, 12, 4, 4), columns=tuple(map(str, range(12))))
    page = opened(view, width=360, height=700, dark=dark)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    box = page.locator(".lines").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 360


def test_a_model_of_many_heads_draws_only_what_is_in_sight_and_all_before_printing(opened):
    sides = {"input": Side(names=tuple(map(str, range(32))))}
    view = HeadView(sides=sides, rows=rows(80, 16, 32, 32), columns=tuple(map(str, range(16))))
    cells = "document.querySelector('.head-view').view.cells.flat()"
    drawn = f"{cells}.filter((one) => one.drawn !== undefined).length"
    page = opened(view, height=500)
    # the observer first tells of all thumbnails at once: with one that is drawn all in sight are
    page.wait_for_function(f"{drawn} > 0")
    within = (
        f"{cells}.filter((one) => {{ const box = one.button.getBoundingClientRect(); "
        "const room = document.querySelector('.head-view .scroll').getBoundingClientRect(); "
        "return box.bottom >= Math.max(0, room.top) && box.top <= Math.min(innerHeight, room.bottom); })"
    )
    in_sight = page.evaluate(f"{within}.map((one) => one.head.name)")
    assert 16 <= len(in_sight) < 80 * 16 / 2
    assert page.evaluate(f"{cells}.filter((one) => one.drawn !== undefined).map((one) => one.head.name)") == (
        in_sight
    )
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate(drawn) == 80 * 16
