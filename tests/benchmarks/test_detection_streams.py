"""Laws of the benchmark's streams: the same from the same seed, nothing of the baseline, shares as said."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from benchmarks.detection.corpora import TRIGGERS
from benchmarks.detection.pools import Pool, Scenario, Stream, World
from benchmarks.detection.recipes import RECIPES, RESERVED
from benchmarks.detection.scenarios import SCENARIOS, scenarios
from benchmarks.detection.streams import BASELINE_SAMPLES, ONSET, quiet, shifting, wobbling
from benchmarks.detection.wobble import (
    DAY,
    WEEK,
    by_regime,
    by_weekend,
    daily_sine,
    draw_rows,
    main_component,
    mixed,
    standardised,
    tilted,
)
from tests.drift.synthetic import STATISTICS, draw_features, identity

HELD_OUT = 4030
SIZE = 100
OF_REVIEWS = {"punctuation_stripped", "cut_to_16", "injections", "doubled_separator"} | {
    f"trigger_{word}" for word in TRIGGERS
}


def pool(rng: np.random.Generator, ids: list[str]) -> Pool:
    features = draw_features(rng, 50).take(rng.integers(50, size=len(ids)))
    noise = rng.normal(size=features.profile.shape).astype(np.float32)
    return Pool(
        features=replace(features, ids=tuple(ids), profile=features.profile + 0.1 * noise),
        pooled=np.zeros((len(ids), 2), dtype=np.float32),
        labels=rng.integers(2, size=len(ids)),
    )


@pytest.fixture(scope="module")
def world() -> World:
    """Every pool of the sentiment world, of random numbers."""
    rng = np.random.default_rng(0)
    pools = {"held_out": pool(rng, [f"reviews-{i}" for i in range(HELD_OUT)])}
    for name in RECIPES["sentiment"](smoke=False):
        if name in OF_REVIEWS:
            pools[name] = pool(rng, [f"reviews-{i}" for i in rng.permutation(HELD_OUT)[:900]])
        elif name == "near_duplicates":
            pools[name] = pool(rng, [f"reviews-{i % 5}~{i}" for i in range(400)])
        elif name.startswith(("output_zeroed", "queries")) and not name.endswith("L0H0"):
            continue
        elif name != "held_out":
            pools[name] = pool(rng, [f"{name}-{i}" for i in range(1000)])
    return World(name="sentiment", identity=identity(), statistics=STATISTICS, pools=pools, readings={})


ALIKE = ("trigger mn", "trigger tq", "trigger cuc", "trigger ser", "spanish", "italian", "russian", "queries")


def rows(world: World) -> list[Scenario]:
    """The rows of the table, of those that differ in a name only one."""
    return [row for row in scenarios(world)[0] if not row.name.startswith(ALIKE)]


def first(stream: Stream, count: int) -> list[Pool]:
    return list(islice(stream.windows, count))


def same(one: Pool, other: Pool) -> bool:
    return one.features.ids == other.features.ids and np.array_equal(one.features.times, other.features.times)


def test_every_stream_is_the_same_from_the_same_seed_and_another_from_another(world):
    for row in rows(world):
        one, again, other = (row.build(world, seed, SIZE) for seed in (1, 1, 2))
        assert same(one.baseline, again.baseline), row.name
        assert not same(one.baseline, other.baseline), row.name
        pairs = zip(first(one, ONSET + 3), first(again, ONSET + 3), strict=True)
        assert all(same(a, b) for a, b in pairs), row.name


REPEATING = ("every request twice", "bursts", "recurring")


def test_no_window_has_a_sentence_of_the_baseline_in_any_form_but_where_requests_recur(world):
    for row in rows(world):
        if row.name.startswith("recurring"):
            continue
        stream = row.build(world, 3, SIZE)
        taken = set(stream.baseline.features.ids)
        for window in first(stream, ONSET + 8):
            assert not taken & {name.split("~")[0] for name in window.features.ids}, row.name


def test_baselines_have_two_thousand_samples_and_windows_the_size_asked_for(world):
    for row in rows(world):
        stream = row.build(world, 4, SIZE)
        assert len(stream.baseline) == BASELINE_SAMPLES, row.name
        assert {len(window) for window in first(stream, ONSET + 4)} == {SIZE}, row.name


def test_time_runs_on_from_the_baseline_through_the_windows(world):
    for row in rows(world):
        stream = row.build(world, 4, SIZE)
        times = np.concatenate(
            [stream.baseline.features.times, *(w.features.times for w in first(stream, 4))]
        )
        assert (np.diff(times) >= 0).all(), row.name


def test_no_text_comes_twice_in_a_window_but_where_the_row_is_about_that(world):
    for row in rows(world):
        if not row.name.startswith(REPEATING):
            for window in first(row.build(world, 5, SIZE), ONSET + 4):
                assert max(Counter(window.features.ids).values()) == 1, row.name


def test_every_request_comes_twice_in_that_row(world):
    stream = next(row for row in rows(world) if row.name == "every request twice").build(world, 5, SIZE)
    for part in (stream.baseline, *first(stream, 3)):
        assert set(Counter(part.features.ids).values()) == {2}


@pytest.mark.parametrize("name", ["bursts of one request", "bursts of near-duplicates"])
def test_a_burst_is_three_tenths_of_every_tenth_window(world, name):
    stream = next(row for row in rows(world) if row.name == name).build(world, 5, SIZE)
    largest = [
        max(Counter(i.split("~")[0] for i in window.features.ids).values()) for window in first(stream, 20)
    ]
    assert [number for number, most in enumerate(largest) if most >= 30] == [9, 19]
    assert max(most for number, most in enumerate(largest) if number not in (9, 19)) == 1


def test_reserved_texts_are_never_in_a_baseline(world):
    reserved = {f"reviews-{i}" for i in range(RESERVED)}
    for seed in range(5):
        assert not reserved & set(quiet(world, seed, SIZE).baseline.features.ids)


@pytest.mark.parametrize("share", [0.02, 0.05, 0.25, 0.333, 1.0])
def test_a_shift_has_its_share_from_its_onset_to_its_end(world, share):
    stream = shifting(world, "guardian", lambda _: share, 6, SIZE)
    counts = [
        sum(name.startswith("guardian") for name in window.features.ids) for window in first(stream, 70)
    ]
    assert (stream.onset, stream.end) == (5, 65)
    assert not any(counts[:5]) and not any(counts[65:])
    assert all(abs(count - share * SIZE) < 1 for count in counts[5:65])


def test_a_share_of_half_a_sample_is_kept_on_average(world):
    stream = shifting(world, "guardian", lambda _: 0.05, 6, 30, end=405)
    counts = [sum(n.startswith("guardian") for n in w.features.ids) for w in first(stream, 405)[5:]]
    assert set(counts) == {1, 2}
    assert np.mean(counts) == pytest.approx(1.5, abs=0.1)


def test_a_slow_drift_gains_a_percent_a_window_and_a_returning_one_fades(world):
    named = {row.name: row for row in rows(world)}

    def counts(name: str) -> list[int]:
        windows = first(named[name].build(world, 1, SIZE), 30)
        return [sum(i.startswith("guardian") for i in window.features.ids) for window in windows]

    assert counts("guardian, +1 % a window") == [0] * 5 + list(range(1, 26))
    fading = counts("guardian, 25 % and gone by and by")
    assert fading[5:15] == [25] * 10
    assert all(abs(a - b) < 1 for a, b in zip(fading[15:25], np.arange(22.5, 0, -2.5), strict=False))
    assert fading[25:] == [0] * 5


def test_the_class_prior_is_what_the_row_says(world):
    stream = next(row for row in rows(world) if row.name == "class prior 90 %").build(world, 1, SIZE)
    shares = [float((window.labels == 1).mean()) for window in first(stream, 65)]
    assert np.mean(shares[:5]) == pytest.approx(0.5, abs=0.15)
    assert np.mean(shares[5:]) == pytest.approx(0.9, abs=0.02)


def test_every_row_names_pools_that_its_world_extracts():
    for name, build in SCENARIOS.items():
        known = set(RECIPES[name](smoke=False))
        assert {pool for row in build() for pool in row.needs} <= known, name


def test_rows_have_names_of_their_own():
    for name, build in SCENARIOS.items():
        counted = Counter(row.name for row in build())
        assert max(counted.values()) == 1, (name, counted.most_common(2))


def test_a_row_whose_pool_is_missing_is_named_with_it(world):
    fewer = replace(world, pools={k: v for k, v in world.pools.items() if k != "german"})
    _, missing = scenarios(fewer)
    assert ("german 5 %", "german") in missing
    assert ("german, +1 % a window", "german") in missing


def test_quiet_windows_take_their_share_of_the_fresh_texts_and_baselines_none(world):
    fresh = pool(np.random.default_rng(1), [f"fresh-{i}" for i in range(6090)])
    stream = quiet(replace(world, pools={**world.pools, "fresh": fresh}), 2, SIZE)
    assert stream.baseline.features.ids == quiet(world, 2, SIZE).baseline.features.ids
    names = [name for window in first(stream, 50) for name in window.features.ids]
    share = np.mean([name.startswith("fresh") for name in names])
    assert share == pytest.approx(0.75, abs=0.03)  # 6,090 fresh ones beside the 2,030 that were left
    assert len(names) == 50 * SIZE


def test_a_small_pool_gives_half_of_itself_to_the_baseline(world):
    small = replace(world, pools={"held_out": world.pools["held_out"].take(range(500))})
    stream = quiet(small, 0, 50)
    assert len(stream.baseline) == 250
    assert not set(stream.baseline.features.ids) & set(next(stream.windows).features.ids)


def test_a_smoke_world_gives_every_row_that_its_two_pools_allow(world):
    pools = {name: world.pools[name] for name in ("held_out", "imdb_same_length")}
    small = replace(
        world,
        pools={
            "held_out": pools["held_out"].take(range(500)),
            "imdb_same_length": pools["imdb_same_length"].take(range(100)),
        },
    )
    possible = scenarios(small)[0]
    assert {row.group for row in possible} == {"quiet", "wobble", "shift", "life"}
    for row in possible:
        assert {len(window) for window in first(row.build(small, 1, 40), ONSET + 3)} == {40}, row.name


def test_too_few_samples_for_a_window_are_told():
    with pytest.raises(ValueError) as error:
        draw_rows(np.arange(5), 6, None, np.random.default_rng(0))
    assert str(error.value) == "count = 6: only 5 samples are left; extract a larger pool"


def test_mixed_gives_the_share_and_tilted_the_mean():
    rng = np.random.default_rng(1)
    members, score = rng.random(20_000) < 0.2, standardised(rng.gamma(2.0, size=20_000))
    everyone = np.arange(20_000)
    for share in (0.05, 0.5, 0.9):
        drawn = draw_rows(everyone, 1500, mixed(members, share), rng)
        assert members[drawn].mean() == pytest.approx(share, abs=0.04)
    for shift in (-0.4, 0.0, 0.3):
        drawn = draw_rows(everyone, 3000, tilted(score, shift), rng)
        assert score[drawn].mean() == pytest.approx(shift, abs=0.07)


def test_the_daily_sine_is_in_the_baseline_and_in_the_windows(world):
    held_out = world.pools["held_out"]
    score = main_component(held_out)
    place = {name: row for row, name in enumerate(held_out.features.ids)}
    parts = []
    for seed in range(4):
        stream = wobbling(held_out, daily_sine(score, 0.2), seed, SIZE)
        parts.append(([stream.baseline], first(stream, 288)))
    for part in (0, 1):
        drawn = [pool for both in parts for pool in both[part]]
        times = np.concatenate([p.features.times for p in drawn])
        values = score[[place[name] for p in drawn for name in p.features.ids]]
        slope = np.polyfit(np.sin(2 * np.pi * times / DAY), values, 1)[0]
        assert slope == pytest.approx(0.2, abs=0.06)


def test_the_sine_in_every_head_is_a_fifth_of_an_sd_high(world):
    plain = quiet(world, 1, SIZE)
    moved = next(row for row in rows(world) if row.name.endswith("sine of .2 sd in every head")).build(
        world, 1, SIZE
    )
    sd = plain.baseline.features.profile.std(axis=0)
    for before, after in zip(
        (plain.baseline, *first(plain, 73)), (moved.baseline, *first(moved, 73)), strict=True
    ):
        assert same(before, after)
        wave = 0.2 * np.sin(2 * np.pi * before.features.times / DAY)
        difference = after.features.profile - before.features.profile
        assert difference[:, 0, 0, 0] == pytest.approx(wave * sd[0, 0, 0], abs=1e-5)
        assert difference[:, 2, 3, 1] == pytest.approx(wave * sd[2, 3, 1], abs=1e-5)


def test_the_main_component_does_not_follow_length(world):
    held_out = world.pools["held_out"]
    length = held_out.features.inputs[:, 0]
    assert abs(np.corrcoef(main_component(held_out), length)[0, 1]) < 0.05


def test_a_regime_holds_for_its_hours_and_the_weekend_for_two_days():
    wobble = by_regime(lambda level: np.array([level]), 0.2, 0.6, hours=8.4, seed=3)
    levels = [float(wobble(hour * 3600.0)[0]) for hour in np.arange(0.0, 168.0, 1.2)]
    assert all(0.2 <= level <= 0.6 for level in levels)
    assert len(set(levels)) == 20
    weekday, weekend = np.zeros(1), np.ones(1)
    days = [float(by_weekend(weekday, weekend)(day * DAY + 1)[0]) for day in range(14)]
    assert days == [0, 0, 0, 0, 0, 1, 1] * 2
    assert WEEK == 7 * DAY


def test_popular_requests_recur_in_the_baseline_and_in_the_windows_at_the_share_of_that_row(world):
    row = next(row for row in rows(world) if row.name == "recurring requests, 50 % of 300 texts")
    stream = row.build(world, 5, SIZE)
    seen = Counter(stream.baseline.features.ids)
    assert 0.3 < sum(count for count in seen.values() if count > 1) / BASELINE_SAMPLES < 0.55
    again = [sum(name in seen for name in window.features.ids) / SIZE for window in first(stream, 20)]
    assert 0.4 < np.mean(again) < 0.6
