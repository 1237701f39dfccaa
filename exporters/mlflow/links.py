"""From a note to the evidence by clicks: the links at the head and at the foot of an episode's note.

Links within MLflow have no host (``#/experiments/1/...``), so they work at whatever address people
open the server.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from exporters.alerts.rules import CHANNEL_ALERTS, page_name
from exporters.mlflow.connection import quoted, run_page, runs_page
from exporters.mlflow.text import NOTE_LIMIT, fitting

FOOT = "**Where to look**"
MOST_SHOWN = 3
FILTERS: Mapping[str, str] = MappingProxyType(
    {
        "open episodes": "tags.state = 'open'",
        "all episodes": "tags.`headwatch.kind` = 'episode'",
        "episodes of one model": "tags.`headwatch.kind` = 'episode' AND tags.model = 'sentiment'",
        "episodes caused by the model": "tags.cause LIKE '%model%'",
        "episodes worth waking somebody": "tags.severity = 'page'",
        "episodes in which heads drifted": "tags.channel LIKE '%heads%'",
        "episodes that look like cut inputs": "tags.suspicion LIKE '%truncation%'",
        "days": "tags.`headwatch.kind` = 'day'",
        "baselines": "tags.`headwatch.kind` = 'baseline'",
    }
)
"""Filters of the runs table, by what they find; an episode's tags are those of its last alarm."""
_TABLES = ("open episodes", "all episodes", "days")
_FILES: Mapping[str, str] = MappingProxyType(
    {"report.html": "report", "head_map.png": "head map", "before_after.png": "before and after"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A run's place in the MLflow UI."""

    experiment: str
    run: str

    def link(self, label: str, part: str = "") -> str:
        """The page, or a ``part`` of it, as a Markdown link."""
        return f"[{label}]({run_page(self.experiment, self.run, part)})"


def episode_note(
    body: str,
    *,
    page: Page,
    files: Mapping[str, Sequence[str]],
    newest: str,
    day: Page,
    baseline: Page,
    channels: Sequence[str],
    runbooks: str | None,
) -> str:
    """The note of an episode's run: the evidence in one line, ``body``, and where else to look.

    ``files``: names by folder of artifacts; the line at the head shows those of ``newest`` first.
    ``channels`` in alarm choose the ``runbooks``, which are only named where no address is known.
    """
    during = sorted(name for name in files if name not in ("opened", "closed"))
    during = [*(name for name in files if name == "opened"), *during]
    by_age = sorted(during, key=lambda name: name == newest)
    head = " · ".join([*_newest(page, by_age, files), page.link("charts", "model-metrics")])
    foot = [FOOT, ""]
    left_out = [name for name in during if name.startswith("widened-")][:-MOST_SHOWN]
    for folder in [*during, *(name for name in files if name == "closed")]:
        found = _evidence(page, folder, files)
        if found and folder not in left_out:
            foot.append(f"- {_moment(folder)}: {', '.join(found)}")
    if left_out:
        foot.append(f"- and {len(left_out)} times between: {page.link('all artifacts', 'artifacts')}")
    foot += [
        f"- all windows of the day: {day.link('charts', 'model-metrics')}",
        f"- what it is compared with: {baseline.link('the baseline')}",
    ]
    pages = dict.fromkeys(page_name(CHANNEL_ALERTS[name]) for name in channels if name in CHANNEL_ALERTS)
    if pages:
        foot.append(f"- what to do: {', '.join(_runbook(name, runbooks) for name in pages)}")
    end = "\n".join(foot)
    # What is too long is cut in the middle: the links lead to all of it.
    middle = fitting(body, NOTE_LIMIT - len(head) - len(end) - 4)
    return f"{head}\n\n{middle}\n\n{end}"


def body_of(note: str) -> str:
    """What stands between the links of an episode's note; a user may have rewritten it."""
    kept = note.rpartition(FOOT)[0] if FOOT in note else note
    head, _, rest = kept.partition("\n\n")
    return (rest if "/model-metrics)" in head else kept).strip()


def experiment_note(experiment: str) -> str:
    """What the experiment's page says: the tables that people ask for, and how to ask for others."""
    shown = " · ".join(f"[{what}]({runs_page(experiment, FILTERS[what])})" for what in _TABLES)
    filters = "\n".join(f"- {what}: `{wanted}`" for what, wanted in FILTERS.items())
    return (
        f"headwatch keeps its evidence here: {shown}.\n\n"
        "A run is a baseline, a day that was judged against it, or a drift episode. "
        f"Filters for the search field of the runs:\n\n{filters}"
    )


def episode_line(page: Page, name: str) -> str:
    """What a day's note says of an episode that was open in it."""
    return f"{page.link(name)}: this drift episode was open on this day."


def baseline_tables(experiment: str, model: str, baseline: str) -> str:
    """The tables of what was judged against a baseline, as the line of links in its note."""
    return " · ".join(
        f"[its {kind}s]({runs_page(experiment, _judged_against(kind, model, baseline))})"
        for kind in ("episode", "day")
    )


def version_link(registered: str, version: str) -> str:
    """The page of a baseline's version in the model registry."""
    return f"[version {version} in the model registry](#/models/{registered}/versions/{version})"


def _judged_against(kind: str, model: str, baseline: str) -> str:
    own = f"tags.model = {quoted(model)} AND tags.baseline = {quoted(baseline)}"
    return f"tags.`headwatch.kind` = '{kind}' AND {own}"


def _evidence(page: Page, folder: str, files: Mapping[str, Sequence[str]]) -> list[str]:
    return [
        page.link(label, f"artifacts/{folder}/{name}")
        for name, label in _FILES.items()
        if name in files[folder]
    ]


def _newest(page: Page, folders: Sequence[str], files: Mapping[str, Sequence[str]]) -> list[str]:
    """Each kind of evidence from the newest folder that has it."""
    newest = {name: folder for folder in folders for name in files[folder]}
    return [
        page.link(label, f"artifacts/{newest[name]}/{name}")
        for name, label in _FILES.items()
        if name in newest
    ]


def _moment(folder: str) -> str:
    kind, _, window = folder.partition("-")
    said = {
        "opened": "when it began",
        "attributed": "newest, with the words that drive the predictions",
        "widened": f"when it widened (window {window.lstrip('0')})",
        "closed": "when it ended",
    }
    return said.get(kind, folder)


def _runbook(page: str, runbooks: str | None) -> str:
    name = page.removesuffix(".md").replace("-", " ")
    return f"[{name}]({runbooks.rstrip('/')}/{page})" if runbooks else f"docs/runbooks/{page}"
