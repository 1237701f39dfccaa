"""Expressions and selectors: every one filters by the job, instance and model that were chosen above."""

from __future__ import annotations

from exporters.grafana.sdk import SOURCE, PromQueryFormat, prometheus
from exporters.severity_words import ALERT_SEVERITIES

PROCESS = 'job=~"$job", instance=~"$instance"'
MODEL = f'{PROCESS}, model=~"$model"'
BY_PROCESS = "by (job, instance)"
BY_MODEL = "by (job, instance, model)"

MOST_LIMITS = 100
"""Evidence is drawn up to so many times its limit: a damaged model's would flatten all the rest."""

GONE = "1d"
"""How long a sidecar that is gone is remembered: as long as HeadwatchStale does."""

# Number that the state query gives: its word and colour, from good to bad; alarms by severity.
STATES = {
    0: ("quiet", "green"),
    1: ("starting", "text"),
    2: ("learning", "blue"),
    3: ("too few samples", "purple"),
    4: ("stale", "orange"),
    5: ("info", "light-blue"),
    6: ("warning", "yellow"),
    7: ("critical", "red"),
    8: ("gone", "orange"),
}
# Number that the cause query gives: its word and colour.
CAUSES = {
    0: ("no alarm", "text"),
    1: ("data", "text"),
    2: ("model", "text"),
    3: ("environment", "text"),
    4: ("serving", "text"),
    5: ("unknown", "text"),
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


def of_headwatch(expression: str) -> str:
    """Only what belongs to a headwatch, of series that Prometheus has of every target there is.

    Where all jobs are chosen, ``up`` names the whole cluster. One that is gone was a headwatch before.
    """
    ours = f"present_over_time({process('headwatch_build_info')}[{GONE}])"
    return f"{expression} and on (job, instance) {ours}"


def worst(name: str, *labels: str) -> str:
    """The highest value of a model's replicas, by the model and these labels of the metric."""
    return f"max by ({', '.join(('model', *labels))}) ({metric(name)})"


def mean(name: str, *labels: str, where: str = "") -> str:
    """The mean over a model's replicas, by the model and these labels of the metric."""
    chosen = metric(name, where) if where else metric(name)
    return f"avg by ({', '.join(('model', *labels))}) ({chosen})"


def against_limit(*matchers: str) -> str:
    """Evidence of each channel as a share of its limit; the highest of a model's replicas."""
    ratio = f"{metric('evidence', *matchers)} / {metric('evidence_limit', *matchers)}"
    return f"max by (model, channel) (clamp({ratio}, 0, {MOST_LIMITS}))"


def per_second(name: str, by: str) -> str:
    """A counter's rate, added up by the labels ``by``."""
    return f"sum by ({by}) (rate({metric(name)}[$__rate_interval]))"


def last_hour(name: str, by: str) -> str:
    """A counter's growth in the last hour, added up by the labels ``by``.

    A window takes minutes: what happens once in a window is lost in a chart of rates.
    """
    return f"sum by ({by}) (increase({metric(name)}[1h]))"


def state() -> str:
    """One number for each model, the worst of its replicas: the keys of ``STATES``.

    An alarm stands until it is over: a window that cannot be judged meanwhile does not hide it.
    """
    watch = ("starting", "learning", "too_few_samples", "stale", "alarm")
    states = [metric("state", equal("state", name)) for name in watch]
    critical, warning, _ = ALERT_SEVERITIES.values()
    severe = [metric("severity", equal("severity", word)) for word in (warning, critical)]
    ranked = " or ".join(f"{rank} * {series}" for rank, series in enumerate([*states, *severe], start=1))
    # Quiet is 0 of all others. A model whose sidecars are all gone is known from before.
    there = metric("state", equal("state", "quiet"))
    before = f"max by (model) (last_over_time({there}[{GONE}]))"
    return f"max by (model) ({ranked}) or (8 + 0 * ({before} unless max by (model) ({there})))"


def cause() -> str:
    """A number for each model and cause of its alarm, one for a model without: the keys of ``CAUSES``."""
    words = [(number, word) for number, (word, _) in CAUSES.items()]
    known = " or ".join(f"{number} * {metric('cause', equal('cause', word))}" for number, word in words[1:-1])
    unknown, _ = words[-1]
    without = f"max by (model) ({unknown} * {metric('severity')})"
    return f"max by (model, cause) ({known}) > 0 or on (model) {without}"


def query(expression: str, legend: str, letter: str) -> prometheus.Dataquery:
    """A query of the data source that was chosen above."""
    return prometheus.Dataquery().expr(expression).legend_format(legend).ref_id(letter).datasource(SOURCE)


def table_query(expression: str, letter: str) -> prometheus.Dataquery:
    """The newest values as rows, a column for each label."""
    return query(expression, "", letter).instant().format(PromQueryFormat.TABLE)
