"""What the benchmark makes of its runs: figures, goals, tables, plots and the stored file."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import repeat

import numpy as np
import pytest

from benchmarks.detection import delays, localisation, null, plots, simulation, trace
from benchmarks.detection.bench import merged, written
from benchmarks.detection.comparison import compared
from benchmarks.detection.comparison import figures as compared_figures
from benchmarks.detection.competitors.method import Method, without_memory
from benchmarks.detection.goals import goals
from benchmarks.detection.parts import PARTS
from benchmarks.detection.plan import PIECES, SMOKE
from benchmarks.detection.pools import Pool, Scenario, Stream, World
from benchmarks.detection.table import tables
from monitor.records import HeadId
from tests.drift.synthetic import STATISTICS, draw_features, identity, reading

SIZE = 60


def pool(rng: np.random.Generator, count: int, **changes: float) -> Pool:
    return Pool(
        features=draw_features(rng, count, **changes),
        pooled=rng.normal(size=(count, 4)).astype(np.float32),
        labels=np.full(count, -1),
    )


def world(pools: dict[str, Pool] | None = None, readings=None) -> World:
    return World(
        name="small",
        identity=identity(),
        statistics=STATISTICS,
        pools=pools or {},
        readings=readings or {},
    )


def shifting(onset: int = 3, end: int = 8, *, changed: bool = True) -> Scenario:
    """Every head's first statistic is elsewhere from ``onset`` on, if ``changed``; then quiet again."""

    def build(_: World, seed: int, size: int) -> Stream:
        rng = np.random.default_rng(seed)

        def windows():
            number = 0
            while True:
                moved = changed and onset <= number < end
                yield pool(rng, size, head_shift=3.0 if moved else 0.0)
                number += 1

        return Stream(baseline=pool(rng, 600), windows=windows(), onset=onset, end=end)

    return Scenario(name="moved 10 %", group="shift", build=build, goal=2)


def quiet_scenario() -> Scenario:
    def build(_: World, seed: int, size: int) -> Stream:
        rng = np.random.default_rng(seed)
        return Stream(baseline=pool(rng, 600), windows=(pool(rng, size) for _ in repeat(None)))

    return Scenario(name="as ever", group="wobble", build=build)


@pytest.mark.parametrize(("alarms", "kept"), [(0, True), (4, True), (5, False)])
def test_a_rate_is_kept_up_to_the_99_percent_binomial_bound(alarms: int, kept: bool):
    part = {
        "mean_windows": 100.0,
        "windows": 60,
        "windows_in_alarm": 0,
        "largest_log_evidence": 1.0,
        "channels": {},
        "cpu_seconds": 0.1,
    }
    row = null.against_the_bound([{**part, "alarms": alarms}, {**part, "alarms": 0}])
    assert (row["windows"], row["baselines"], row["bound_99"]) == (120, 2, 4)
    assert row["kept"] is kept
    assert row["ratio"] == pytest.approx(alarms / 1.2, abs=1e-3)


def test_a_shift_is_dated_from_its_onset_and_its_recovery_from_its_end():
    told = delays.told(world(), shifting(), seed=1, size=SIZE)
    assert (told["delay"], told["early_alarms"], told["cleared_while_it_lasts"]) == (1, 0, 0)
    assert "heads" in told["channels"]
    assert told["head"] == "L1H2"
    assert told["recovery"] is not None


def test_a_shift_that_never_comes_is_never_found_and_has_no_recovery():
    told = delays.told(world(), shifting(changed=False), seed=1, size=SIZE)
    assert (told["delay"], told["recovery"], told["channels"]) == (None, None, [])


def test_a_scenario_without_a_shift_is_refused_with_where_it_belongs():
    with pytest.raises(AssertionError, match=r"^as ever: has no shift; it belongs to the null figures"):
        delays.told(world(), quiet_scenario(), seed=1, size=SIZE)


