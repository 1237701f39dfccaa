"""Progress on stderr, and only where somebody watches it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from monitor.commands.terminal import watched

BAR_WIDTH = 30


@contextmanager
def progress(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yields a function that is told how many are done; silent where stderr is no terminal.

    The bar shows how many there are and about how long the rest takes, and is gone when the block ends.
    """
    with _bar(TextColumn(title), BarColumn(BAR_WIDTH), MofNCompleteColumn(), TimeLeft()) as bar:
        task = bar.add_task(title, total=total)
        yield lambda done: bar.update(task, completed=done)


@contextmanager
def stages(shares: dict[str, int]) -> Iterator[Callable[[str], None]]:
    """Yields a function that is told each stage as it ends; the bar names the one that runs.

    ``shares``: what each stage takes of the time, about, in the order in which they run.
    """
    names = list(shares)
    with _bar(TextColumn("{task.description}"), BarColumn(BAR_WIDTH), TimeLeft()) as bar:
        task = bar.add_task(names[0], total=sum(shares.values()))

        def ended(name: str) -> None:
            if name in shares:
                place = names.index(name) + 1
                running = names[min(place, len(names) - 1)]
                bar.update(task, completed=sum(shares[one] for one in names[:place]), description=running)

        yield ended


@contextmanager
def working(title: str) -> Iterator[None]:
    """A sign of life and the time it has taken so far, for work whose end nobody knows."""
    with _bar(SpinnerColumn(), TextColumn(title), TimeElapsedColumn()) as bar:
        bar.add_task(title, total=None)
        yield


class TimeLeft(ProgressColumn):
    """``about 1:20 left``; nothing until there is something to reckon from."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        """The estimate from the speed of the last half minute."""
        seconds = task.time_remaining
        if seconds is None or task.finished:
            return Text("")
        minutes, rest = divmod(round(seconds), 60)
        hours, minutes = divmod(minutes, 60)
        clock = f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
        return Text(f"about {clock} left", style="progress.remaining")


def _bar(*parts: ProgressColumn) -> Progress:
    return Progress(
        *parts,
        console=Console(stderr=True),
        transient=True,
        disable=not watched(),
        # redirected output would end in the console of the bar, which is stderr, and not in the file
        redirect_stdout=sys.stdout.isatty(),
    )
