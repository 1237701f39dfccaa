"""What the person at the terminal sees: a live screen, or plain lines where there is no terminal."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from examples.demo.drawing import (
    ACT_STYLE,
    CHANNELS,
    NARROW,
    Row,
    link_lines,
    number,
    state_text,
    window_cells,
)
from examples.demo.plan import Act
from examples.demo.summary import Finding

SEVERITY_STYLE = {"page": "bold white on red", "ticket": "bold black on yellow", "note": "black on cyan"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One act's alarm; ``cleared`` is the number of quiet windows that it took, once it cleared."""

    finding: Finding
    cleared: int | None = None


class Screen:
    """State of the screen, and its drawing; it draws itself anew at each refresh."""

    def __init__(self, console: Console, *, title: str, receiving: bool) -> None:
        self._console = console
        self._title = title
        self._receiving = receiving
        self._began = time.monotonic()
        self._stopped: float | None = None
        self._links: dict[str, str] = {}
        self._rows: list[Row] = []
        self._told: list[Told] = []
        self._phase = ("start", "starting the servers")
        self._sent = (0, 0)
        self._result: Text | None = None

    # --- what the driver tells ----------------------------------------------------------------

    def phase(self, name: str, text: str) -> None:
        """What happens from now on."""
        self._phase, self._sent = (name, text), (0, 0)

    def sent(self, count: int, total: int) -> None:
        """How many requests of the present window were answered."""
        self._sent = (count, total)

    def judged(self, name: str, verdict: dict[str, Any]) -> None:
        """A window's verdict."""
        if self._rows and self._rows[-1].verdict["state"] == "learning":
            self._rows.pop()  # one line is enough for all windows of the baseline
        self._rows.append(Row(name=name, verdict=verdict))

    def alarm(self, act: Act, finding: Finding) -> None:
        """An alarm, or more detail of it."""
        known = [told for told in self._told if told.finding.act != act]
        self._told = [*known, Told(finding=finding)]

    def cleared(self, act: Act, windows: int) -> None:
        """The alarm of ``act`` has cleared."""
        self._told = [
            replace(told, cleared=windows) if told.finding.act == act else told for told in self._told
        ]

    def links(self, links: dict[str, str]) -> None:
        """Addresses to open in a browser."""
        self._links = dict(links)

    def finish(self, failed: list[str]) -> None:
        """The end of the story."""
        self._stopped = time.monotonic()
        if failed:
            self._result = Text("✗ not as promised: " + "; ".join(failed), style="bold red")
        else:
            self._result = Text(
                "✓ quiet when nothing moved; three shifts found and named", style="bold green"
            )

    # --- drawing ------------------------------------------------------------------------------

    def draw_on(self, console: Console) -> None:
        """Draw the screen as it is now on another console, in that one's size."""
        own, self._console = self._console, console
        console.print(self)
        self._console = own

    def __rich__(self) -> RenderableType:
        width, height = self._console.size
        head = [*self._header(width), Text("")]
        alerts = [line for told in self._told for line in self._alert(told, width)]
        now = self._now(width)
        room = max(2, height - len(head) - len(now) - len(alerts) - 4)
        return Group(*head, self._windows(room, width), Text(""), *now, *alerts)

    def _header(self, width: int) -> list[Text]:
        seconds = int((self._stopped or time.monotonic()) - self._began)
        title = Text.assemble(
            (" headwatch demo ", "bold white on blue"),
            f" {self._title}",
            (f"   {seconds // 60}:{seconds % 60:02d}", "bold"),
        )
        return [title, *link_lines(self._links, width)]

    def _windows(self, room: int, width: int) -> Table:
        cells = max(5, min(11, (width - 22) // (len(CHANNELS) + 1) - 1))
        table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold bright_black")
        table.add_column("#", justify="right", width=3)
        table.add_column("window", width=9)
        for name in ("all", *CHANNELS):
            label = name if len(name) <= cells else NARROW[name]
            table.add_column(label, width=cells, no_wrap=True)
        table.add_column("state", no_wrap=True)
        limits = self._limits()
        if limits:
            table.add_row("", "limit", *limits, "", style="bright_black")
        for row in self._rows[-room:]:
            table.add_row(*window_cells(row, cells))
        return table

    def _limits(self) -> list[str]:
        """The limits of the last judged window, one a column; empty while the baseline is learnt."""
        if not self._rows or not self._rows[-1].verdict["channels"]:
            return []
        verdict = self._rows[-1].verdict
        channels = [verdict["channels"].get(name) for name in CHANNELS]
        return [number(verdict["limit"]), *(number(one["limit"]) if one else "" for one in channels)]

    def _now(self, width: int) -> list[Text]:
        if self._result is not None:
            lines = self._result.wrap(self._console, max(20, width - 1))
            return [*lines]
        name, text = self._phase
        count, total = self._sent
        progress = ""
        if total:
            progress = f" [{count}/{total}]" if count < total else " [waiting for the verdict]"
        style = ACT_STYLE.get(name, "cyan")
        line = Text.assemble((f"▶ {name}", f"bold {style}"), (progress, "bright_black"), f" {text}")
        line.truncate(width - 1, overflow="ellipsis")
        return [line]

    def _alert(self, told: Told, width: int) -> list[Text]:
        finding = told.finding
        severity = finding.severity or "alarm"
        head = Text.assemble(
            (f" {severity} ", SEVERITY_STYLE.get(severity, "bold red")),
            (f" {finding.act}", f"bold {ACT_STYLE[finding.act]}"),
            f" · cause {' and '.join(finding.causes) or finding.cause}",
            f" · in window {finding.windows_until_alarm}",
            (f" · {self._arrived(finding, width)}", "bright_black"),
        )
        if told.cleared is not None:
            head.append(f" · cleared in {told.cleared}", style="green")
        detail = Text("   ")
        heads = finding.heads if {"heads", "model"} & set(finding.channels) else ()
        detail.append("heads ", style="bright_black").append(", ".join(heads) or "-")
        detail.append("  tokens gained ", style="bright_black").append("  ".join(finding.tokens) or "-")
        if finding.lost:
            detail.append("  lost ", style="bright_black").append("  ".join(finding.lost))
        lines = [head, detail]
        if width >= 100 and finding.summary:
            told_lines = Text(finding.summary, style="italic").wrap(self._console, width - 6)
            if len(told_lines) > 2:
                told_lines[1].append(" …")
            lines += [Text("   ").append_text(line) for line in told_lines[:2]]
        for line in lines:
            line.truncate(width - 1, overflow="ellipsis")
        return lines

    def _arrived(self, finding: Finding, width: int) -> str:
        if not self._receiving:
            return "no Alertmanager here"
        if finding.arrived_after is None:
            return "waiting for Alertmanager"
        how = "arrived through Alertmanager after" if width >= 100 else "Alertmanager"
        return f"{how} {finding.arrived_after:.0f} s"


class LiveView(Screen):
    """The screen on a real terminal."""

    def __enter__(self) -> Self:
        self._live = Live(self, console=self._console, refresh_per_second=6, screen=False)
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()


class PlainView(Screen):
    """One line for each thing that happens: for logs, pipes and continuous integration."""

    def __enter__(self) -> Self:
        self._line(self._title)
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to put back."""

    def phase(self, name: str, text: str) -> None:
        """What happens from now on."""
        super().phase(name, text)
        self._line(f"{name}: {text}")

    def judged(self, name: str, verdict: dict[str, Any]) -> None:
        """A window's verdict."""
        super().judged(name, verdict)
        start = f"window {verdict['index']} [{name}] {state_text(verdict).plain}: "
        if not verdict["channels"]:
            self._line(start + str(verdict["summary"]))
            return
        channels = ", ".join(
            f"{channel} {number(found['evidence'])}/{number(found['limit'])}"
            for channel, found in verdict["channels"].items()
        )
        pooled = f"{number(verdict['evidence'])}/{number(verdict['limit'])}"
        self._line(f"{start}evidence/limit {pooled} ({channels})")

    def alarm(self, act: Act, finding: Finding) -> None:
        """An alarm, or more detail of it."""
        known = any(told.finding.act == act for told in self._told)
        super().alarm(act, finding)
        lines = self._alert(self._told[-1], 400)
        for line in lines[:1] if known else lines:
            self._line(line.plain)

    def cleared(self, act: Act, windows: int) -> None:
        """The alarm of ``act`` has cleared."""
        super().cleared(act, windows)
        self._line(f"the alarm of '{act}' cleared after {windows} quiet windows")

    def links(self, links: dict[str, str]) -> None:
        """Addresses to open."""
        for name, url in links.items():
            if self._links.get(name) != url:
                self._line(f"{name}: {url}")
        super().links(links)

    def finish(self, failed: list[str]) -> None:
        """The end of the story."""
        super().finish(failed)
        if self._result is not None:
            self._line(self._result.plain)

    def _line(self, text: str) -> None:
        seconds = int(time.monotonic() - self._began)
        line = f"{seconds // 60}:{seconds % 60:02d}  {text}"
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)