def test_what_passes_over_a_long_shift_judges_its_start_its_alarm_and_its_end():
    story = delays.Story(5, 100)
    assert not any(story.passes_over(index) for index in range(5 + delays.LONGEST))
    assert all(story.passes_over(index) for index in range(5 + delays.LONGEST, 100))
    story.delay = 4
    first = 5 + 4 + delays.AFTER_ALARM
    assert [story.passes_over(index) for index in (first - 1, first, 99, 100)] == [False, True, True, False]


def test_a_wobble_is_counted_over_its_windows():
    row = null.wobbling(
        world(), quiet_scenario(), seed=2, false_alarms="1 per 100 windows", windows=5, size=SIZE
    )
    assert (row["windows"], row["alarms"], row["mean_windows"]) == (5, 0, 100.0)


def test_a_damaged_head_is_looked_for_in_the_stream_and_by_the_probe():
    rng = np.random.default_rng(3)
    pools = {
        "held_out": pool(rng, 3000),
        "broken_L1H2": pool(rng, 300, head_shift=3.0),
        "broken_L0H1": pool(rng, 300, head_shift=3.0, head=(0, 1)),
    }
    readings = {
        "baseline": reading(),
        "broken_L1H2": reading(moved=(1, 2)),
        "broken_L0H1": reading(moved=(0, 1)),
    }
    faults = [
        replace(shifting(), name=name, head=head, needs=("held_out", name))
        for name, head in (("broken_L1H2", (1, 2)), ("broken_L0H1", (0, 1)))
    ]
    rows = localisation.localised(world(pools, readings), faults, seed=4)
    assert [row["from_stream"] for row in rows] == ["L1H2", "L0H1"]
    assert [row["by_probe"] for row in rows] == ["L1H2", "L0H1"]
    row = localisation.figures(rows)[-1]
    assert (row["damage"], row["trials"], row["right_from_stream"], row["right_by_probe"]) == ("all", 2, 2, 2)
    assert str(HeadId(layer=1, head=2)) == "L1H2"


@pytest.mark.parametrize("kind", simulation.KINDS)
def test_simulated_windows_wobble_as_told(kind: simulation.Kind):
    rng = np.random.default_rng(5)
    drawn = [simulation._samples(rng, 100, kind, 0.2).features.profile.mean(axis=0) for _ in range(150)]
    means = np.array(drawn).reshape(150, -1)
    assert means.std(axis=0).mean() == pytest.approx(np.hypot(0.2, 0.1), rel=0.1)
    between = means.mean(axis=1).std()
    # the mean over all features: wobble and factor are common to all of them, or the factor alone
    assert between == pytest.approx(np.hypot(0.2, 0.06) if kind == "common" else 0.061, rel=0.25)


def test_a_simulation_is_counted_over_its_windows():
    few = {"seed": 0, "size": 50, "windows": 2, "false_alarms": "1 per 100 windows"}
    row = simulation.simulated(kind="own", wobble=0.1, **few)
    assert (row["wobble_sd"], row["window"], row["windows"], row["baseline_samples"]) == (0.1, 50, 2, 2000)


def every(names: tuple[str, ...], answers: tuple[bool, ...], **changes: object) -> Method:
    return Method(names=names, fit=lambda _: without_memory(lambda _: answers), **changes)


def test_methods_are_compared_on_the_same_windows_and_missing_ones_left_out():
    methods = [
        every(("always", "never"), (True, False)),
        every(("absent",), (True,), installed=lambda: False),
        every(("slow",), (False,), slow=True),
    ]
    rows = compared(world(), [quiet_scenario(), shifting()], methods, seed=0, size=SIZE, quiet_windows=10)
    found = {(row["scenario"], row["method"]): row for row in compared_figures(rows)}
    assert {method for _, method in found} == {"always", "never", "slow"}
    assert found["as ever", "always"]["share"] == 1.0
    assert found["as ever", "never"]["share"] == 0.0
    assert found["as ever", "slow"]["windows"] == 4
    assert found["moved 10 %", "always"]["median_delay"] == 1.0
    assert found["moved 10 %", "never"]["median_delay"] is None
    assert (found["moved 10 %", "never"]["windows"], found["moved 10 %", "slow"]["windows"]) == (5, 2)


