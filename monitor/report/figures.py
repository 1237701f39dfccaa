"""Figures of a verdict as PNG bytes, for MLflow and for people.

Figures are plain objects drawn by Agg: no pyplot, so no state that two threads could share. The
palettes (cividis, PuOr) can be told apart with any colour vision and in greyscale.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from monitor.records import Array, HeadEvidence, Verdict

BEFORE, AFTER, RULE = "#5a6b7b", "#c4500a", "#1f4e8c"
_LINES = ("#1f4e8c", "#c4500a", "#2a7f62", "#7d4ba0", "#a88300", "#5a6b7b", "#b0306a")
_STYLES = ("-", "--", "-.", ":")


def head_map_png(verdict: Verdict, *, layers: int, heads: int, effects: Array | None) -> bytes:
    """A map of layers (down) and heads (across), coloured by how far each head has moved.

    Args:
        verdict: its named heads are framed.
        layers: number of layers.
        heads: number of heads a layer.
        effects: (layer, head), in standard deviations of the baseline; signed values get a diverging
            palette. None: only the heads that the verdict lists are known, the rest stays blank.
    """
    listed = _strongest(verdict)
    values = np.full((layers, heads), np.nan)
    if effects is not None:
        values[:] = effects
    else:
        for item in listed:
            values[item.head.layer, item.head.head] = abs(item.effect)
    # Wide enough for the title of a model with two heads; not endless for one with eighty layers.
    size = max(6.6, 1.9 + 0.42 * min(heads, 40)), 1.9 + (0.4 if layers <= 16 else 0.22) * layers
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    largest = float(np.nanmax(np.abs(values))) if np.isfinite(values).any() else 0.0
    # A quiet map must look quiet: noise of a tenth of a standard deviation gets no bright colour.
    scale = max(largest, 1.0)
    signed = bool(np.nanmin(values) < 0) if np.isfinite(values).any() else False
    axes.set_facecolor("#e6e6e6")
    image = axes.imshow(
        values,
        cmap="PuOr_r" if signed else "cividis",
        vmin=-scale if signed else 0.0,
        vmax=scale,
        aspect="auto",
    )
    figure.colorbar(image, ax=axes, label=_scale_label(layers))
    for item in (item for item in listed if item.named):
        _frame(axes, item, signed=signed, value=values[item.head.layer, item.head.head], scale=scale)
    axes.set_xlabel("head")
    axes.set_ylabel("layer")
    axes.set_xticks(_ticks(heads))
    axes.set_yticks(_ticks(layers))
    axes.set_title(f"{_headline(verdict)}\n{_heads_line(listed)}", fontsize=10, loc="left")
    return _png(figure)


def before_after_png(verdict: Verdict, *, limit: int = 12) -> bytes:
    """The heads that moved most, each statistic before → after, in the statistic's own unit."""
    items = _strongest(verdict)[:limit]
    figure = Figure(figsize=(7.5, 1.7 + 0.36 * max(1, len(items))), layout="constrained")
    axes = figure.subplots()
    for row, item in enumerate(items):
        axes.plot([item.before, item.after], [row, row], color="#9aa5b1", linewidth=2, zorder=1)
        axes.annotate(
            f"{item.effect:+.1f} sd",
            (max(item.before, item.after), row),
            xytext=(9, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    rows = range(len(items))
    axes.scatter(
        [item.before for item in items], rows, color=BEFORE, marker="o", s=42, label="baseline", zorder=2
    )
    axes.scatter(
        [item.after for item in items], rows, color=AFTER, marker="D", s=42, label="this window", zorder=3
    )
    axes.set_yticks(list(rows), [f"{item.head} {item.statistic}" for item in items])
    axes.set_ylim(len(items) - 0.4, -0.6)
    axes.margins(x=0.14)
    axes.set_xlabel("mean of the statistic")
    axes.grid(axis="x", color="#dddddd", linewidth=0.7)
    if items:
        axes.legend(
            loc="upper center", bbox_to_anchor=(0.5, -0.12 - 0.9 / (len(items) + 2)), ncols=2, frameon=False
        )
    axes.set_title(_headline(verdict), fontsize=10, loc="left")
    return _png(figure)


def evidence_png(history: Sequence[Verdict]) -> bytes:
    """Evidence of each channel as a share of its limit over the windows of ``history``.

    Alarms begin where a line crosses 1; windows in alarm are shaded.
    """
    figure = Figure(figsize=(8.5, 4.2), layout="constrained")
    axes = figure.subplots()
    windows = [verdict.window for verdict in history]
    names = list(dict.fromkeys(name for verdict in history for name in verdict.channels))
    for index, name in enumerate(names):
        values = [_share(verdict, name) for verdict in history]
        # Colours, and styles on top of them: seven lines must be told apart without any colour.
        axes.plot(
            windows,
            values,
            label=name,
            color=_LINES[index % len(_LINES)],
            linestyle=_STYLES[index % len(_STYLES)],
            linewidth=1.8,
        )
    axes.axhline(1.0, color="#222222", linewidth=1, linestyle=(0, (6, 3)))
    for verdict in history:
        if verdict.alarm:
            axes.axvspan(verdict.window - 0.5, verdict.window + 0.5, color="#f3d9c6", zorder=0, linewidth=0)
    axes.set_xlabel("window")
    axes.set_ylabel("evidence / limit")
    axes.grid(axis="y", color="#e3e3e3", linewidth=0.7)
    if names:
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    if history:
        axes.set_title(f"Evidence of drift in {history[-1].model} (shaded: alarm)", fontsize=10, loc="left")
    return _png(figure)


def _scale_label(layers: int) -> str:
    """What the colours mean, in lines no longer than the colour bar of so many layers is high."""
    words = "change in standard deviations of the baseline"
    return words if layers > 5 else "change in\nstandard deviations\nof the baseline"


def _strongest(verdict: Verdict) -> list[HeadEvidence]:
    """Per head its strongest evidence, named heads first, largest evidence first."""
    every = sorted(
        (item for channel in verdict.channels.values() for item in channel.heads),
        key=lambda item: (not item.named, -item.evidence),
    )
    return list({item.head: item for item in reversed(every)}.values())[::-1] if every else []


def _frame(axes: Axes, item: HeadEvidence, *, signed: bool, value: float, scale: float) -> None:
    row, column = item.head.layer, item.head.head
    # The frame's inside must contrast with any colour of the map: white on black.
    for colour, width in (("black", 4.0), ("white", 1.8)):
        axes.add_patch(
            Rectangle((column - 0.46, row - 0.46), 0.92, 0.92, fill=False, edgecolor=colour, linewidth=width)
        )
    bright = abs(value) < 0.6 * scale if signed else value > 0.55 * scale
    axes.text(
        column,
        row,
        f"{value:.1f}",
        ha="center",
        va="center",
        fontsize=7,
        color="black" if bright else "white",
    )


def _share(verdict: Verdict, name: str) -> float:
    channel = verdict.channels.get(name)
    if channel is None or channel.limit <= 0 or not np.isfinite(channel.evidence):
        return float("nan")
    return max(0.0, channel.evidence / channel.limit)


def _headline(verdict: Verdict) -> str:
    end = datetime.fromtimestamp(verdict.end, UTC).strftime("%Y-%m-%d %H:%M UTC")
    state = verdict.state.replace("_", " ")
    if verdict.alarm:
        state = f"{verdict.severity or 'alarm'}, cause {' and '.join(verdict.causes) or 'unknown'}"
    return f"{verdict.model}, window {verdict.window} ({end}): {state}"


def _heads_line(listed: Sequence[HeadEvidence]) -> str:
    named = [str(item.head) for item in listed if item.named]
    if not named:
        return "no head is named as drifted"
    more = f" and {len(named) - 6} more" if len(named) > 6 else ""
    return f"drifted (framed): {', '.join(itertools.islice(named, 6))}{more}"


def _ticks(count: int) -> list[int]:
    return list(range(0, count, max(1, -(-count // 16))))


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()
