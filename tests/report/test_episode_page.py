"""The page of an episode: what it says, what it never holds, and how it is used in a browser."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from playwright.sync_api import Page

from monitor.live.episode_report import episode_report
from monitor.records import HeadId, Suspicion
from monitor.report.episode_data import DrivingWord
from monitor.report.episode_page import episode_page
from monitor.report.episode_sentences import headline, sentences
from monitor.report.episode_steps import steps
from monitor.report.episode_words import change_in_sd, figure, percent
from monitor.report.html.visible import visible
from tests.browser import chromium_page
from tests.report import episodes

REPORT = episodes.report()
PAGE = episode_page(REPORT)


class Text(HTMLParser):
    """The words that a reader sees, and every attribute of every element."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self._silent = False
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self._silent = tag in ("style", "script")
        self.attributes += attrs

    def handle_endtag(self, tag):
        self._silent = False

    def handle_data(self, data):
        if not self._silent:
            self.words.append(data)

    @property
    def all(self) -> str:
        return " ".join(" ".join(self.words).split())


def faulty(**changes):
    baseline, verdicts, during, probe = episodes.story(faulty=(1, 2))
    verdict = replace(verdicts[-1], **changes)
    return episodes.report(baseline=baseline, verdict=verdict, during=during, reading=probe, history=verdicts)


def test_the_page_opens_with_what_changed_why_and_whether_it_matters():
    text = Text(PAGE).all
    assert headline(REPORT) == "New in the inputs: the word “cucumber”"
    told = sentences(REPORT)
    assert [label for label, _ in told] == ["What changed", "Why, and does it matter", "What to do"]
    places = [text.index(sentence) for _, sentence in told]
    assert places == sorted(places)
    assert places[-1] < text.index("Then If the new traffic is wanted") < text.index("Cause: data")
    share = next(item for item in REPORT.verdict.channels["tokens"].gained if item.word == "cucumber")
    assert told[0][1].startswith(
        f"Since 21 Sep 2026, 14:25 UTC (window 2), the word “cucumber” stands in {percent(share.after)} "
        "of the requests (before: never); "
    )
    assert told[1][1].startswith(
        "The data changed, not the model (its fixed probe inputs give the same numbers as on the day of the "
        "baseline); it matters, for the predictions moved too, “positive” from "
    )
    assert told[2][1] == (
        "Look at it now: find out who sends “cucumber”: one sender, a template, a campaign, or somebody who "
        "tries a trigger; your own logs have the requests."
    )


def test_a_changed_model_is_said_to_be_one_and_where_it_begins():
    report = faulty()
    assert headline(report) == "The model itself changed, first in head L1H2"
    what, why, todo = (text for _, text in sentences(report))
    assert "the model gives other answers to its fixed probe inputs, first in head L1H2" in what
    assert why.startswith(
        "The model changed (its files are other ones; the same fixed inputs give other numbers) and besides "
        "that the data (words or inputs that no model has a part in); it matters, for "
    )
    assert todo == (
        "Look at it now: compare the deployed revision with the one that should run, and roll back unless "
        "the change was meant."
    )


def test_a_report_that_was_announced_or_is_over_gives_no_orders():
    over = replace(REPORT, ended=REPORT.verdict.end + 600.0)
    assert "<ol>" not in episode_page(over)
    assert sentences(over)[0][1].endswith("; it was over by 21 Sep 2026, 14:50 UTC.")
    assert sentences(over)[2][1] == "Nothing more: it is over; while it stood the advice was: look at it now."
    noted = faulty(severity="note", declared=True)
    assert (
        ", as was announced; as far as can be seen it does not matter, though the " in sentences(noted)[1][1]
    )
    assert sentences(noted)[2][1] == "Nothing needs to be done now."
    assert "<h3>To look into it</h3>" in episode_page(noted)


def test_an_accepted_drift_is_said_to_be_the_new_normal():
    accepted = replace(REPORT, ended=REPORT.verdict.end + 600.0, outcome="accepted")
    assert sentences(accepted)[0][1].endswith("; the episode was closed at 21 Sep 2026, 14:50 UTC.")
    assert sentences(accepted)[2][1] == (
        "Nothing more: the new traffic was accepted as the new normal; while it stood the advice was: look "
        "at it now."
    )


