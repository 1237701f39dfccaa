"""Plots of the results: delays against shares, false alarms against the setting, evidence over time."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

from benchmarks.detection import trace
from benchmarks.detection.delays import LONGEST
from benchmarks.detection.goals import Results, Rows

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

SHARE = re.compile(r"(?P<corpus>.+) (?P<share>[\d.]+) %")
SHOWN = {
    "headwatch": ("C0", "o"),
    "KS heads, matched rate": ("C1", "s"),
    "MMD of embeddings, matched rate": ("C2", "^"),
    "KS predictions, matched rate": ("C3", "v"),
    "Jensen-Shannon of words, matched rate": ("C4", "D"),
}
"""The methods of the plots: those whose false-alarm rate is that of headwatch."""
NEVER = LONGEST * 1.5


def draw(results: Results, folder: Path) -> list[Path]:
    """Write what can be drawn as ``detection-*.png`` into ``folder``; the files written."""
    written = []
    for name, part, figure in (
        ("delays", "comparison", _delays),
        ("false-alarms", "quiet", _false_alarms),
        ("evidence", "trace", _evidence),
    ):
        rows = results.get(part, ())
        if rows and figure(rows):
            path = folder / f"detection-{name}.png"
            plt.savefig(path, dpi=110, bbox_inches="tight", metadata={"Software": None})
            written.append(path)
        plt.close("all")
    return written


def _delays(rows: Rows) -> bool:
    """Median delay against the share of shifted texts, a panel per corpus with several shares."""
    corpora: dict[tuple[str, str], dict[str, list[tuple[float, float]]]] = {}
    for row in rows:
        match = SHARE.fullmatch(row["scenario"])
        if match is None or "median_delay" not in row or row["method"] not in SHOWN:
            continue
        delay = NEVER if row["median_delay"] is None else row["median_delay"]
        lines = corpora.setdefault((row["world"], match["corpus"]), {})
        lines.setdefault(row["method"], []).append((float(match["share"]), delay))
    panels = {key: lines for key, lines in corpora.items() if any(len(line) > 1 for line in lines.values())}
    if not panels:
        return False
    columns = min(3, len(panels))
    height = -(-len(panels) // columns)
    figure, axes = plt.subplots(
        height, columns, figsize=(4.2 * columns, 3.2 * height), sharey=True, squeeze=False
    )
    for axis, ((world, corpus), lines) in zip(axes.flat, panels.items(), strict=False):
        _panel(axis, f"{corpus} ({world})", lines)
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=2, frameon=False)
    figure.suptitle("Windows of 200 until the alarm, at one false alarm per 8,640 windows")
    figure.tight_layout()
    return True


def _panel(axis: Axes, title: str, lines: Mapping[str, Sequence[tuple[float, float]]]) -> None:
    shares = sorted({share for line in lines.values() for share, _ in line})
    for number, (method, (colour, marker)) in enumerate(SHOWN.items()):
        points = sorted(lines.get(method, ()))
        # a little apart, so that lines which coincide (never, say) can be told from each other
        spread = 1 + 0.03 * (number - 2)
        axis.plot(
            [share for share, _ in points], [delay * spread for _, delay in points],
            color=colour, marker=marker, markersize=5, label=method,
        )  # fmt: skip
    axis.set_xscale("log")
    axis.set_xticks(shares, [f"{share:g} %" for share in shares])
    axis.minorticks_off()
    axis.set_yscale("log")
    axis.set_yticks([1, 2, 5, 10, 20, 50, NEVER], ["1", "2", "5", "10", "20", "50", "never"])
    axis.set_ylim(0.85, NEVER * 1.3)
    axis.grid(alpha=0.3)
    axis.set_title(title, fontsize=10)
    axis.set_xlabel("share of the window's texts", fontsize=9)


def _false_alarms(rows: Rows) -> bool:
    """Measured rate against the setting, with the 99 % bound that it must stay under."""
    figure, axis = plt.subplots(figsize=(5.6, 4.2))
    settings = sorted({1 / row["mean_windows"] for row in rows})
    axis.plot(settings, settings, color="0.6", linestyle="--", label="setting")
    for number, world in enumerate(dict.fromkeys(row["world"] for row in rows)):
        own = [row for row in rows if row["world"] == world]
        x = [(1 + 0.2 * number) / row["mean_windows"] for row in own]
        axis.scatter(
            x, [row["bound_99"] / row["windows"] for row in own],
            marker="_", s=160, color=f"C{number}", label=f"{world}: 99 % bound",
        )  # fmt: skip
        axis.scatter(
            x, [max(row["alarms"] / row["windows"], _floor(rows)) for row in own],
            marker="o", color=f"C{number}", label=f"{world}: measured",
        )  # fmt: skip
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xticks(settings, [f"1 per {1 / value:,.0f}" for value in settings])
    axis.minorticks_off()
    floor = _floor(rows)
    ticks = [1e-2, 1e-3, 1e-4]
    axis.set_yticks([*ticks, floor], [*(f"1 per {1 / value:,.0f}" for value in ticks), "none"])
    axis.set_xlabel("setting: false alarms per window")
    axis.set_ylabel("measured on quiet windows")
    axis.grid(alpha=0.3)
    axis.set_ylim(floor / 2, None)
    axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    figure.tight_layout()
    return True


def _floor(rows: Rows) -> float:
    """Where no alarm at all is drawn."""
    return float(0.3 / max(row["windows"] for row in rows))


def _evidence(rows: Rows) -> bool:
    """Log evidence of the pool and of each channel, window by window, for one shift."""
    row: Mapping[str, Any] = rows[0]
    points = row["windows"]
    figure, axis = plt.subplots(figsize=(7.5, 4.0))
    x = range(1, len(points) + 1)
    heard = [
        name
        for name in points[0]["channels"]
        if any(point["channels"][name] > trace.LOWEST for point in points)
    ]
    for name in heard:
        axis.plot(x, [point["channels"][name] for point in points], linewidth=1, alpha=0.7, label=name)
    axis.plot(x, [point["evidence"] for point in points], color="black", linewidth=2, label="all channels")
    axis.axhline(row["log_limit"], color="C3", linestyle="--", label="alarm: ln 8,640")
    axis.axvspan(row["onset"] + 0.5, row["end"] + 0.5, color="0.9", label=row["scenario"])
    for index, point in enumerate(points, start=1):
        if point["alarm"]:
            axis.axvspan(index - 0.5, index + 0.5, ymax=0.03, color="C3")
    axis.set_xlabel("window (red below: the alarm stands)")
    axis.set_ylabel("log evidence")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    figure.tight_layout()
    return True
