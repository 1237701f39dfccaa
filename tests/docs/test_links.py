"""Every link in what people read leads somewhere, and no page shows a machine of ours."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    {*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks" / "results").glob("*.md")}
)
_FENCE = re.compile(r"^(`{3,}|~{3,}).*?^\1`*\s*$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", re.DOTALL)
_LINK = re.compile(
    r"\[[^\[\]]*(?:\[[^\[\]]*\][^\[\]]*)*\]\(\s*<?([^()\s<>]+(?:\([^()\s]*\)[^()\s]*)*)>?(?:\s+\"[^\"]*\")?\s*\)"
)
_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
_ANCHOR = re.compile(r"<a\s+(?:id|name)=\"([^\"]+)\"")


def prose(text: str) -> str:
    """The text without code, which may show links that are none."""
    return _CODE.sub("", _FENCE.sub("", text))


def links(text: str) -> list[str]:
    return _LINK.findall(prose(text))


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to headings: lower case, spaces as dashes, the second one ``-1``."""
    found: dict[str, int] = {}
    names = set(_ANCHOR.findall(text))
    for heading in _HEADING.findall(_FENCE.sub("", text)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        count = found.get(slug, 0)
        found[slug] = count + 1
        names.add(slug if count == 0 else f"{slug}-{count}")
    return names


def broken(page: Path) -> Iterator[str]:
    for link in links(page.read_text(encoding="utf-8")):
        parts = urlsplit(link)
        if parts.scheme in ("http", "https", "mailto"):
            continue
        target = page if not parts.path else (page.parent / unquote(parts.path)).resolve()
        if parts.path.startswith("/") or not target.exists() or ROOT not in (target, *target.parents):
            yield f"{link}: no such file"
        elif parts.fragment and parts.fragment not in anchors(target.read_text(encoding="utf-8")):
            yield f"{link}: {target.name} has no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_and_anchor_leads_somewhere(page):
    assert list(broken(page)) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_page_shows_a_path_of_the_machine_it_was_written_on(page):
    text = page.read_text(encoding="utf-8")
    assert re.findall(r"(?<![\w.])/(?:home|root|tmp/w|work|Users)/[^\s`)]*", text) == []
    assert "file://" not in text


def test_every_page_can_be_reached_from_the_index():
    start = ROOT / "docs" / "README.md"
    seen, waiting = {start}, [start]
    while waiting:
        page = waiting.pop()
        for link in links(page.read_text(encoding="utf-8")):
            target = (page.parent / urlsplit(link).path).resolve()
            if not urlsplit(link).scheme and target.suffix == ".md" and target not in seen:
                seen.add(target)
                waiting.append(target)
    assert [str(page.relative_to(ROOT)) for page in (ROOT / "docs").rglob("*.md") if page not in seen] == []


def test_links_are_found_as_markdown_has_them(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# A `b` c!\n## A b c\n[x](#a-b-c) [y](#a-b-c-1) [z](#no) ![p](no.png)\n`[c](code.md)`\n"
        "```\n[f](fence.md)\n```\n[g](https://example.com/x) [h](no.md#x)\n"
    )
    assert anchors(page.read_text()) == {"a-b-c", "a-b-c-1"}
    assert links(page.read_text()) == [
        "#a-b-c", "#a-b-c-1", "#no", "no.png", "https://example.com/x", "no.md#x"
    ]  # fmt: skip
    outside = [one.partition(":")[0] for one in broken(page)]
    # a page outside the project has no place in it, so its own anchors fail here too
    assert outside == ["#a-b-c", "#a-b-c-1", "#no", "no.png", "no.md#x"]
