"""The metrics reference, written from the one table: docs/metrics.md.

    python -m exporters.metrics_page docs/metrics.md

Where a metric is used is read from the committed dashboards and from the alert rules.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from exporters.alert_rules import alert_rules
from exporters.metric_table import AD_HOC, GROUPS, METRICS, Metric

DASHBOARDS = Path("configs/grafana/dashboards")
_NAME = re.compile(r"headwatch_[a-z0-9_]+")

_HEAD = """# Metrics

Every metric of `GET /metrics`, from the one list in `exporters/metric_table.py`; written by
`python -m exporters.metrics_page`. No label ever holds a token, a text or a sample's id: labels are layers,
heads, statistics, classes of the model, watch lists of the configuration, and words of headwatch itself.
Prometheus adds `job` and `instance`. What is unknown is left out and never served as 0.

Labels that may surprise: `when` is `baseline` or `window` (the last one judged); `job_name` is a scheduled
job of headwatch, as `job` belongs to Prometheus; `severity` is `critical`, `warning` or `info`.
"""


_BOARD = "dashboard "
_COLUMNS = "| metric | kind | labels | what it tells | used in |\n|---|---|---|---|---|"


def metrics_page(uses: Mapping[str, Sequence[str]]) -> str:
    """The page as Markdown; ``uses``: a metric's name -> where it is used."""
    parts = [_HEAD]
    for title, names in GROUPS.items():
        parts.append(f"## {title}\n\n{_COLUMNS}")
        parts.extend(_row(METRICS[name], uses.get(name, ())) for name in names)
        parts.append("")
    return "\n".join(parts).rstrip() + "\n"


def used_in(dashboards: Mapping[str, str], rules: Mapping[str, str]) -> dict[str, list[str]]:
    """For each metric the dashboards and alerts (name -> all that it asks and says) that name it."""
    found: dict[str, list[str]] = {}
    for place, text in (*dashboards.items(), *rules.items()):
        for name in sorted(set(_NAME.findall(text))):
            found.setdefault(name, []).append(place)
    return found


def committed_uses(folder: Path) -> dict[str, list[str]]:
    """``used_in`` for the dashboards in ``folder`` and the rules as they are made."""
    expressions = {}
    for path in sorted(folder.glob("*.json")):
        board = json.loads(path.read_text(encoding="utf-8"))
        asked = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
        expressions[f"{_BOARD}{path.stem}"] = " ".join(asked)
    rules: dict[str, str] = {}
    for group in alert_rules()["groups"]:
        for rule in group["rules"]:
            name = rule["alert"]
            rules[name] = f"{rules.get(name, '')} {rule['expr']} {rule['labels']} {rule['annotations']}"
    return used_in(expressions, rules)


def _row(metric: Metric, places: Sequence[str]) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels) or "-"
    boards = ", ".join(place.removeprefix(_BOARD) for place in places if place.startswith(_BOARD))
    alerts = ", ".join(place.removeprefix("Headwatch") for place in places if not place.startswith(_BOARD))
    used = "; ".join(
        f"{kind} {names}" for kind, names in (("dashboards", boards), ("alerts", alerts)) if names
    )
    used = used or f"ad hoc: {AD_HOC[metric.name]}"
    return f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help} | {used} |"


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/metrics.md")
    target.write_text(metrics_page(committed_uses(DASHBOARDS)), encoding="utf-8")
