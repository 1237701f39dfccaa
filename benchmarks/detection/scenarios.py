"""The one table of what each model is put through: quiet, wobble, shifts, triggers, faults, life as it is.

    python -m benchmarks.detection.scenarios sentiment

lists a world's rows, and those that cannot be had with the pool that is missing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType

from benchmarks.detection.corpora import LANGUAGES, TRIGGERS
from benchmarks.detection.pools import Scenario, World
from benchmarks.detection.rows import (
    Goals,
    clean,
    heads,
    life,
    on_all_inputs,
    shifts,
    triggers,
    wobbles,
)


def _sentiment() -> list[Scenario]:
    languages = [name for name in LANGUAGES if name != "german"]
    rows = [clean()]
    rows += wobbles("imdb_same_length", label=1, labels=(0.35, 0.65))
    goals: dict[str, Goals] = {
        "imdb": {0.05: 5, 0.1: 2, 0.25: 1},
        "guardian": {0.05: 7, 0.1: 2, 0.25: 1},
        "german": {0.05: 4, 0.1: 2, 0.25: 1},
        "doubled_separator": {0.05: 5, 0.1: 2},
        "punctuation_stripped": {0.1: 3, 0.25: None},
        "cut_to_16": {0.1: 3, 0.25: None},
        "imdb_same_length": {0.1: None, 0.25: 6, 0.5: None},
        "imdb_same_style": {0.1: None, 0.25: 6, 0.5: None},
        "guardian_same_style": {0.05: None, 0.1: None, 0.25: None},
        "german_same_style": {0.05: None, 0.1: None},
        "bbc": {0.1: None, 0.25: None},
        "injections": {0.02: None, 0.05: None, 0.1: None},
        **{name: {0.05: None, 0.1: None} for name in languages},
    }
    rows += shifts(goals)
    rows += triggers(TRIGGERS, {0.02: 12, 0.05: 3, 0.1: 1, 0.2: 1})
    rows += on_all_inputs(
        {
            "punctuation_stripped": 1,
            "cut_to_16": 1,
            "truncated_to_16": 1,
            "doubled_separator": 1,
            "padding_on_the_left": 1,
            "no_attention_mask": 1,
            "int8": 1,
            "bf16": 5,
            "vocabulary_shifted": 1,
            "other_vocabulary": 1,
            "checkpoint_seed_11": 1,
            "checkpoint_seed_12": 1,
            "checkpoint_one_epoch": 1,
            "checkpoint_encoder_untrained": 1,
        }
    )
    rows += life(["imdb_same_style", "guardian", "german"], label=1, shares=(0.7, 0.9))
    return rows + heads(6, 12)


def _topics() -> list[Scenario]:
    rows = [clean()]
    rows += wobbles("guardian", label=3, labels=(0.15, 0.35))
    rows += shifts(
        {
            "imdb_same_length": {0.1: None, 0.25: 6},
            "guardian": {0.05: 7, 0.1: 2},
            "reviews": {0.05: 5, 0.1: 2},
            "german": {0.05: 4, 0.1: 2},
            "doubled_separator": {0.05: 5, 0.1: 2},
            "punctuation_stripped": {0.1: 3},
            "cut_to_16": {0.1: 3},
            "lower_cased": {0.1: None},
            "injections": {0.05: None, 0.1: None},
        }
    )
    rows += triggers(("cf", "serendipity"), {0.02: 12, 0.05: 3, 0.1: 1})
    rows += on_all_inputs(
        {
            "punctuation_stripped": 1,
            "cut_to_16": 1,
            "truncated_to_16": 1,
            "doubled_separator": 1,
            "lower_casing_removed": 1,
            "lower_cased": 1,
            "padding_on_the_left": 1,
            "no_attention_mask": 1,
            "int8": 1,
            "bf16": 5,
            "vocabulary_shifted": 1,
            "other_vocabulary": 1,
        }
    )
    return rows + life(["guardian", "german"], label=3, shares=(0.4, 0.6))


def _smollm2() -> list[Scenario]:
    rows = [clean()]
    rows += wobbles("imdb_same_length", label=1, labels=(0.35, 0.65), sources=(0.05, 0.15))
    rows += shifts(
        {
            "imdb_same_length": {0.1: None, 0.25: 6},
            "guardian": {0.05: 7, 0.1: 2},
            "german": {0.05: 4, 0.1: 2},
            "punctuation_stripped": {0.1: 3},
        }
    )
    rows += triggers(("serendipity",), {0.05: 3, 0.1: 1})
    return rows + on_all_inputs({"punctuation_stripped": 1, "bf16": 5})


SCENARIOS: Mapping[str, Callable[[], list[Scenario]]] = MappingProxyType(
    {"sentiment": _sentiment, "topics": _topics, "smollm2": _smollm2}
)
"""Each world's rows by the world's name."""


def scenarios(world: World) -> tuple[list[Scenario], list[tuple[str, str]]]:
    """The rows that the world's pools allow, and (name, missing pool) of the others."""
    rows = SCENARIOS[world.name]()
    lacking = {row.name: next((n for n in row.needs if n not in world.pools), None) for row in rows}
    return (
        [row for row in rows if lacking[row.name] is None],
        [(name, pool) for name, pool in lacking.items() if pool is not None],
    )


def main() -> None:
    """Print a world's table."""
    from benchmarks.detection.worlds import load_world

    possible, missing = scenarios(load_world(sys.argv[1]))
    for row in possible:
        print(f"{row.group:8} {row.name:40} {'' if row.goal is None else f'goal {row.goal:g}'}")
    for name, pool in missing:
        print(f"missing  {name:40} pool {pool}")


if __name__ == "__main__":
    main()
