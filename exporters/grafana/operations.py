"""The dashboard of headwatch itself: what it costs, whether its work gets done and its evidence arrives."""

from __future__ import annotations

from exporters.grafana.frame import Sections, dashboard
from exporters.grafana.panels import Panel, Words, limited, lines, number, states, steps, value_words
from exporters.grafana.queries import (
    BY_MODEL,
    BY_PROCESS,
    last_hour,
    metric,
    of_headwatch,
    process,
)
from exporters.grafana.sdk import common
from exporters.grafana.tables import rows

UID = "headwatch-operations"
THERE = {0: ("not there", "red"), 1: ("there", "blue")}
LOADED = {0: ("refused", "orange"), 1: ("in force", "blue")}
AWAY = "no headwatch is scraped here"
NO_SINK = "no sink is configured"
EACH = "{{model}} {{instance}}"


def operations(runbooks: str | None) -> str:
    """The dashboard's JSON; ``runbooks``: the address of their folder, None where it is not known."""
    sections: Sections = {
        "Is it there?": _there(),
        "What does it cost?": _cost(),
        "Does the work get done?": _work(),
        "Does the evidence arrive?": _delivery(),
        "What does Prometheus store?": _scrapes(),
    }
    return dashboard(
        UID,
        "operations",
        "headwatch itself: cost, jobs, queue, outbox, sinks, memory, and what a scrape weighs.",
        sections,
        several_models=True,
        runbooks=runbooks,
    )


def _there() -> list[Panel]:
    there = Words(
        shows="Whether Prometheus could scrape each headwatch.",
        bad="not there: nothing is watched, and alerts of drift cannot come.",
        then="read the sidecar's log; its state file lets it go on where it stopped.",
        empty=AWAY,
    )
    versions = Words(
        shows="Which headwatch watches which model, revision and baseline.",
        bad="the revision is not the one that you deployed; no baseline: it is still learning.",
        then="declare the revision in what is sent to headwatch (see the runbooks).",
        empty="no model is loaded yet",
    )
    loaded = Words(
        shows="Whether the last reload of the configuration worked.",
        bad="refused: the former configuration is still in force.",
        then="run headwatch check with the file, correct it, reload.",
        empty=AWAY,
    )
    since = Words(
        shows="When the configuration in force was loaded.",
        bad="older than your last change.",
        then="send SIGHUP, or POST /-/reload.",
        empty=AWAY,
    )
    at = "on (job, instance) group_left (version)"
    told = f"{metric('model_info')} * {at} {process('headwatch_build_info')}"
    return [
        states("Scrapes that worked", there, (of_headwatch(process("up")), "{{instance}}"), THERE).height(4),
        rows(
            "Versions",
            versions,
            12,
            {"": f"max by (instance, model, revision, baseline, version) ({told})"},
            {
                "instance": "instance",
                "model": "model",
                "revision": "revision",
                "baseline": "baseline",
                "version": "headwatch",
            },
        ).height(5),
        number(
            "Configuration",
            loaded,
            "none",
            6,
            (process("headwatch_config_last_reload_successful"), "{{instance}}"),
        )
        .mappings(value_words(LOADED))
        .color_mode(common.BigValueColorMode.VALUE)
        .height(5),
        number(
            "Configuration loaded",
            since,
            "dateTimeFromNow",
            6,
            (f"{process('headwatch_config_last_reload_success_timestamp_seconds')} * 1000", "{{instance}}"),
        ).height(5),
    ]


def _cost() -> list[Panel]:
    window = Words(
        shows="CPU seconds of the whole process for each window closed, over the last hour.",
        bad="above window.duration: one core cannot keep up.",
        then="lower window.samples or analysis.attribution.samples; headwatch check measures both.",
        empty="no window closed yet",
    )
    cores = Words(
        shows="CPU cores that each headwatch uses.",
        bad="near model.threads for long: there is no room for a busier hour.",
        then="as for the cost of a window.",
        empty=AWAY,
    )
    memory = Words(
        shows="Resident memory of each headwatch: mostly its own copy of the weights.",
        bad="it keeps growing from day to day.",
        then="restart it (nothing is lost), and report it with the length of your inputs.",
        empty=AWAY,
    )
    spent = process("process_cpu_seconds_total")
    cpu = f"sum {BY_PROCESS} (increase({spent}[1h]))"
    closed = f"sum {BY_MODEL} (increase({metric('windows_total')}[1h]))"
    return [
        lines(
            "Cost of a window",
            window,
            "s",
            8,
            (f"{cpu} / on (job, instance) group_right () {closed}", EACH),
        ).min(0),
        lines(
            "CPU",
            cores,
            "none",
            8,
            (
                f"sum {BY_PROCESS} ({of_headwatch(f'rate({spent}[$__rate_interval])')})",
                "{{instance}}",
            ),
        ).min(0),
        lines(
            "Memory",
            memory,
            "bytes",
            8,
            (of_headwatch(process("process_resident_memory_bytes")), "{{instance}}"),
        ).min(0),
    ]


