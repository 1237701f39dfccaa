"""A picture of each dashboard for reviews, on the dashboard's own grid, from a real scrape.

python -m tests.exporters.dashboard_pictures docs/dashboards
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from tests.exporters.panel_drawings import Asked, draw
from tests.exporters.promql_server import filled_in
from tests.exporters.watched_scene import Scene, drifting

DASHBOARDS = Path(__file__).parents[2] / "configs" / "grafana" / "dashboards"
COLUMNS, WIDTH, CELL = 24, 13.0, 0.27
HEAD = 2
"""Grid rows above the panels, for the dashboard's title."""
_LEFT = {"timeseries": 0.04, "heatmap": 0.03, "state-timeline": 0.085, "bargauge": 0.11}
"""Room for the names on the left axis, by type of panel."""


def draw_all(scene: Scene, folder: Path) -> dict[str, dict[str, int]]:
    """Write a PNG for each dashboard; per dashboard and panel how much was drawn."""
    folder.mkdir(parents=True, exist_ok=True)
    # Right now: what is asked over time must hold what is asked at once.
    end = time.time()
    drawn = {}
    for path in sorted(DASHBOARDS.glob("*.json")):
        figure, drawn[path.stem] = draw_dashboard(json.loads(path.read_text()), scene, end)
        # So that a test can tell a picture of former panels from one of today's.
        titles = {"Description": " | ".join(drawn[path.stem])}
        figure.savefig(folder / f"{path.stem}.png", dpi=110, facecolor="#f4f5f5", metadata=titles)
    return drawn


def draw_dashboard(dashboard: dict[str, Any], scene: Scene, end: float) -> tuple[Figure, dict[str, int]]:
    """The picture, and how many series, rows or values each panel has."""
    rows = HEAD + max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in dashboard["panels"])
    figure = Figure(figsize=(WIDTH, rows * CELL))
    links = ", ".join(link["title"] for link in dashboard["links"])
    chosen = ", ".join(variable["label"] for variable in dashboard["templating"]["list"])
    figure.text(0.01, 1 - 0.9 / rows, dashboard["title"], fontsize=12, fontweight="bold")
    dotted = ", ".join(f"{item['iconColor']} {item['name']}" for item in dashboard["annotations"]["list"])
    told = f"to choose: {chosen}      links: {links}      dotted lines: {dotted}"
    figure.text(0.01, 1 - 1.75 / rows, told, fontsize=7, color="#555555")
    marks = _marks(dashboard, scene, end)
    drawn = {}
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        left, width = place["x"] / COLUMNS, place["w"] / COLUMNS
        bottom = 1 - (HEAD + place["y"] + place["h"]) / rows
        height = place["h"] / rows
        title = filled_in(panel["title"])
        if panel["type"] == "row":
            figure.text(left + 0.01, bottom + 0.3 / rows, title, fontsize=9, fontweight="bold")
            continue
        box = Rectangle(
            (left + 0.002, bottom + 0.1 / rows),
            width - 0.004,
            height - 0.2 / rows,
            transform=figure.transFigure,
            facecolor="white",
            edgecolor="#d8d9da",
            linewidth=0.6,
            zorder=-1,
        )
        figure.add_artist(box)
        figure.text(left + 0.008, bottom + height - 0.75 / rows, title, fontsize=7.5, color="#333333")
        flat = panel["type"] in ("stat", "table")
        margin = _LEFT.get(panel["type"], 0.012)
        axes = figure.add_axes(
            (
                left + margin,
                bottom + (0.3 if flat else 1.3) / rows,
                width - margin - (0.03 if panel["type"] == "heatmap" else 0.012),
                height - (1.4 if flat else 2.4) / rows,
            )
        )
        drawn[title] = draw(axes, panel, Asked(scene.prometheus, panel, scene.began, end, marks))
    return figure, drawn


def _marks(dashboard: dict[str, Any], scene: Scene, end: float) -> list[tuple[float, str]]:
    """When each of the dashboard's annotations begins, in seconds of the scene, with its colour."""
    found = []
    for annotation in dashboard["annotations"]["list"]:
        for series in scene.prometheus.over(annotation["expr"], scene.began, end, 1.0):
            first, value = series["values"][0]
            moment = float(value) / 1000 if annotation.get("useValueForTime") else first
            found.append((moment - scene.began, annotation["iconColor"]))
    return found


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as held, drifting(Path(held)) as played:
        for name, panels in draw_all(played, Path(sys.argv[1])).items():
            print(name, panels)
