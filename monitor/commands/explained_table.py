"""An explanation as tables that fit a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from monitor.records import Attribution

BAR_WIDTH = 20
SHORT = {
    "integrated_gradients": "Integrated Gradients",
    "gradient_times_input": "gradient x input",
    "rollout": "attention rollout",
    "relevance": "relevance",
    "gradient_times_attention": "gradient x attention",
    "attention_flow": "attention flow",
}
COLUMNS = {"relevance": "relevance", "attention_flow": "flow"}
"""Methods that are shown token by token where they were asked for."""


def print_explanation(explained: Attribution, document: Mapping[str, Any]) -> None:
    """Print the tokens, how the methods compare, the shares and the summary."""
    from rich.console import Console
    from rich.text import Text

    console = Console()
    console.print(_tokens(explained))
    console.print()
    if document["agreements"] or explained.faithfulness:
        console.print(_methods(document))
        console.print()
    shares = _shares(explained.shares)
    if shares:
        console.print(Text(shares))
        console.print()
    console.print(Text(str(document["summary"])))
    unit = "logits" if explained.prediction.probabilities else "in the unit of the answer"
    console.print(
        Text(f"Attributions are {unit}; their sum is what the text adds over padding.", style="dim")
    )
    if explained.faithfulness:
        console.print(
            Text(
                "rank, top 5: agreement with Integrated Gradients (1 is the same order, the same tokens); "
                "all of them: mean loss of the prediction's support without the first 1 to 50 % of the "
                "tokens (high is good); alone: with nothing but them (low is good); first 1, first 3: loss "
                "without so many tokens, ! where the label changes.",
                style="dim",
            )
        )


def _tokens(explained: Attribution) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    extra = {name: title for name, title in COLUMNS.items() if name in explained.others}
    for title, side in (("token", "left"), ("attribution", "right"), ("", "left"), ("rollout", "right")):
        table.add_column(title, justify=side)  # type: ignore[arg-type]
    for title in extra.values():
        table.add_column(title, justify="right")
    largest = max((abs(float(value)) for value in explained.values), default=0.0) or 1.0
    for place, (token, value) in enumerate(zip(explained.tokens, explained.values, strict=True)):
        length = round(BAR_WIDTH * abs(float(value)) / largest)
        bar = Text("█" * length, style="green" if value > 0 else "red")
        others = [f"{explained.others[name][place]:.3f}" for name in extra]
        table.add_row(Text(token), f"{value:+.3f}", bar, f"{explained.rollout[place]:.3f}", *others)
    return table


def _methods(document: Mapping[str, Any]) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, title="how the methods compare", title_justify="left")
    table.add_column("method")
    for title in ("rank", "top 5", "all of them", "alone", "first 1", "first 3"):
        table.add_column(title, justify="right")
    agreements, measured = document["agreements"], document["faithfulness"]
    for name in dict.fromkeys([*measured, *agreements]):
        agreed, faithful = agreements.get(name), measured.get(name)
        table.add_row(
            SHORT.get(name, name),
            *(_number(None if agreed is None else agreed[key]) for key in ("spearman", "overlap_at_5")),
            *(
                _number(None if faithful is None else faithful[key])
                for key in ("comprehensiveness", "sufficiency")
            ),
            *(_removal(faithful, tokens) for tokens in (1, 3)),
        )
    return table


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _removal(faithful: Mapping[str, Any] | None, tokens: int) -> str:
    """What the first tokens are worth; ``!`` where the label changes without them."""
    removals: Sequence[Mapping[str, Any]] = () if faithful is None else faithful["removals"]
    for removal in removals:
        if removal["tokens"] == tokens:
            return f"{removal['drop']:.2f}{'!' if removal['flips'] else ''}"
    return ""


def _shares(shares: Mapping[str, float]) -> str:
    names = {"special": "special tokens (gradient x input)"}
    parts = [
        f"{names.get(name, name.removeprefix('watched/'))} {value:.0%}" for name, value in shares.items()
    ]
    return f"Share of the attribution: {', '.join(parts)}." if parts else ""