def test_every_part_of_the_plan_can_be_measured_and_smoke_is_a_part_of_it():
    assert set(PIECES) == set(PARTS)
    assert {piece.part for piece in SMOKE} <= set(PARTS)
    assert all(piece.smoke for piece in SMOKE)


@pytest.fixture(scope="module")
def results() -> dict[str, list[dict[str, object]]]:
    """A few windows of a small imaginary model through every part that it has."""
    quiet = null.figures(
        [
            null.wobbling(world(), quiet_scenario(), seed=s, false_alarms=r, windows=3, size=SIZE)
            for s in range(2)
            for r in ("1 per 100 windows", "1 per 8640 windows")
        ],
        ("world", "scenario", "false_alarms"),
    )
    methods = [every(("headwatch", "KS heads, matched rate"), (True, False))]
    scenarios = [shifting(), replace(shifting(), name="moved 20 %"), quiet_scenario()]
    rows = compared(world(), scenarios, methods, seed=0, size=SIZE, quiet_windows=3)
    return {
        "quiet": quiet,
        "wobble": quiet,
        "delays": delays.figures([delays.told(world(), shifting(), seed=s, size=SIZE) for s in range(2)]),
        "comparison": compared_figures(rows),
        "trace": [trace.traced(world(), shifting(), seed=0, size=SIZE, shifted=5, after=3)],
    }


def test_the_table_says_of_every_goal_whether_it_was_reached(results):
    text = tables(results, ["Evidently (not installed)"])
    for goal in goals(results):
        assert f"| {goal.name} | {goal.wanted} | {goal.figure} |" in text
    line = next(line for line in text.splitlines() if line.startswith("| delay, shifts, small"))
    assert line == "| delay, shifts, small | at most 2 | moved 10 %: 1 | reached |"
    assert text.rstrip().endswith("Left out: Evidently (not installed).")


def test_a_null_figure_of_fewer_than_eight_baselines_reaches_no_goal(results):
    clean = [goal for goal in goals({"quiet": results["quiet"]}) if goal.name.startswith("clean windows")]
    assert [goal.reached for goal in clean] == [False, False]
    enough = [{**row, "baselines": 8} for row in results["quiet"]]
    assert all(goal.reached for goal in goals({"quiet": enough}) if goal.name.startswith("clean windows"))


def test_a_goal_missed_is_said_so(results):
    late = [{**row, "median_delay": None, "reached": False} for row in results["delays"]]
    goal = next(goal for goal in goals({"delays": late}) if goal.name.startswith("delay"))
    assert (goal.figure, goal.reached) == ("moved 10 %: never", False)


def test_a_part_measured_again_takes_the_place_of_the_old_one_and_the_others_stay(results):
    first = merged({}, results, dict.fromkeys(results, 1.0), left_out=[])
    again = merged(first, {"delays": results["delays"][:0]}, {"delays": 2.0}, left_out=["x"])
    assert again["parts"]["quiet"] == results["quiet"]
    assert again["parts"]["delays"] == []
    assert again["cpu_seconds"] == {**first["cpu_seconds"], "delays": 2.0}
    assert list(first["parts"]) == [name for name in PIECES if name in results]


def test_what_is_written_is_read_again_as_it_was(results):
    content = merged({}, results, {}, left_out=["something"])
    assert json.loads(written(content)) == json.loads(json.dumps(content))
    assert not any(math.isinf(row["largest_log_evidence"]) for row in content["parts"]["quiet"])


def test_every_plot_is_drawn_from_results_and_none_without(results, tmp_path):
    assert [path.name for path in plots.draw(results, tmp_path)] == [
        "detection-delays.png",
        "detection-false-alarms.png",
        "detection-evidence.png",
    ]
    assert plots.draw({}, tmp_path) == []
