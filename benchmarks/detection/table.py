"""The results as Markdown: goals first, then every scenario, then every method."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from benchmarks.detection.goals import Results, Rows, goals, windows


def tables(results: Results, left_out: Sequence[str] = ()) -> str:
    """Everything that was measured."""
    parts = [_goals(results), *_nulls(results), _delays(results.get("delays", ()))]
    parts += [_heads(results.get("localisation", ())), _causes(results.get("causes", ()))]
    parts += list(_methods(results.get("comparison", ())))
    if left_out:
        parts.append("Left out: " + "; ".join(left_out) + ".")
    return "\n\n".join(part for part in parts if part) + "\n"


def table(title: str, names: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A pipe table under a heading; empty if it has no rows."""
    lines = ["| " + " | ".join("" if cell is None else str(cell) for cell in row) + " |" for row in rows]
    if not lines:
        return ""
    head = ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
    return "\n".join([f"## {title}", "", *head, *lines])


def _goals(results: Results) -> str:
    return table(
        "Goals",
        ["goal", "wanted", "measured", ""],
        [[g.name, g.wanted, g.figure, "reached" if g.reached else "**MISSED**"] for g in goals(results)],
    )


def _nulls(results: Results) -> Iterator[str]:
    simulated = results.get("simulation", ())
    for title, key, rows in (
        ("baseline and window size", "baseline_samples", results.get("sizes", ())),
        *(
            (
                f"simulated wobble ({kind}) and window size",
                "wobble_sd",
                [r for r in simulated if r["wobble"] == kind],
            )
            for kind in dict.fromkeys(row["wobble"] for row in simulated)
        ),
    ):
        sizes = sorted({row["window"] for row in rows})
        found = {(row[key], row["window"]): row for row in rows}
        yield table(
            f"Alarms (99 % bound) by {title}, {rows[0]['false_alarms']}" if rows else "",
            [key.replace("_", " "), *map(str, sizes)],
            [
                [value, *(_cell(found.get((value, size))) for size in sizes)]
                for value in sorted({row[key] for row in rows})
            ],
        )


def _cell(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "–"
    return f"{row['alarms']} ({row['bound_99']}) of {row['windows']}, e^{row['largest_log_evidence']:.1f}"


def _delays(rows: Rows) -> str:
    return table(
        "Windows until the alarm, by scenario",
        ["model", "group", "scenario", "goal", "median delay", "baselines", "early alarms", "channels",
         "words", "suspected", "quiet again after", "log evidence for it"],
        [
            [
                row["world"], row["group"], row["scenario"],
                "" if row["goal"] is None else f"{row['goal']:g}",
                windows(row["median_delay"]) + (" **MISSED**" if row["reached"] is False else ""),
                row["baselines"], row["early_alarms"],
                _counts(row["channels"]), " ".join(row["words"]), _counts(row["suspicions"]),
                windows(row["median_recovery"]) if row["median_delay"] is not None else "",
                row["median_recovery_log_evidence"],
            ]
            for row in rows
        ],
    )  # fmt: skip


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items(), key=lambda item: -item[1]))


def _heads(rows: Rows) -> str:
    return table(
        "The damaged head named first",
        ["model", "damage", "trials", "median delay", "alarmed", "from the stream", "by the probe"],
        [
            [
                row["world"], row["damage"].replace("_", " "), row["trials"], windows(row["median_delay"]),
                row["alarmed"], row["right_from_stream"], row["right_by_probe"],
            ]
            for row in rows
        ],
    )  # fmt: skip


def _causes(rows: Rows) -> str:
    if not rows:
        return ""
    matrix = rows[0]["matrix"]
    said = sorted({name for row in matrix.values() for name in row})
    return table(
        "Cause: what was done (rows), what the verdict said (columns)",
        ["", *said],
        [[done, *(found.get(name, 0) for name in said)] for done, found in matrix.items()],
    )


def _methods(rows: Rows) -> Iterator[str]:
    for world in dict.fromkeys(row["world"] for row in rows):
        own = [row for row in rows if row["world"] == world]
        names = list(dict.fromkeys(row["method"] for row in own))
        quiet = [row for row in own if "share" in row]
        shifted = [row for row in own if "share" not in row]
        yield table(
            f"Share of windows in alarm while nothing is wrong, {world}",
            ["method", *dict.fromkeys(row["scenario"] for row in quiet)],
            _crossed(quiet, names, lambda row: f"{100 * row['share']:.1f} %"),
        )
        yield table(
            f"Median windows until the alarm, {world}",
            ["method", *dict.fromkeys(row["scenario"] for row in shifted)],
            _crossed(shifted, names, _delay),
        )


def _delay(row: Mapping[str, Any]) -> str:
    return f"> {row['windows']}" if row["median_delay"] is None else f"{row['median_delay']:g}"


def _crossed(rows: Rows, names: Sequence[str], shown: Any) -> list[list[str]]:
    columns = list(dict.fromkeys(row["scenario"] for row in rows))
    found = {(row["method"], row["scenario"]): row for row in rows}
    return [
        [name, *(shown(found[name, column]) if (name, column) in found else "–" for column in columns)]
        for name in names
        if rows
    ]
