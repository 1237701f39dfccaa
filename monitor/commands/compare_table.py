"""The table of ``compare``: the heads that moved most, and what was found in plain words."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from monitor.comparing.comparison import Comparison, HeadChange
from monitor.comparing.summary import number, sentences

WIDTH = 80
SHOWN = 12
ROLE_STYLES = {"origin": "bold", "changed": "bold", "beside": "", "downstream": "dim", "still": "dim"}


def print_comparison(found: Comparison) -> None:
    """Print the sentences, then a row for each of the first heads and what the columns mean."""
    console = Console(width=WIDTH, highlight=False)
    for sentence in sentences(found):
        console.print(Text(sentence))
    ranked = found.ranked
    if not ranked:
        return
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    for title, right in (
        ("head", False),
        ("role", False),
        ("importance", True),
        ("statistic", False),
        ("before", True),
        ("after", True),
        ("moved, sd", True),
    ):
        table.add_column(title, justify="right" if right else "left", no_wrap=True)
    for item in ranked[:SHOWN]:
        table.add_row(*_cells(item), style=ROLE_STYLES[item.role])
    console.print()
    console.print(table)
    if len(ranked) > SHOWN:
        console.print(f"... and {len(ranked) - SHOWN} more heads, in the JSON")
    console.print()
    console.print(
        Text(
            "importance: times the median head's; before, after: means over the samples; moved: root mean "
            "square over the samples, in sd of the model's samples.",
            style="dim",
        )
    )


def _cells(item: HeadChange) -> tuple[str, ...]:
    return (
        str(item.head),
        item.role,
        "-" if item.relative is None else f"{item.relative:.1f} x",
        item.statistic,
        number(item.before),
        number(item.after),
        number(item.size),
    )
