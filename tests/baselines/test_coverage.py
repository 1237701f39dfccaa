"""What a baseline has not seen of life is said when it is built, shown and promoted."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from monitor.baselines.coverage import coverage_warnings
from monitor.baselines.file_format import save_baseline
from monitor.commands import baseline as commands
from tests.drift.synthetic import draw_baseline

DAY = 86400.0
MIDNIGHT = 1_769_904_000.0  # 2026-02-01 00:00 UTC, a Sunday


def baseline(count, times):
    made = draw_baseline(np.random.default_rng(0), count)
    return replace(made, features=replace(made.features, times=np.asarray(times, dtype=np.float64)))


def over(days, count=2000):
    return MIDNIGHT + np.arange(count) * days * DAY / count


LESS_THAN_A_WEEK = (
    "spans 6.0 days, less than a week: what changes with the day, as at weekends, was never seen and will "
    "alarm; give a week"
)
LESS_THAN_A_DAY = (
    "spans 5.0 hours, less than a day: what changes with the hour was never seen and will alarm; give a day "
    "at least, better a week"
)
FEW_BLOCKS = (
    "3 time blocks of 30 samples, fewer than 20: how much clean windows differ is known poorly; give more "
    "samples, over more time"
)
STORIES = {
    "a week": (over(7), ()),
    "a month": (over(30), ()),
    "six days": (over(6), (LESS_THAN_A_WEEK,)),
    "five hours": (over(5 / 24), (LESS_THAN_A_DAY,)),
    "half an hour": (over(0.5 / 24), (LESS_THAN_A_DAY.replace("5.0 hours", "30 minutes"),)),
    "few samples": (
        over(7, 120),
        ("120 samples: below 2000 only larger shifts are found", FEW_BLOCKS.replace("3 time", "4 time")),
    ),
    "no times": (
        np.zeros(2000),
        ("times unknown: whether it holds days, nights and weekends cannot be told; give lines with a time",),
    ),
    "three moments": (np.repeat(MIDNIGHT + np.array([0, 4, 8]) * DAY, [700, 700, 600]), None),
}


@pytest.mark.parametrize("times, said", [s for s in STORIES.values() if s[1] is not None])
def test_each_gap_is_told_once_with_its_remedy(times, said):
    assert coverage_warnings(baseline(len(times), times)) == said


def test_hours_that_were_never_seen_are_named():
    times = over(8, 4000)
    hours = times // 3600 % 24
    awake = times[(hours >= 5) & (hours != 13)]
    hours = "00:00-05:00 and 13:00-14:00 UTC"
    assert coverage_warnings(baseline(len(awake), awake)) == (
        f"no sample at {hours}: these hours will be judged by the others; give samples of every hour",
    )


def test_samples_of_few_moments_are_few_blocks_however_many_they_are():
    times, _ = STORIES["three moments"]
    assert coverage_warnings(baseline(2000, times)) == (
        FEW_BLOCKS,
        "no sample at 01:00-24:00 UTC: these hours will be judged by the others; give samples of every hour",
    )


def test_show_warns_and_its_json_has_the_warnings(tmp_path):
    app = typer.Typer(pretty_exceptions_enable=False)
    app.add_typer(commands.app, name="baseline")
    save_baseline(baseline(2000, over(6)), tmp_path / "b.headwatch")
    shown = CliRunner().invoke(app, ["baseline", "show", str(tmp_path / "b.headwatch")])
    assert shown.stderr == f"warning: {LESS_THAN_A_WEEK}\n"
    assert "warnings" not in shown.stdout
    as_json = CliRunner().invoke(app, ["baseline", "show", str(tmp_path / "b.headwatch"), "--json"])
    assert f'"{LESS_THAN_A_WEEK}"' in as_json.stdout
    assert as_json.stderr == ""


def test_show_says_what_would_be_found_and_how_soon_in_eighty_columns(tmp_path):
    app = typer.Typer(pretty_exceptions_enable=False)
    app.add_typer(commands.app, name="baseline")
    file = tmp_path / "b.headwatch"
    save_baseline(baseline(2000, over(7)), file)

    def show(*options):
        return CliRunner().invoke(app, ["baseline", "show", str(file), *options])

    lines = show().stdout.splitlines()
    begin = lines.index("Smallest change that is found half of the time, at one false alarm in")
    assert lines[begin + 1] == "8640 windows, within so many windows of 200 samples"
    assert lines[begin + 2].split() == "change 1 window 10 windows 100 windows".split()
    assert [line.split(":")[0] for line in lines[begin + 3 :]] == ["heads", "heads", "tokens", "prediction"]
    assert max(map(len, lines[begin:])) <= 80
    sizes = {
        item["change"]: item["within_windows"]
        for item in json.loads(show("--json").stdout)["smallest_effects"]
    }
    for within in sizes.values():
        assert within["1"] > within["10"] > within["100"] > 0
    smaller = json.loads(show("--json", "--window", "50").stdout)["smallest_effects"]
    lax = json.loads(show("--json", "--false-alarms", "1 per 1d").stdout)["smallest_effects"]
    for item in smaller:
        assert item["within_windows"]["10"] > sizes[item["change"]]["10"], "less is found in less"
    for item in lax:
        assert item["within_windows"]["10"] < sizes[item["change"]]["10"], "more is found at a laxer rate"
    assert str(show("--window", "29").exception) == (
        "--window = 29: must be at least 30; fewer samples cannot be told from noise"
    )
