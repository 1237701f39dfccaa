"""The one table of every metric family that headwatch exports.

The collector, the dashboards, the alert rules and the documentation all read it. Names follow
Prometheus' guidelines: a base unit at the end, ratios instead of percents, ``_total`` on counters.
No label ever holds a token, a text or a sample's id. Prometheus itself owns the labels ``job`` and
``instance``, so scheduled jobs are told apart by ``job_name``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Kind = Literal["gauge", "counter", "info"]
PREFIX = "headwatch_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A metric family: its full name, its kind, its labels in order, and what it tells."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str


_HEAD = ("model", "layer", "head", "statistic")
_MEASURE = ("model", "channel", "measure")
_JOB = ("model", "job_name")
_WHEN = ("model", "when")

# By what it is about: name without the prefix: kind, labels, help.
_TABLE: dict[str, dict[str, tuple[Kind, tuple[str, ...], str]]] = {
    "headwatch itself": {
        "build_info": ("info", ("version",), "The version of headwatch."),
        "config_last_reload_successful": ("gauge", (), "1 if the last reload of the configuration worked."),
        "config_last_reload_success_timestamp_seconds": (
            "gauge",
            (),
            "When the running configuration was loaded, in seconds since the epoch.",
        ),
        "last_update_timestamp_seconds": (
            "gauge",
            ("model",),
            "When these numbers were put together, in seconds since the epoch.",
        ),
    },
    "What is watched": {
        "model_info": (
            "info",
            ("model", "revision", "baseline"),
            "The model that is watched and its baseline.",
        ),
        "mlflow_run_info": (
            "info",
            ("model", "experiment_id", "run_id", "run_url"),
            "The MLflow run with today's windows, and its page.",
        ),
        "episode_info": (
            "info",
            ("model", "episode", "run_url"),
            "While in alarm: the drift episode, and the page of its MLflow run.",
        ),
        "state": ("gauge", ("model", "state"), "1 for the state that the watch is in, 0 for the others."),
    },
    "Is something different?": {
        "evidence": (
            "gauge",
            ("model", "channel"),
            "Evidence that a channel has drifted: natural logarithm; for channel model standard deviations.",
        ),
        "evidence_limit": ("gauge", ("model", "channel"), "The evidence at which the channel alarms."),
        "pooled_evidence": (
            "gauge",
            ("model",),
            "Natural logarithm of the evidence of all channels together.",
        ),
        "pooled_evidence_limit": ("gauge", ("model",), "The pooled evidence at which an alarm is raised."),
        "channel_alarm": (
            "gauge",
            ("model", "channel"),
            "1 while the channel is in alarm; needs recovery to clear.",
        ),
        "cause": ("gauge", ("model", "cause"), "1 for each cause that the current alarm has."),
        "severity": (
            "gauge",
            ("model", "severity"),
            "1 for the severity of the current alarm: critical (page), warning (ticket) or info (note).",
        ),
        "suspicion": (
            "gauge",
            ("model", "suspicion"),
            "1 for each fault of the pipeline that the current alarm looks like.",
        ),
        "expected_change": (
            "gauge",
            ("model", "change"),
            "1 while a declared rollout or an upgrade is a reason for the current alarm.",
        ),
        "alarm_since_timestamp_seconds": (
            "gauge",
            ("model",),
            "While in alarm: when the drift began, in seconds since the epoch.",
        ),
    },
    "Which heads, which tokens?": {
        "heads_drifted": ("gauge", ("model",), "Attention heads that the last window names as drifted."),
        "head_effect": (
            "gauge",
            _HEAD,
            "Change of a top head's statistic in standard deviations of the baseline.",
        ),
        "head_evidence": (
            "gauge",
            _HEAD,
            "Evidence against a top head: natural logarithm; of a changed model its change in sd.",
        ),
        "head_before": ("gauge", _HEAD, "Mean of a top head's statistic in the baseline."),
        "head_after": (
            "gauge",
            _HEAD,
            "Mean of a top head's statistic since its evidence began to rise (16 windows at most).",
        ),
        "head_importance_ratio": ("gauge", _HEAD, "A top head's share of the model's head importance."),
        "heads_role_changed": (
            "gauge",
            ("model", "role"),
            "Heads of which a role's share moved since the baseline, by the role that moved most.",
        ),
        "heads_leading": (
            "gauge",
            ("model", "role"),
            "Heads that this role describes best, in the last attributed subsample.",
        ),
        "layer_effect": (
            "gauge",
            ("model", "layer"),
            "Largest change of a head's statistic in the layer, in standard deviations of the baseline.",
        ),
        "layer_importance_ratio": (
            "gauge",
            ("model", "layer"),
            "The layer's share of the model's head importance in the last window.",
        ),
        "layer_statistic": (
            "gauge",
            ("model", "layer", "statistic"),
            "Mean of an attention statistic over a layer's heads in the last window.",
        ),
        "head_statistic": (
            "gauge",
            _HEAD,
            "Mean of an attention statistic of one head (only where every_head is on).",
        ),
        "tokens_gained": ("gauge", ("model",), "Tokens that the last window shows clearly more often."),
        "tokens_lost": ("gauge", ("model",), "Tokens that the last window shows clearly less often."),
        "top_tokens_overlap_ratio": (
            "gauge",
            ("model",),
            "Share of the baseline's 20 commonest top-attributed words that are among the last window's 20.",
        ),
        "watch_list_share_ratio": (
            "gauge",
            ("model", "watch_list"),
            "Mean share of the attribution on words of a watch list, where an input has one of them.",
        ),
        "watch_list_seen_ratio": (
            "gauge",
            ("model", "watch_list"),
            "Share of attributed samples that have a word of the watch list.",
        ),
        "attribution_share_ratio": (
            "gauge",
            ("model", "part"),
            "Mean share of the attribution on punctuation, and on special tokens.",
        ),
    },
    "Does it matter?": {
        "measure_effect": (
            "gauge",
            _MEASURE,
            "Change of a channel's measure in standard deviations of the baseline.",
        ),
        "measure_before": ("gauge", _MEASURE, "Mean of a channel's measure in the baseline."),
        "measure_after": (
            "gauge",
            _MEASURE,
            "Mean of a channel's measure since its evidence began to rise (16 windows at most).",
        ),
        "attribution_samples": ("gauge", ("model",), "Samples in the last run of Integrated Gradients."),
        "attribution_unconverged_ratio": (
            "gauge",
            ("model",),
            "Share of attributions that did not converge.",
        ),
        "attribution_agreement": (
            "gauge",
            ("model", "method", "measure"),
            "Mean agreement of a method's ranking of tokens with Integrated Gradients'.",
        ),
        "attribution_faithfulness": (
            "gauge",
            ("model", "method", "measure"),
            "Support lost without a method's top tokens (comprehensiveness), with them alone (sufficiency).",
        ),
        "attribution_flips_ratio": (
            "gauge",
            ("model",),
            "Share of attributed samples whose label changes without their three strongest tokens.",
        ),
        "prediction_mix_ratio": (
            "gauge",
            ("model", "label", "when"),
            "Mean probability of a label, in the baseline and in the last window.",
        ),
        "input_tokens": ("gauge", _WHEN, "Mean tokens of an input, in the baseline and in the last window."),
        "input_unknown_ratio": (
            "gauge",
            _WHEN,
            "Mean share of an input's tokens that the tokenizer does not know.",
        ),
        "input_truncated_ratio": ("gauge", _WHEN, "Share of inputs that are cut at the model's limit."),
        "fidelity_ratio": ("gauge", ("model",), "Share of samples whose served and replayed labels agree."),
    },
    "Windows and samples": {
        "window_samples": ("gauge", ("model",), "Samples that the last window was judged on."),
        "window_received": ("gauge", ("model",), "Samples received during the last window."),
        "window_end_timestamp_seconds": (
            "gauge",
            ("model",),
            "End of the last window, in seconds since the epoch.",
        ),
        "windows_total": ("counter", ("model", "outcome"), "Windows closed, by outcome."),
        "samples_received_total": (
            "counter",
            ("model", "source"),
            "Samples that arrived, good or bad, by the way they came.",
        ),
        "samples_dropped_total": (
            "counter",
            ("model", "reason"),
            "Samples that arrived and were never analysed, by reason.",
        ),
        "ingest_queue_samples": ("gauge", ("model",), "Samples in memory that wait to be written."),
        "ingest_queue_limit_samples": ("gauge", ("model",), "Samples that the ingest queue can hold."),
        "pending_samples": ("gauge", ("model",), "Samples in the state file that wait to be analysed."),
    },
    "Jobs and sinks": {
        "job_runs_total": ("counter", _JOB, "Runs of a scheduled job."),
        "job_failures_total": ("counter", _JOB, "Runs of a scheduled job that failed."),
        "job_skipped_total": ("counter", _JOB, "Runs left out because the one before had not ended."),
        "job_duration_seconds_total": (
            "counter",
            _JOB,
            "Time that all runs of a scheduled job took together.",
        ),
        "job_last_duration_seconds": ("gauge", _JOB, "How long the job's last run took."),
        "job_last_success_timestamp_seconds": (
            "gauge",
            _JOB,
            "End of the job's last good run, since the epoch.",
        ),
        "outbox_records": ("gauge", ("model", "kind"), "Records that wait for their sink."),
        "outbox_bytes": ("gauge", ("model",), "Size of the records that wait for their sink."),
        "outbox_limit_bytes": (
            "gauge",
            ("model",),
            "Size at which the outbox drops its least important records.",
        ),
        "outbox_dropped_total": ("counter", ("model",), "Records dropped because the outbox was full."),
        "sink_deliveries_total": ("counter", ("model", "sink"), "Records that a sink took."),
        "sink_failures_total": (
            "counter",
            ("model", "sink"),
            "Deliveries that a sink refused or did not answer.",
        ),
    },
}

METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        PREFIX + name: Metric(name=PREFIX + name, kind=kind, labels=labels, help=text)
        for rows in _TABLE.values()
        for name, (kind, labels, text) in rows.items()
    }
)

GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {title: tuple(PREFIX + name for name in rows) for title, rows in _TABLE.items()}
)
"""What metrics are about -> their names, in order."""

AD_HOC: Mapping[str, str] = MappingProxyType(
    {
        PREFIX + "head_statistic": "only where `every_head` asks for it: for questions about a head that "
        "is no top head",
    }
)
"""Metrics on no dashboard and in no rule, and why they are exported all the same."""