def _work() -> list[Panel]:
    started = "no job has run yet"
    duration = Words(
        shows="How long the last run of each job took; of several replicas the longest.",
        bad="profile takes longer than window.duration: windows pile up.",
        then="look at the share of time next; lower window.samples if that is near 100 %.",
        empty=started,
    )
    busy = Words(
        shows="The share of time that each job is at work; of several replicas the busiest. profile, "
        "evaluation, attribution and probe share one thread: together they cannot have more than 100 %.",
        bad="those four together near 100 % (dashed).",
        then="attribution is the one to lower first: analysis.attribution.samples or schedule.attribution.",
        empty=started,
    )
    failed = Words(
        shows="Runs of jobs in the last hour that failed, or were left out because the one before had not "
        "ended. A run that fails is tried again at its next time.",
        bad="failures above 0; skipped runs of profile and evaluation alone are harmless "
        "while windows close.",
        then="the sidecar's log has the reason of each failure.",
        empty=started,
    )
    age = Words(
        shows="Time since each job last succeeded; of several replicas the longest.",
        bad="longer than two periods of its schedule.",
        then="read the log for that job. attribution only runs when a window waits for it.",
        empty="no job has succeeded yet",
    )
    runs = Words(
        shows="Runs of each job in the last hour.",
        bad="a job has no runs.",
        then="compare with schedule in the configuration.",
        empty=started,
    )
    busiest = f"max by (job_name) (rate({metric('job_duration_seconds_total')}[$__rate_interval]))"
    success = f"time() - min by (job_name) ({metric('job_last_success_timestamp_seconds')})"
    return [
        lines(
            "Duration of jobs",
            duration,
            "s",
            8,
            (f"max by (job_name) ({metric('job_last_duration_seconds')})", "{{job_name}}"),
        ).min(0),
        limited(
            lines("Share of time at work", busy, "percentunit", 8, (busiest, "{{job_name}}"))
            .min(0)
            .axis_soft_max(1),
            1,
        ),
        lines("Time since the last success", age, "s", 8, (success, "{{job_name}}")).min(0),
        lines(
            "Runs of jobs", runs, "short", 8, (last_hour("job_runs_total", "job_name"), "{{job_name}}")
        ).min(0),
        lines(
            "Failed and skipped jobs",
            failed,
            "short",
            8,
            (last_hour("job_failures_total", "job_name"), "failed: {{job_name}}"),
            (last_hour("job_skipped_total", "job_name"), "skipped: {{job_name}}"),
        ).min(0),
        *_queue(),
    ]


def _queue() -> list[Panel]:
    queue = Words(
        shows="How full the queue in memory is, where samples wait to be written, as a share of its limit.",
        bad="near 100 %: there samples are dropped.",
        then="a full queue points at a slow disk. Raise ingest.queue for short bursts.",
        empty=AWAY,
    )
    waiting = Words(
        shows="Samples in the state file that wait to be analysed.",
        bad="more than a few windows of them.",
        then="the model cannot keep up: lower window.samples, or give headwatch more CPU.",
        empty=AWAY,
    )
    filled = f"{metric('ingest_queue_samples')} / {metric('ingest_queue_limit_samples')}"
    return [
        limited(lines("Queue", queue, "percentunit", 4, (filled, EACH)).min(0).axis_soft_max(1), 0.8),
        steps(lines("Waiting samples", waiting, "short", 4, (metric("pending_samples"), EACH))),
    ]


def _delivery() -> list[Panel]:
    waiting = Words(
        shows="Records that wait for their sink, by kind.",
        bad="they keep growing: a sink does not answer.",
        then="see which sink refuses; nothing is lost until the outbox is full.",
        empty=NO_SINK,
    )
    size = Words(
        shows="How full the outbox on disk is, as a share of its limit (state.outbox).",
        bad="near 100 %: there the least important records go.",
        then="bring the sink back, or raise state.outbox.",
        empty=NO_SINK,
    )
    sinks = Words(
        shows="Records that each sink took or refused in the last hour, and records dropped because the "
        "outbox was full.",
        bad="refused while nothing is taken; any dropped.",
        then="the log has what the sink said. Check its address and its token.",
        empty=NO_SINK,
    )
    filled = f"{metric('outbox_bytes')} / {metric('outbox_limit_bytes')}"
    kinds = f"sum by (model, kind) ({metric('outbox_records')})"
    return [
        steps(lines("Outbox", waiting, "short", 8, (kinds, "{{model}} {{kind}}"))),
        limited(
            lines("Size of the outbox", size, "percentunit", 8, (filled, EACH)).min(0).axis_soft_max(1), 0.8
        ),
        lines(
            "Sinks",
            sinks,
            "short",
            8,
            (last_hour("sink_deliveries_total", "sink"), "{{sink}} took"),
            (last_hour("sink_failures_total", "sink"), "{{sink}} refused"),
            (last_hour("outbox_dropped_total", "model"), "{{model}} dropped"),
        ).min(0),
    ]


def _scrapes() -> list[Panel]:
    series = Words(
        shows="Series in each scrape of a headwatch.",
        bad="above some thousands: exporters.prometheus.every_head is on for a large model.",
        then="turn every_head off; the episode's run in MLflow has every head.",
        empty=AWAY,
    )
    seconds = Words(
        shows="How long a scrape takes.",
        bad="near the timeout of a scrape (10 s by default).",
        then="look at the number of series, and at the CPU that headwatch may use.",
        empty=AWAY,
    )
    weight, took = (
        of_headwatch(process(f"scrape_{name}")) for name in ("samples_scraped", "duration_seconds")
    )
    return [
        steps(lines("Scrape size", series, "short", 12, (weight, "{{instance}}"))),
        limited(lines("Scrape duration", seconds, "s", 12, (took, "{{instance}}")).min(0), 10),
    ]
