from __future__ import annotations

import io
from dataclasses import replace

import pytest
from matplotlib.image import imread

from monitor.report.tradeoff import Point, _unit, tradeoff_png

POINT = Point(window=100, mean_windows=100, delay=300.0, found=2, incidents=3, false_alarms=1, bound=2)
GRID = [
    replace(POINT, window=window, mean_windows=rate, delay=rate * window / 100)
    for window in (50, 100, 200)
    for rate in (100.0, 8640.0)
]


@pytest.mark.parametrize(
    "change", [{"delay": 9000.0}, {"found": 0}, {"false_alarms": 3}, {"bound": 9}, {"window": 70}]
)
def test_every_figure_of_a_setting_is_seen_in_the_picture(change):
    assert tradeoff_png(GRID) != tradeoff_png([replace(GRID[0], **change), *GRID[1:]])


@pytest.mark.parametrize("points", [[POINT], [replace(POINT, delay=None, found=0)], GRID])
def test_any_number_of_settings_is_a_picture(points):
    height, width, _ = imread(io.BytesIO(tradeoff_png(points)), format="png").shape
    assert (height, width) == (800, 750)


@pytest.mark.parametrize(
    "seconds, unit",
    [([], "seconds"), ([90], "seconds"), ([5, 600], "minutes"), ([9000], "hours"), ([1e6], "days")],
)
def test_delays_are_told_in_a_unit_that_fits(seconds, unit):
    assert _unit(seconds)[1] == unit
