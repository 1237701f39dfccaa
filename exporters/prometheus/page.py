"""The metrics reference, written from the one table: docs/metrics.md.

    python -m exporters.prometheus.page docs/metrics.md

Where a metric is used is read from the committed dashboards and from the alert rules.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from exporters.alerts.rules import CHANNEL_ALERTS, alert_rules
from exporters.prometheus.labels import LABELS, series, unit
from exporters.prometheus.table import AD_HOC, GROUPS, METRICS, Metric

DASHBOARDS = Path("configs/grafana/dashboards")
_NAME = re.compile(r"headwatch_[a-z0-9_]+")

_HEAD = """# Metrics

Every metric that a sidecar serves at `GET /metrics`: what it tells, its unit, its labels, how many series it
has, and which dashboards and alerts use it. Alerts stand here without the *Headwatch* of their names. What is
unknown is left out and never served as 0.

Three to begin with:

- `headwatch_severity == 1`: an alarm stands, and how bad it is. The [dashboards](dashboards.md) show more.
- `headwatch_evidence / headwatch_evidence_limit`: how near each channel is to its limit; 1 or more alarms.
- `time() - headwatch_window_end_timestamp_seconds`: how old the last verdict is. Old or missing means that
  nobody looks, never that all is well.

The process itself (memory, CPU, open files) is served under the names that all Prometheus clients use:
`process_resident_memory_bytes`, `process_cpu_seconds_total` and their like. This page is written from the one
list in `exporters/prometheus/table.py` by `python -m exporters.prometheus.page`.

## How many series

A metric has a series for each combination of its labels; the column *series* says how many that are for one
sidecar. *Top heads* are `exporters.prometheus.top_heads` (10 by default), whatever the model's size. With the
defaults a model in alarm has some hundreds of series; each layer more adds 12. Only
`exporters.prometheus.every_head` makes a scrape large: it adds layers x heads x statistics (10), for
12 x 12 heads 1,440.

No label ever holds a token, a text or a sample's id.

| label | values | how many |
|---|---|---|
"""


_BOARD = "dashboard "
_COLUMNS = (
    "| metric | what it tells | kind | unit | labels | series | used in |\n|---|---|---|---|---|---|---|"
)


def metrics_page(uses: Mapping[str, Sequence[str]]) -> str:
    """The page as Markdown; ``uses``: a metric's name -> where it is used."""
    labels = [f"| `{name}` | {label.values} | {label.count} |" for name, label in LABELS.items()]
    prometheus = "| `job`, `instance` | added by Prometheus: which scrape, which sidecar | 1 |"
    parts = [_HEAD + "\n".join([*labels, prometheus]) + "\n"]
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
    firing = [place for place in places if not place.startswith(_BOARD)]
    if set(CHANNEL_ALERTS.values()) <= set(firing):
        firing = ["all of drift", *(place for place in firing if place not in CHANNEL_ALERTS.values())]
    alerts = ", ".join(place.removeprefix("Headwatch") for place in firing)
    used = "; ".join(
        f"{kind} {names}" for kind, names in (("dashboards", boards), ("alerts", alerts)) if names
    )
    used = used or f"ad hoc: {AD_HOC[metric.name]}"
    told = f"{metric.help} | {metric.kind} | {unit(metric)} | {labels} | {series(metric)}"
    return f"| `{metric.name}` | {told} | {used} |"


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/metrics.md")
    target.write_text(metrics_page(committed_uses(DASHBOARDS)), encoding="utf-8")