def test_a_suspicion_is_told_with_its_sign_and_comes_first_of_what_to_do():
    verdict = replace(REPORT.verdict, suspicions=(Suspicion(name="lower_casing", sign="no capital letter"),))
    report = replace(REPORT, verdict=verdict)
    assert (
        "; it looks like inputs that are lower-cased on their way (no capital letter); "
        in sentences(report)[1][1]
    )
    assert steps(report)[0] == "Look for inputs that are lower-cased on their way first."


def test_every_cause_and_severity_has_its_words():
    for cause in ("data", "model", "environment", "serving"):
        for severity in ("page", "ticket", "note", None):
            verdict = replace(REPORT.verdict, causes=(cause,), severity=severity)
            report = replace(REPORT, verdict=verdict)
            assert all(text.endswith(".") and "  " not in text for _, text in sentences(report))
            assert episode_page(report)
    unknown = replace(REPORT, verdict=replace(REPORT.verdict, causes=(), severity=None))
    assert sentences(unknown)[1][1].startswith("The cause is not known; the predictions moved too, ")


def test_the_numbers_on_the_page_are_those_of_the_record():
    text = Text(PAGE).all
    for story in REPORT.stories:
        first = story.statistics[0]
        assert f"{figure(first.before)} → {figure(first.after)}" in text
        assert change_in_sd(first.effect) in text
    item = next(one for one in REPORT.predictions if one.name == "positive")
    assert f"{percent(item.before)} → {percent(item.after)}" in text
    profile = REPORT.stories[0].distances
    assert profile is not None
    drawn = re.findall(r"<g><title>([^<]+)</title>", PAGE)
    wanted = [
        f"{name}: {percent(before)} → {percent(after)}"
        for name, before, after in zip(profile.bins, profile.before, profile.after, strict=True)
    ]
    assert drawn[: len(wanted)] == wanted
    agreement = "rank agreement of attention rollout and attribution"
    row = re.search(rf"<th scope=row>{agreement}</th>(.*?)</tr>", PAGE)
    assert row is not None
    assert re.findall(r"data-name=(before|after)>(?:<b>)?([^<]+)<", row[1]) == [
        ("before", "0.40"),
        ("after", "0.31"),
    ]
    assert f"Compared: {REPORT.samples} samples of {REPORT.windows} windows since the alarm" in text


def test_the_page_asks_nothing_of_any_network_and_runs_nothing():
    for page in (PAGE, episode_page(episodes.large())):
        parsed = Text(page)
        names = {name for name, _ in parsed.attributes}
        assert not names & {"src", "srcset", "onclick", "onload", "action", "background", "data"}
        links = {value for name, value in parsed.attributes if name == "href"}
        assert links
        assert all(str(link).startswith("#") for link in links)
        assert "<script" not in page
        assert "url(" not in page
        assert "@import" not in page
        assert "default-src 'none'" in page


def test_every_link_leads_to_a_place_on_the_page():
    parsed = Text(PAGE)
    places = [value for name, value in parsed.attributes if name == "id"]
    assert len(places) == len(set(places))
    links = {str(value)[1:] for name, value in parsed.attributes if name == "href"}
    assert links <= set(places)
    assert {str(story.head) for story in REPORT.stories} <= set(places)


def test_the_report_of_144_heads_stays_far_below_two_megabytes():
    page = episode_page(episodes.large())
    assert page.count("<td") > 144
    assert len(page.encode()) < 500_000


def test_words_cannot_become_markup():
    words = tuple(
        replace(item, word="<img src=x onerror=alert(1)>")
        for item in REPORT.verdict.channels["tokens"].gained
    )
    channels = {**REPORT.verdict.channels, "tokens": replace(REPORT.verdict.channels["tokens"], gained=words)}
    page = episode_page(
        replace(REPORT, verdict=replace(REPORT.verdict, channels=channels), examples=(episodes.example(),))
    )
    assert "<img" not in page
    assert "<i>film</i>" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page


