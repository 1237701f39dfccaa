"""What each configuration key means: docs/configuration.md and error messages are made from this.

A key that is not here is explained by the ``description`` of its field; a test asserts that each key
has one or the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

HELP: Mapping[str, str] = MappingProxyType(
    {
        "model": "The model that is watched: the same files that the inference server loads.",
        "model.source": "A Hugging Face directory, a hub id, or models:/name@alias of an MLflow registry.",
        "model.name": (
            "The name in metrics, runs, baselines and messages;"
            " null: the last part of source, or the registered model's name."
        ),
        "model.revision": "The version that a hub id is pinned to, or that samples of this model declare.",
        "model.task": "What the model predicts; auto: found from its own config.",
        "model.device": "Where torch computes: cpu, cuda or cuda:1",
        "model.dtype": "The precision of the replay; float32 repeats most exactly.",
        "model.max_tokens": "Longer inputs are cut and counted as truncated; null: the model's own limit.",
        "model.threads": "Torch threads; one leaves the rest of the machine to the server that is watched.",
        "model.token_budget": "Upper bound of a batch, rows times the longest row: bounds peak memory.",
        "model.memory_share": "The most that the replay may take of a GPU's memory, as a share; null: all.",
        "ingest": "How samples come in.",
        "ingest.listen": "host:port of POST /v1/samples and of CloudEvents.",
        "ingest.token_file": "File with the bearer token that senders show; or HEADWATCH_INGEST_TOKEN.",
        "window": "The samples that are judged together.",
        "window.duration": "A window closes after this long.",
        "window.samples": "How many samples of a window are analysed, whatever the traffic.",
        "window.minimum_samples": "With fewer a window stays open and is joined with the next.",
        "window.requests": (
            "Close a window early after so many requests; drift.false_alarms is then given per windows."
        ),
        "analysis": "What is computed for each sample.",
        "analysis.gradient_attribution": "Top words and head importance from one backward pass a sample.",
        "analysis.top_words": "How many words of a sample count as its top words.",
        "analysis.attribution": "Integrated Gradients on a scheduled subsample.",
        "analysis.attribution.samples": "Samples of a window that are attributed; 0 turns it off.",
        "analysis.attribution.tolerance": "Largest relative delta of an attribution that converged.",
        "analysis.attribution.maximum_steps": "Steps are raised up to this for samples that do not converge.",
        "analysis.scheduled": (
            "What is computed for that subsample beside Integrated Gradients; docs/analyses.md."
            " Costs are in forward passes of a sample, where Integrated Gradients cost 35 to 100."
        ),
        "analysis.watch_lists": (
            "Words whose share of the attribution is watched, as in {gender: [he, she]};"
            " needs analysis.scheduled.shares."
        ),
        "baseline": "The frozen reference, and where it comes from.",
        "baseline.file": "The baseline file; null: beside state.file.",
        "baseline.from": (
            "live: learnt from traffic; file: made by `headwatch baseline build`;"
            " registry: fetched from MLflow as <name>.headwatch-baseline@current."
        ),
        "baseline.duration": "How long live learning lasts; a week holds the daily and the weekly rhythm.",
        "baseline.samples": "How many samples the baseline holds.",
        "baseline.minimum_samples": "With fewer a baseline is not made.",
        "drift": "When a change counts.",
        "drift.false_alarms": (
            "How rarely a false alarm may come, over all channels: '1 per 30d' or '1 per 8640 windows'."
        ),
        "drift.minimum_effect": "Predictions that moved by less, in standard deviations, do not wake anyone.",
        "drift.minimum": "The smallest window that is judged.",
        "drift.recovery": "Evidence (as a factor) for quiet that clears an alarm.",
        "drift.probe_threshold": "How far the probe moves, in standard deviations, before the model changed.",
        "drift.channels": "How the one false-alarm budget is shared; only the ratios count.",
        "drift.channels.heads": "Share of the attention heads.",
        "drift.channels.tokens": "Share of the words, seen and top-attributed.",
        "drift.channels.rollout": "Share of the attention rollout's measures.",
        "drift.channels.prediction": "Share of the predictions.",
        "drift.channels.input": "Share of length, unknown tokens and truncation.",
        "drift.channels.fidelity": "Share of the agreement of served and replayed answers.",
        "probe": "Fixed inputs that are re-run to watch the model itself.",
        "probe.file": "One text a line; null: the neutral sentences that headwatch ships.",
        "schedule": "How often each job looks whether there is something to do.",
        "schedule.profile": "Analyse the samples that wait.",
        "schedule.evaluation": "Judge windows that have closed.",
        "schedule.attribution": "Attribute the subsample of the last windows.",
        "schedule.probe": "Run the probe inputs again; schedule.profile notices changed model files sooner.",
        "schedule.export": "Deliver the outbox to MLflow and to notifications.",
        "schedule.retention": "Delete runs that exporters.mlflow keeps no longer; at every start too.",
        "schedule.maintenance": "Overwrite texts whose time is over, and shorten the state file.",
        "schedule.follow": "Look for new lines in the files of ingest.follow.",
        "state": "The one SQLite file.",
        "state.file": "Samples that wait, window summaries, detector state and the outbox (mode 0600).",
        "state.outbox": "Bound of the evidence that waits for a sink; the least important goes first.",
        "state.text_retention": "Raw text is overwritten after its last analysis, at the latest after this.",
        "privacy": "Which words may be shown in clear.",
        "privacy.minimum_requests": "A word of fewer requests is shown as a keyed hash.",
        "privacy.allowlist": "Words that are always shown.",
        "privacy.example_texts": (
            "Show a few requests in an episode's report, rare words blocked out; reports stay in MLflow."
        ),
        "privacy.key_file": (
            "File with the key of the word hash; or HEADWATCH_PRIVACY_KEY;"
            " null: a key is made beside state.file."
        ),
        "exporters": "Where results go; each sink works or fails on its own.",
        "exporters.prometheus": "The operations address: metrics, health, status, verdicts, reload.",
        "exporters.prometheus.listen": "host:port of GET /metrics.",
        "exporters.prometheus.top_heads": "How many heads of highest evidence get series of their own.",
        "exporters.prometheus.every_head": "true: every head gets its series (layers x heads of them).",
        "exporters.prometheus.runbooks_url": (
            "Where your team reads docs/runbooks; `headwatch rules` links every alert to its page there;"
            " null: alerts name the page by its path."
        ),
        "exporters.prometheus.grafana_url": (
            "Grafana's address; `headwatch rules` links every alert to its dashboard there; null: no links."
        ),
        "exporters.mlflow": "Where evidence and baselines are kept.",
        "exporters.mlflow.tracking_uri": "Address of the MLflow server; null: no evidence is kept there.",
        "exporters.mlflow.public_url": (
            "Where people's browsers find that server, for links from alerts and dashboards;"
            " null: tracking_uri, where that is a web address."
        ),
        "exporters.mlflow.experiment": "The experiment of this deployment.",
        "exporters.mlflow.registry": "true: baselines are registered too.",
        "exporters.mlflow.keep_days": (
            "Days and closed episodes that ended longer ago are moved to MLflow's trash; null: never."
        ),
        "exporters.mlflow.keep_episodes": (
            "Of the closed episodes the newest so many are kept, the others moved to MLflow's trash;"
            " null: all are."
        ),
        "exporters.mlflow.token_file": "File with the server's token; or HEADWATCH_MLFLOW_TOKEN.",
        "exporters.notifications": "Direct messages by apprise, where there is no Alertmanager.",
        "exporters.notifications.urls_file": (
            "File with one apprise URL a line; or HEADWATCH_NOTIFICATION_URLS."
        ),
    }
)

# Why a bound is there: said after the bound in an error message.
WHY: Mapping[str, str] = MappingProxyType(
    {
        "baseline.samples": "a smaller reference is itself noise",
        "baseline.minimum_samples": "a smaller reference is itself noise",
        "drift.minimum": "fewer samples cannot be told from noise",
    }
)
