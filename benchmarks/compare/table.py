"""The stored results as the two tables that the docs quote."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]
DAMAGES = {
    "output_zeroed": "output zeroed",
    "values_zeroed": "values zeroed",
    "queries_zeroed": "queries zeroed",
    "keys_zeroed": "keys zeroed",
    "queries_permuted": "queries permuted",
    "queries_noised": "noise on the queries",
}


def tables(result: Row) -> str:
    """Markdown: a row a damage, then a row for each other kind of checkpoint."""
    return f"{_damages(result['figures'])}\n\n{_others(result)}\n"


def _damages(figures: Sequence[Row]) -> str:
    head = (
        "| damage to one head | heads tried | named | by behaviour alone | smallest size, sd | other heads "
        "at or before its layer | exit 3 on `any` | on `important` |"
    )
    rows = [
        f"| {DAMAGES[row['damage']]} | {row['heads']} | {row['named']} | {row['named_by_behaviour']} "
        f"| {row['smallest_size']:.2f} | {row['others_at_or_before_it']} | {row['fails_on_any']} "
        f"| {row['fails_on_important']}, of {row['important']} important |"
        for row in figures
    ]
    return "\n".join([head, "|---|---|---|---|---|---|---|---|", *rows])


def _others(result: Row) -> str:
    head = (
        "| candidate | heads moved | largest size, sd | nearest to its limit | labels flipped "
        "| gradient × input agrees | exit on `any` |"
    )
    draws = [row for row in result["rounded"] if row["checkpoint"].startswith("random rounding")]
    groups = {row["checkpoint"]: [row] for row in result["rounded"] if row not in draws}
    if draws:
        groups[f"random rounding, {len(draws)} draws"] = draws
    groups |= {row["checkpoint"].replace("_", " "): [row] for row in result["retrained"]}
    rows = [_line(name, group) for name, group in groups.items()]
    return "\n".join([head, "|---|---|---|---|---|---|---|", *rows])


def _line(name: str, rows: Sequence[Row]) -> str:
    """The worst of the rows."""
    return (
        f"| {name} | {max(row['heads_moved'] for row in rows)} | {max(row['largest'] for row in rows):.2f} "
        f"| {max(row['nearest_to_limit'] for row in rows):.2f} × "
        f"| {max(row['labels_flipped'] for row in rows)} "
        f"| {min(row['attribution_correlation'] for row in rows):.2f} "
        f"| {max(row['exit_code'] for row in rows)} |"
    )