def test_examples_show_attribution_and_attention_of_each_word_and_hide_what_is_rare():
    page = episode_page(replace(REPORT, examples=(episodes.example(),), without_examples=""))
    words = re.findall(
        r"<span class='(word[^']*)' style='--share:([\d.]+);--seen:([\d.]+)' title='[^']+'>([^<]+)<", page
    )
    assert [word for *_, word in words] == ["the", "•••", "&lt;i&gt;film&lt;/i&gt;", "was", "dull"]
    assert [float(share) for _, share, _, _ in words] == [0.01, 0.62, 0.25, 0.0, 1.0]
    assert [float(seen) for _, _, seen, _ in words] == [0.25, 0.5, 1.0, 0.12, 0.62]
    assert [kind for kind, *_ in words] == [
        "word more",
        "word more hidden",
        "word less",
        "word more",
        "word less",
    ]


def test_without_examples_the_page_says_why():
    assert "No text of any request is kept: privacy.example_texts is off" in Text(PAGE).all


def test_a_hashed_word_is_said_to_be_hidden_and_why():
    hashed = replace(REPORT.verdict.channels["tokens"].gained[0], word="#0123456789abcdef")
    channels = {
        **REPORT.verdict.channels,
        "tokens": replace(REPORT.verdict.channels["tokens"], gained=(hashed,)),
    }
    text = Text(episode_page(replace(REPORT, verdict=replace(REPORT.verdict, channels=channels)))).all
    assert "New in the inputs: a word that is hidden here" in text
    assert "a word that is hidden here, for fewer than 20 requests share it, stands in" in text
    assert "look in your own logs for a word that is new since 21 Sep 2026, 14:25 UTC" in text
    assert "a hidden word #0123456789abcdef" in text
    assert "A word that fewer than 20 requests share is hidden and told by a keyed hash" in text


def test_what_it_cannot_tell_is_told():
    text = Text(PAGE).all
    assert "Attention is not an explanation." in text
    assert "Drift is not loss of accuracy." in text


def test_a_report_of_an_early_baseline_leaves_no_gap():
    given = episodes.sources(probed=False)
    baseline = replace(given.baseline, survey=None, attribution={})
    text = Text(episode_page(episode_report(replace(given, baseline=baseline)))).all
    assert "Attention by distance was not surveyed" in text
    assert "The data are taken to have changed (no fixed inputs were re-run that could show it)" in text
    assert "fixed inputs, run again the baseline has no probe reading" in text
    assert "data and model cannot be told apart" in text


def test_a_model_without_readable_attention_has_a_report_without_heads():
    report = episode_report(episodes.sources(attention=False))
    assert not {"heads", "rollout"} & set(report.verdict.channels)
    text = Text(episode_page(report)).all
    assert "Where in the model" not in text
    assert "Words gained and lost" in text
    assert "New in the inputs: the word “cucumber”" in text
    # its fixed inputs were run again all the same: their predictions can be compared
    assert "fixed inputs, run again unchanged model, libraries and hardware compute as before" in text
    assert "The data changed, not the model (its fixed probe inputs give the same numbers as on" in text
    assert "no fixed inputs were re-run" not in text


# --- in a browser --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser_page() -> Iterator[Page]:
    with chromium_page(offline=True) as page:
        yield page


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(episode_page(episodes.large()), encoding="utf-8")
    return path


@pytest.fixture
def opened(browser_page: Page) -> Callable[..., Page]:
    """``opened(file)``: a page that was not there before, cut off from any network."""

    def _open(path: Path, *, width: int = 1200, height: int = 900, dark: bool = False) -> Page:
        browser_page.set_viewport_size({"width": width, "height": height})
        browser_page.emulate_media(color_scheme="dark" if dark else "light")
        browser_page.goto("about:blank")  # else the place in a page that was left would be gone back to
        browser_page.goto(path.as_uri())
        return browser_page

    return _open


