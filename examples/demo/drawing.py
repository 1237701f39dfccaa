"""The pieces of the screen: a window's row of gauges, its state, and lines of links. Pure functions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from rich.text import Text

CHANNELS = ("heads", "rollout", "tokens", "prediction", "input", "fidelity", "model")
NARROW = {"rollout": "roll", "prediction": "pred", "fidelity": "fidel"}
ACT_STYLE = {"domain": "magenta", "trigger": "yellow", "fault": "red", "quiet": "green", "recovery": "green"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One judged window."""

    name: str
    verdict: dict[str, Any]


def share(evidence: float, limit: float) -> float:
    """Evidence as a part of its limit, within [0, 1]; evidence below zero speaks for quiet."""
    if not math.isfinite(evidence) or limit <= 0:
        return 1.0 if evidence == math.inf else 0.0
    return min(1.0, max(0.0, evidence / limit))


def gauge(evidence: float, limit: float, width: int, *, alarm: bool) -> Text:
    """The number over a bar that fills ``width`` cells at the limit; red then, yellow from half of it."""
    part = share(evidence, limit)
    text = Text(number(evidence).ljust(width)[:width], style="bright_black" if part == 0 else "")
    colour = "red" if alarm or part >= 1.0 else "yellow" if part >= 0.5 else "green"
    text.stylize(
        f"bold white on {colour}" if colour == "red" else f"black on {colour}", 0, round(part * width)
    )
    return text


def number(value: float) -> str:
    """Three digits or so: ``-2.3``, ``0.05``, ``457``."""
    if not math.isfinite(value):
        return "∞" if value > 0 else "-∞" if value < 0 else "-"
    digits = 0 if abs(value) >= 99.5 else 1 if abs(value) >= 0.95 else 2
    return f"{value:.{digits}f}"


def window_cells(row: Row, cells: int) -> list[Text]:
    """One line of the table: number, act, a gauge of ``cells`` for the whole and each channel, state."""
    verdict, style = row.verdict, ACT_STYLE.get(row.name, "cyan")
    drawn = [Text(str(verdict["index"])), Text(row.name, style=style)]
    for judged in (verdict if verdict["channels"] else None, *map(verdict["channels"].get, CHANNELS)):
        if judged is None:
            drawn.append(Text("·", style="bright_black"))
        else:
            drawn.append(gauge(judged["evidence"], judged["limit"], cells, alarm=judged["alarm"]))
    return [*drawn, state_text(verdict)]


def state_text(verdict: dict[str, Any]) -> Text:
    """What this window did: an alarm raised or cleared, or the state that it left."""
    if verdict["raised"]:
        return Text("ALARM", style="bold red")
    if verdict["cleared"]:
        return Text("cleared", style="bold green")
    state = str(verdict["state"]).replace("_", " ")
    return Text(state, style="red" if verdict["alarm"] else "bright_black")


def link_lines(links: dict[str, str], width: int) -> list[Text]:
    """The links, several to a line where they fit; a long one keeps a line without its label."""
    lines: list[Text] = []
    line = Text()
    for name, url in links.items():
        entry = Text.assemble((f" {name} ", "bright_black"), (url, f"cyan link {url}"))
        if entry.cell_len > width:
            entry = Text(url, style=f"cyan link {url}")
        if line and line.cell_len + 1 + entry.cell_len > width:
            lines.append(line)
            line = Text()
        line.append_text(entry)
    return [*lines, line] if line else lines
