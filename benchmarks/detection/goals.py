"""The goals of the benchmark: each with what was wanted, what was measured, and whether it was reached."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Rows = Sequence[Mapping[str, Any]]
Results = Mapping[str, Rows]
"""The figures of each part by the part's name."""
FEWEST_BASELINES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """``reached`` is None where a part of it was not measured."""

    name: str
    wanted: str
    figure: str
    reached: bool


def goals(results: Results) -> list[Goal]:
    """Those of the parts that were measured, in the order of the table."""
    found: list[Goal] = []
    for part, lines in _LINES.items():
        if results.get(part):
            found += lines(results[part])
    return found


def _quiet(rows: Rows) -> Iterator[Goal]:
    for row in rows:
        yield Goal(
            name=f"clean windows, {row['world']}, {row['false_alarms']}",
            wanted=f"at most {row['bound_99']} alarms (99 % bound)",
            figure=f"{row['alarms']} in {row['windows']:,} windows of {row['baselines']} baselines, "
            f"{row['ratio']:g} of what is allowed",
            reached=row["kept"] and row["baselines"] >= FEWEST_BASELINES,
        )
    strict = [row for row in rows if row["mean_windows"] == 8640]
    if strict:
        largest = max(row["largest_log_evidence"] for row in strict)
        yield Goal(
            name="largest log evidence of a clean window at one per 8,640",
            wanted="at most 6",
            figure=f"{largest:g}",
            reached=largest <= 6,
        )


def _null(name: str, *keys: str) -> Any:
    def lines(rows: Rows) -> Iterator[Goal]:
        kept = [row for row in rows if row["kept"]]
        broken = [row for row in rows if not row["kept"]]
        alarms, expected = sum(row["alarms"] for row in rows), sum(row["expected_alarms"] for row in rows)
        told = "; ".join(
            f"{', '.join(f'{key} {row[key]}' for key in keys)}: {row['alarms']} > {row['bound_99']}"
            for row in broken
        )
        windows = sum(row["windows"] for row in rows)
        yield Goal(
            name=name,
            wanted="each setting within its 99 % bound",
            figure=f"{len(kept)} of {len(rows)} settings ({alarms} alarms in {windows:,} windows, "
            f"{expected:.0f} allowed)" + (f"; over: {told}" if told else ""),
            reached=not broken,
        )

    return lines


def _wobble(rows: Rows) -> Iterator[Goal]:
    for row in rows:
        yield Goal(
            name=f"{row['scenario']}, {row['world']}, {row['false_alarms']}",
            wanted=f"at most {row['bound_99']} alarms (99 % bound)",
            figure=f"{row['alarms']} in {row['windows']:,} windows of {row['baselines']} baselines, "
            f"largest log evidence {row['largest_log_evidence']:g}",
            reached=row["kept"] and row["baselines"] >= FEWEST_BASELINES,
        )


def _delays(rows: Rows) -> Iterator[Goal]:
    grouped: dict[tuple[str, str, float], list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["goal"] is not None:
            grouped.setdefault((row["world"], row["group"], row["goal"]), []).append(row)
    for (world, group, goal), group_rows in grouped.items():
        yield Goal(
            name=f"delay, {group}s, {world}",
            wanted=f"at most {goal:g}",
            figure=", ".join(f"{row['scenario']}: {windows(row['median_delay'])}" for row in group_rows),
            reached=all(row["reached"] for row in group_rows),
        )
    yield from _named(rows)
    yield from _quiet_again(rows)


def _named(rows: Rows) -> Iterator[Goal]:
    triggers = [row for row in rows if row["word_named"] is not None]
    if triggers:
        named = sum(row["word_named"] for row in triggers)
        found = sum(sum(delay is not None for delay in row["delays"]) for row in triggers)
        yield Goal(
            name="the trigger word named when it was found",
            wanted="always",
            figure=f"{named} of {found} alarms",
            reached=named == found,
        )


def _quiet_again(rows: Rows) -> Iterator[Goal]:
    """Of the shifts that were found: after how many quiet windows it was said that they ended."""
    ended = [row for row in rows if row["median_delay"] is not None and row["group"] != "life"]
    if not ended:
        return
    slow = [row for row in ended if row["median_recovery"] is None or row["median_recovery"] > 3]
    told = ", ".join(f"{row['scenario']}, {row['world']}: {windows(row['median_recovery'])}" for row in slow)
    yield Goal(
        name="quiet again after the shift has ended (medians), with evidence for it",
        wanted="within 3 windows",
        figure=f"{len(ended) - len(slow)} of {len(ended)} scenarios" + (f"; {told}" if told else ""),
        reached=not slow and all(row["median_recovery_log_evidence"] for row in ended),
    )


def windows(value: float | None) -> str:
    """A delay as it is shown."""
    return "never" if value is None else f"{value:g}"


def _localisation(rows: Rows) -> Iterator[Goal]:
    for row in rows:
        if row["damage"] == "all":
            yield Goal(
                name=f"delay, single damaged heads, {row['world']}",
                wanted="at most 1",
                figure=f"{windows(row['median_delay'])} (median), {row['alarmed']} of {row['trials']} found",
                reached=row["median_delay"] is not None and row["median_delay"] <= 1,
            )
            for key, name, wanted in (
                ("right_from_stream", "from the stream", 0.97),
                ("right_by_probe", "by the probe", 1.0),
            ):
                share = row[key] / row["trials"]
                yield Goal(
                    name=f"damaged head named {name}, {row['world']}",
                    wanted=f"{100 * wanted:g} %",
                    figure=f"{row[key]} of {row['trials']} ({100 * share:.1f} %)",
                    reached=share >= wanted,
                )


def _causes(rows: Rows) -> Iterator[Goal]:
    for row in rows:
        right, total = _diagonal(row["matrix"])
        yield Goal(
            name="cause right",
            wanted="100 %",
            figure=f"{right} of {total} stories",
            reached=right == total,
        )


def _diagonal(matrix: Mapping[str, Mapping[str, int]]) -> tuple[int, int]:
    total = sum(sum(said.values()) for said in matrix.values())
    return sum(said.get(done, 0) for done, said in matrix.items()), total


def _cost(rows: Rows) -> Iterator[Goal]:
    for row in rows:
        size = f"{row['heads']} heads x {row['statistics']} statistics x {row['samples']} samples"
        slowest = max(row["cpu_ms_quiet"], row["cpu_ms_in_alarm"] or 0.0)
        yield Goal(
            name=f"one window's evaluation, {size}",
            wanted="at most 50 ms",
            figure=f"{row['cpu_ms_quiet']:g} ms quiet, {row['cpu_ms_in_alarm'] or 0:g} ms in alarm",
            reached=slowest <= 50,
        )
        yield Goal(
            name="the detector's state",
            wanted="at most 20 MB",
            figure=f"{row['state_bytes'] / 1e6:.1f} MB",
            reached=row["state_bytes"] <= 20e6,
        )


_LINES: Mapping[str, Any] = {
    "quiet": _quiet,
    "sizes": _null("windows of 30-1,000, baselines of 100-2,000", "baseline_samples", "window"),
    "simulation": _null("simulated wobble of 0-.2 sd, windows of 30-1,000", "wobble", "wobble_sd", "window"),
    "learnt": _null("every window wobbles by 0-.3 sd, the default baseline of a week", "wobble", "wobble_sd"),
    "wobble": _wobble,
    "delays": _delays,
    "localisation": _localisation,
    "causes": _causes,
    "cost": _cost,
}
