"""What a detector's settings cost and gain on one log, as a PNG: delay against false alarms."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

_COLOURS = ("#1f4e8c", "#c4500a", "#2a7f62", "#7d4ba0", "#a88300", "#5a6b7b", "#b0306a")
_MARKS = ("o", "s", "^", "D", "v", "P", "X")
_STYLES = ("-", "--", "-.", ":")
_UNITS = ((172800.0, 86400.0, "days"), (7200.0, 3600.0, "hours"), (120.0, 60.0, "minutes"))
# Equal values side by side: lines that hide each other would look like one.
_ASIDE = 1.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One setting: ``delay`` is the median in seconds, None where nothing was found."""

    window: int
    mean_windows: float
    delay: float | None
    found: int
    incidents: int
    false_alarms: int
    bound: int


def tradeoff_png(points: Sequence[Point]) -> bytes:
    """Delay, share found and false alarms over the stated rate; a line a window size."""
    figure = Figure(figsize=(7.5, 8.0), layout="constrained")
    delays, found, false = figure.subplots(3, 1, sharex=True, height_ratios=(3, 2, 2))
    size, unit = _unit([point.delay for point in points if point.delay is not None])
    windows = sorted({point.window for point in points})
    for index, window in enumerate(windows):
        own = sorted((p for p in points if p.window == window), key=lambda p: p.mean_windows)
        aside = _ASIDE ** (index - (len(windows) - 1) / 2)
        places = [point.mean_windows * aside for point in own]
        drawn = (
            (delays, [float("nan") if p.delay is None else p.delay / size for p in own]),
            (found, [100 * p.found / max(p.incidents, 1) for p in own]),
            (false, [p.false_alarms for p in own]),
        )
        for axes, values in drawn:
            axes.plot(
                places,
                values,
                color=_COLOURS[index % len(_COLOURS)],
                marker=_MARKS[index % len(_MARKS)],
                linestyle=_STYLES[index % len(_STYLES)],
                linewidth=1.8,
                label=f"{window} samples a window",
            )
        bounds = [point.bound for point in own]
        label = "most by chance in 99 logs of 100" if window == windows[-1] else None
        false.scatter(places, bounds, marker="_", s=160, color="#222222", zorder=3, label=label)
    _label(delays, f"median delay in {unit}", lowest=0.0)
    _label(found, "incidents found in %", lowest=-4.0, highest=104.0)
    _label(false, "false alarms seen", lowest=-0.2)
    false.yaxis.set_major_locator(MaxNLocator(integer=True))
    rates = sorted({point.mean_windows for point in points})
    false.set_xscale("log")
    false.set_xticks(rates, [f"{rate:g}" for rate in rates])
    false.xaxis.set_minor_locator(NullLocator())
    false.set_xlabel("setting: one false alarm in so many windows")
    handles, names = false.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=min(3, len(names)), frameon=False)
    delays.set_title(
        "Fewer false alarms or earlier ones: each setting on the same log", fontsize=10, loc="left"
    )
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()


def _unit(seconds: Sequence[float]) -> tuple[float, str]:
    """The largest unit in which the largest delay is at least two."""
    largest = max(seconds, default=0.0)
    return next(((size, name) for least, size, name in _UNITS if largest >= least), (1.0, "seconds"))


def _label(axes: Axes, text: str, *, lowest: float, highest: float | None = None) -> None:
    axes.set_ylabel(text)
    axes.grid(color="#e3e3e3", linewidth=0.7)
    axes.set_ylim(lowest, highest if highest is not None else max(1.0, axes.get_ylim()[1] * 1.05))
