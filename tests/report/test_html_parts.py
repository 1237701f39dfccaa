"""The parts that pages share: nothing gets in or out, and colours read for every vision."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from hashlib import sha256

import numpy as np
import pytest

from monitor.report.html.heads import HeadCell, head_map
from monitor.report.html.highlight import highlighted, signed_legend
from monitor.report.html.palette import (
    CIVIDIS,
    CIVIDIS_ON_DARK,
    PUOR,
    colour,
    diverging,
    diverging_ink,
    ink,
    on_dark,
)
from monitor.report.html.skeleton import data, document, script
from monitor.report.html.style import STYLE
from tests.browser import chromium_page

NASTY = "</script><script>alert(1)</script><!--<img src=x onerror=alert(2)>&\"'"


@pytest.mark.parametrize(("name", "stops"), [("cividis", CIVIDIS), ("PuOr_r", PUOR)])
def test_the_ramps_are_the_published_ones(name, stops):
    from matplotlib import colormaps

    wanted = colormaps[name](np.linspace(0, 1, len(stops)))[:, :3] * 255
    given = np.array([list(bytes.fromhex(stop[1:])) for stop in stops])
    assert np.abs(given - wanted).max() <= 2


def contrast(one: str, other: str) -> float:
    """WCAG 2.2's ratio of two colours."""
    full = [c if len(c) == 7 else "#" + "".join(2 * letter for letter in c[1:]) for c in (one, other)]
    light = []
    for text in full:
        shares = np.array(list(bytes.fromhex(text[1:]))) / 255
        linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
        light.append(float(linear @ [0.2126, 0.7152, 0.0722]))
    return (max(light) + 0.05) / (min(light) + 0.05)


def test_ink_reads_on_every_colour_of_both_ramps():
    shares = np.linspace(0, 1, 101)
    assert min(contrast(colour(share), ink(share)) for share in shares) > 4
    signed = np.linspace(-1, 1, 201)
    assert min(contrast(diverging(share), diverging_ink(share)) for share in signed) > 4


def test_on_a_dark_page_every_colour_stands_out_and_black_reads_on_it():
    dark = STYLE.partition("prefers-color-scheme:dark){:root{--ink")[2]
    blank = [re.search(rf"--{name}:(#[0-9a-f]{{6}})", dark)[1] for name in ("ground", "panel")]
    shades = [on_dark(share) for share in np.linspace(0, 1, 101)]
    assert min(contrast(shade, ground) for shade in shades for ground in blank) > 3  # WCAG 2.2, 1.4.11
    assert min(contrast(shade, "#000000") for shade in shades) > 4
    light = [contrast(shade, "#000000") for shade in shades]
    assert light == sorted(light)
    assert CIVIDIS_ON_DARK[-1] == CIVIDIS[-1]


@pytest.mark.servers
def test_the_weakest_cell_of_a_map_is_no_blank_one_in_either_scheme(tmp_path):
    file = tmp_path / "map.html"
    cells = [[HeadCell(share=0.0, title="weakest"), HeadCell(share=None, title="blank")]]
    file.write_text(document("map", head_map(cells)), encoding="utf-8")
    shown = "(one) => [getComputedStyle(one).backgroundColor, getComputedStyle(one).color]"
    looks = {}
    with chromium_page(offline=True) as page:
        page.goto(file.as_uri())
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            looks[scheme] = [
                page.locator(f"[title={title}]").evaluate(shown) for title in ("weakest", "blank")
            ]
    wanted = {"light": (CIVIDIS[0], "#ffffff"), "dark": (CIVIDIS_ON_DARK[0], "#000000")}
    for scheme, ((background, ink_), (blank, _)) in looks.items():
        assert (hexadecimal(background), hexadecimal(ink_)) == wanted[scheme]
        assert contrast(hexadecimal(background), hexadecimal(blank)) > 3


def hexadecimal(text: str) -> str:
    return f"#{bytes(map(int, re.findall('[0-9]+', text))).hex()}"


def test_files_that_make_one_script_leave_no_name_on_the_page():
    text = script("elements.js", "head_view_data.js")
    assert text.startswith('(() => {\n"use strict";\n')
    assert text.endswith("})();\n")
    assert text.index("const element =") < text.index("class HeadData")


def test_colours_beyond_the_scale_are_those_at_its_ends():
    assert (colour(-1), colour(2)) == (colour(0), colour(1))
    assert (diverging(-2), diverging(2)) == (diverging(-1), diverging(1))


def test_a_page_runs_its_own_scripts_and_no_other_and_loads_nothing():
    script = "document.title = 'ran';"
    text = document("a <b> title", "<p>body</p>", styles=["p{color:red}"], scripts=[script])
    own = b64encode(sha256(script.encode()).digest()).decode()
    policy = re.search(r'http-equiv=Content-Security-Policy content="([^"]+)"', text)[1]
    assert policy == (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
        f"script-src 'sha256-{own}'"
    )
    assert "<title>a &lt;b&gt; title</title>" in text
    assert "script-src" not in document("t", "b")


def test_a_script_or_style_that_would_end_its_element_is_refused():
    with pytest.raises(ValueError, match=r"^</script: must not occur in a script of our own$"):
        document("t", "b", scripts=["'</Script>'"])
    with pytest.raises(ValueError, match=r"^</style: must not occur in a style of our own$"):
        document("t", "b", styles=["</style>"])


def test_no_text_can_leave_the_data_of_a_script():
    text = data("d", {"tokens": [NASTY]})
    inner = re.fullmatch(r'<script type="application/json" id="d">(.*)</script>', text)[1]
    assert "<" not in inner
    assert json.loads(inner) == {"tokens": [NASTY]}


def test_words_are_text_their_weights_relative_and_their_signs_more_than_a_colour():
    text = highlighted(
        ["good", NASTY, "bad", "?"], [2.0, 0.0, -1.0, float("nan")], unit="logits", special=[0]
    )
    assert "<script" not in text
    assert "<img" not in text
    spans = re.findall(r'<span class="([^"]+)"(?: style="--share:([\d.]+)")?', text)
    assert spans == [("more special", "1.00"), ("more", "0.00"), ("less", "0.50"), ("plain", "")]
    assert 'title="-1 logits"' in text
    assert "&lt;b&gt;" in signed_legend("<b>", "for it")


def test_the_head_map_has_every_head_with_its_title_mark_and_link():
    cells = [[HeadCell(share=1.0, title=f'L{layer}H{head} "<"', mark="origin" if head else "",
                       link=f"#L{layer}H{head}") for head in range(2)] for layer in range(3)]  # fmt: skip
    text = head_map(cells)
    assert text.count('title="L2H1 &quot;&lt;&quot;"') == 1
    assert text.count("class=origin") == 3
    assert text.count("<a href=") == 6
    assert text.count("background-color:#fee838;color:#000") == 6
    blank = head_map([[HeadCell(share=None, title="still")]])
    assert '<td title="still"></td>' in blank
