"""Expressions and selectors: every one filters by the job, instance and model that were chosen above."""

from __future__ import annotations

from exporters.grafana.sdk import SOURCE, PromQueryFormat, prometheus
from exporters.severity_words import ALERT_SEVERITIES

PROCESS = 'job=~"$job", instance=~"$instance"'
MODEL = f'{PROCESS}, model=~"$model"'
BY_PROCESS = "by (job, instance)"
BY_MODEL = "by (job, instance, model)"

# Number that the state query gives: its word and colour. Alarms are 5 and up, by severity.
STATES = {
    0: ("starting", "text"),
    1: ("learning", "blue"),
    2: ("quiet", "green"),
    3: ("too few samples", "purple"),
    4: ("stale", "orange"),
    5: ("info", "light-blue"),
    6: ("warning", "yellow"),
    7: ("critical", "red"),
}


def metric(name: str, *matchers: str) -> str:
    """A metric of headwatch that has the label ``model``."""
    return f"headwatch_{name}{{{', '.join((MODEL, *matchers))}}}"


def equal(label: str, value: str) -> str:
    """A matcher."""
    return f'{label}="{value}"'


def process(name: str) -> str:
    """A series of the whole process, which has no label ``model``; ``name`` in full."""
    return f"{name}{{{PROCESS}}}"


def per_second(name: str, by: str) -> str:
    """A counter's rate, added up by the labels ``by``."""
    return f"sum by ({by}) (rate({metric(name)}[$__rate_interval]))"


def last_hour(name: str, by: str) -> str:
    """A counter's growth in the last hour, added up by the labels ``by``.

    A window takes minutes: what happens once in a window is lost in a chart of rates.
    """
    return f"sum by ({by}) (increase({metric(name)}[1h]))"


def state() -> str:
    """One number for each model: the keys of ``STATES``."""
    by = "max by (model)"
    names = ("learning", "quiet", "too_few_samples", "stale", "alarm")
    states = {name: f"{by} ({metric('state', equal('state', name))})" for name in names}
    plain = " + ".join(f"{factor} * {states[name]}" for factor, name in enumerate(states, start=1))
    # Worst first there; the word "info" is the number that the state "alarm" itself adds.
    critical, warning, _ = ALERT_SEVERITIES.values()
    severe = " + ".join(
        f"{factor} * {by} ({metric('severity', equal('severity', word))})"
        for factor, word in ((1, warning), (2, critical))
    )
    # A sidecar without a verdict has no severity yet.
    return f"({plain} + {states['alarm']} * ({severe})) or ({plain})"


def query(expression: str, legend: str, letter: str) -> prometheus.Dataquery:
    """A query of the data source that was chosen above."""
    return prometheus.Dataquery().expr(expression).legend_format(legend).ref_id(letter).datasource(SOURCE)


def table_query(expression: str, letter: str) -> prometheus.Dataquery:
    """The newest values as rows, a column for each label."""
    return query(expression, "", letter).instant().format(PromQueryFormat.TABLE)
