"""The metrics reference: written from the one table, and right about units, labels and numbers of series."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from exporters.prometheus import snapshot_points
from exporters.prometheus.labels import LABELS, series, unit
from exporters.prometheus.page import committed_uses, metrics_page
from exporters.prometheus.table import METRICS
from exporters.severity_words import ALERT_SEVERITIES
from monitor.records import CHANNELS, State
from monitor.records.outgoing import OutboxKind

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "configs" / "grafana" / "dashboards"
# The reference's column of series, for one of each form.
COUNTED = {
    "state": "6",
    "pooled_evidence": "1",
    "head_effect": "top heads",
    "head_statistic": "layers x heads x statistics",
    "layer_statistic": "layers x statistics",
    "prediction_mix_ratio": "2 x classes",
    "measure_effect": "20 a channel at most",
    "job_runs_total": "jobs",
}
GIVEN = {
    "state": snapshot_points.STATES,
    "channel": CHANNELS,
    "cause": snapshot_points.CAUSES,
    "severity": tuple(ALERT_SEVERITIES.values()),
    "suspicion": snapshot_points.SUSPICIONS,
    "outcome": get_args(State),
    "kind": get_args(OutboxKind),
}


def test_the_metrics_reference_is_written_from_the_table():
    assert (ROOT / "docs" / "metrics.md").read_text() == metrics_page(committed_uses(FOLDER))


def test_every_metric_has_a_unit_and_a_number_of_series():
    for metric in METRICS.values():
        assert unit(metric)
        assert series(metric)
    counted = {name: series(METRICS[f"headwatch_{name}"]) for name in COUNTED}
    assert counted == COUNTED


def test_the_labels_that_are_explained_are_those_that_metrics_have():
    assert set(LABELS) == {label for metric in METRICS.values() for label in metric.labels}


@pytest.mark.parametrize("label", GIVEN)
def test_the_values_of_a_label_are_those_that_headwatch_gives(label):
    assert set(re.findall("`(.+?)`", LABELS[label].values)) == set(GIVEN[label])
    assert LABELS[label].count == len(GIVEN[label])
