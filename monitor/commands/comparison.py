"""The table of ``backtest``: what each setting finds, how late, and with how many false alarms."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from monitor.commands.terminal import console
from monitor.tuning.score import Score
from monitor.tuning.sweep import Trial

COLUMNS = (
    "samples a\nwindow",
    "one false\nalarm in",
    "windows\njudged",
    "false\nalarms",
    "found",
    "delay,\nwindows",
    "delay,\ntime",
    "quiet\nagain",
)


def print_comparison(trials: Sequence[Trial], *, labelled: bool) -> None:
    """Print a row a setting, and what the columns mean; a lone setting's incidents one by one."""
    out = console()
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    for column in COLUMNS if labelled else COLUMNS[:4]:
        table.add_column(column, justify="right", no_wrap=True)
    for trial in trials:
        table.add_row(*_cells(trial, labelled=labelled))
    out.print()
    out.print(table)
    out.print()
    out.print(Text(_legend(labelled=labelled)))
    if labelled and len(trials) == 1:
        out.print()
        out.print(_incidents(trials[0].score))


def _cells(trial: Trial, *, labelled: bool) -> list[str]:
    score = trial.score
    sign = "≤" if score.false_alarms <= score.bound else ">"
    cells = [
        str(trial.window),
        f"{trial.result.mean_windows:g}",
        str(score.windows),
        f"{score.false_alarms} {sign} {score.bound}",
    ]
    if not labelled:
        return cells
    cleared = score.spread("cleared")[0]
    return [
        *cells,
        f"{score.found} of {len(score.incidents)}",
        _pair(*(_number(value) for value in score.spread("delay"))),
        _pair(*(_time(value) for value in score.spread("delay_seconds"))),
        _number(cleared),
    ]


def _legend(*, labelled: bool) -> str:
    told = (
        "one false alarm in: windows, as the setting states it; false alarms: seen, and the most that "
        "chance makes of the stated rate in 99 logs of 100"
    )
    if not labelled:
        return f"{told}. Without --labels every alarm counts as a false one."
    return (
        f"{told}; found: incidents that raised an alarm; delay: median, largest, to the end of the window "
        "that alarmed; quiet again: windows after an incident until no alarm stood, median."
    )


def _incidents(score: Score) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    for column in ("incident", "window", "delay", "cause", "quiet again"):
        right = column in ("window", "delay", "quiet again")
        table.add_column(column, justify="right" if right else "left", overflow="fold")
    for item in score.incidents:
        if item.window is None:
            table.add_row(Text(item.name), "never found")
            continue
        cause = ", ".join(item.causes)
        if item.cause_right is False:
            cause = f"{cause} (is {item.cause})"
        delay = f"{_number(item.delay)}, {_time(item.delay_seconds)}"
        table.add_row(Text(item.name), str(item.window), delay, cause, _number(item.cleared))
    return table


def _pair(middle: str, largest: str) -> str:
    return middle if middle == largest else f"{middle}, {largest}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"


def _time(seconds: float | None) -> str:
    """A duration in its largest fitting unit.

    >>> _time(90), _time(7 * 60), _time(30000), _time(400000)
    ('90s', '7m', '8.3h', '4.6d')
    """
    if seconds is None:
        return "-"
    for unit, size, least in (("d", 86400.0, 2.0), ("h", 3600.0, 2.0), ("m", 60.0, 2.0)):
        if seconds >= least * size:
            value = seconds / size
            return f"{value:.0f}{unit}" if unit == "m" else f"{value:.2g}{unit}"
    return f"{seconds:.0f}s"