def test_the_page_is_read_and_walked_by_keyboard_without_a_network(browser_page, opened, file):
    asked: list[str] = []
    browser_page.on("request", lambda request: asked.append(request.url))
    page = opened(file)
    assert page.locator("h1").inner_text() == "New in the inputs: the word “refund”"
    assert page.locator("#map table.map tbody td").count() == 144
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Cause and severity"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_function("location.hash === '#map'")
    # the map's cells with a story are links: the next stops but for the scrolling map itself
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    label = page.evaluate("document.activeElement.getAttribute('aria-label')")
    page.keyboard.press("Enter")
    page.wait_for_function("location.hash !== '#map'")
    head = page.evaluate("location.hash.slice(1)")
    assert label.startswith(f"{head}: ")
    assert page.evaluate("document.querySelector(':target h3').textContent").startswith(head)
    summary = page.locator("#heads details summary").first
    summary.focus()
    page.keyboard.press("Enter")
    assert page.locator("#heads details[open]").count() == 1
    assert file.as_uri() in asked
    assert [url for url in asked if not url.startswith(("file:", "about:"))] == []


def test_the_page_fits_a_phone_is_dark_at_night_and_prints(opened, file):
    page = opened(file, width=360, height=740, dark=True)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(map(int, re.findall(r"\d+", ground))) < 60
    sizes = page.evaluate(
        "[...document.querySelectorAll('p,td,th,dd,li,span')].filter(e => e.textContent.trim())"
        ".map(e => parseFloat(getComputedStyle(e).fontSize))"
    )
    assert len(sizes) > 144
    assert min(sizes) >= 9
    page.set_viewport_size({"width": 1200, "height": 900})
    pdf = page.pdf(format="A4")
    assert pdf.startswith(b"%PDF-")
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", pdf)) <= 14
    page = opened(file)
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert min(map(int, re.findall(r"\d+", ground))) > 240


HOSTILE = (
    "</script><script>document.title='ran'</script>",
    "<img src=x onerror=\"document.title='ran'\">",
    "\u202eevil\u202c",
    "zero\u200bwidth",
    "مرحبا",
    "🎬",
    "x" * 400,
)


def hostile():
    """The words of strangers wherever a report shows words."""
    tokens = REPORT.verdict.channels["tokens"]
    words = tuple(replace(tokens.gained[0], word=word) for word in HOSTILE)
    channels = {**REPORT.verdict.channels, "tokens": replace(tokens, gained=words)}
    count = len(HOSTILE)
    shown = replace(
        episodes.example(), words=HOSTILE, attribution=(0.5,) * count, attention=(1 / count,) * count
    )
    driving = tuple(DrivingWord(word=word, value=0.5) for word in HOSTILE)
    verdict = replace(REPORT.verdict, channels=channels)
    return replace(REPORT, verdict=verdict, examples=(shown,), driving=driving)


def test_hostile_words_show_as_text_run_nothing_and_widen_nothing(opened, tmp_path):
    (tmp_path / "report.html").write_text(episode_page(hostile()), encoding="utf-8")
    page = opened(tmp_path / "report.html", width=390, height=800)
    assert page.title() == "small: The texts read differently: other words"
    assert page.locator("img, script").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    wanted = [visible(word) for word in HOSTILE]
    assert page.locator(".example p:not(.says) .word").all_inner_texts() == wanted
    assert page.locator("#words bdi").all_inner_texts() == wanted
    assert page.locator("#attribution .tight bdi").all_inner_texts() == wanted
    assert wanted[2:4] == ["⟨U+202E⟩evil⟨U+202C⟩", "zero⟨U+200B⟩width"]
    assert wanted[6] == f"{'x' * 60}…"


def test_text_contrasts_with_its_ground_by_day_and_by_night(opened, file):
    script = """() => {
      const lum = c => { const [r, g, b] = c.match(/[\\d.]+/g).map(Number).map(v => v / 255)
        .map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
        return .2126*r + .7152*g + .0722*b };
      const ground = lum(getComputedStyle(document.body).backgroundColor);
      return Math.min(...['.lead', '.quiet', '.chips .severity', '.series .val', '.row .sd', 'footer',
        'nav a']
        .map(one => document.querySelector(one)).filter(Boolean)
        .map(e => lum(getComputedStyle(e).color))
        .map(ink => (Math.max(ink, ground) + .05) / (Math.min(ink, ground) + .05))) }"""
    for dark in (False, True):
        assert opened(file, dark=dark).evaluate(script) >= 4.5


def test_the_first_story_is_of_the_named_head():
    assert REPORT.stories[0].named
    assert REPORT.stories[0].head == HeadId(layer=1, head=2)
