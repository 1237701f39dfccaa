"""What every alert is tried with: it waits, fires, stays silent, and resolves.

python -m tests.exporters.alert_scenarios > configs/prometheus/headwatch.rules.test.yml
"""

from __future__ import annotations

import sys

import yaml

from tests.exporters.alert_timelines import Steps, Timeline, expected

URL = "http://mlflow:5000/#/experiments/1/runs/0f0f"
BEFORE = 5
CHANNELS = ("heads", "rollout", "tokens", "prediction", "input", "model", "fidelity")
SEVERITIES = ("critical", "warning", "info")
CAUSES = ("data", "model", "environment", "serving")
SINCE = 1_790_000_100.0
DATA = {
    "cause": "data (the inputs changed, and nothing says that the model did).",
    "action": "Find out who sends the changed inputs. If they are to stay, run headwatch baseline promote.",
}
MODEL = {
    "cause": "model (its files are not those that the baseline was made with).",
    "action": "Look at the last deployment: roll it back, or declare the revision.",
}
SERVING = {
    "cause": "serving (the replay behaves as before, and the server's answers differ from it).",
    "action": "Compare the server's revision, preprocessing and tokenizer with the sidecar's.",
}
STRONGEST = "L3H7 entropy 0.71 → 0.42 (-1.3 sd), L5H0 first 0.12 → 0.31 (+0.9 sd)."
HEADS = f"2 heads are named, strongest first: {STRONGEST}"
HARM = {
    "critical": "Look at it now.",
    "warning": "Look at it in working hours.",
    "info": "Nothing needs to be done now.",
}


def drift_annotations(summary, description, severity, reason, *, moved="", url=URL):
    """The annotations of a drift alert, in the order of the rules."""
    return {
        "summary": summary,
        "description": description,
        "since": "2026-09-21 14:15 UTC",
        "cause": reason["cause"],
        "effect": f"{moved}{HARM[severity]}",
        "action": reason["action"],
        "evidence_url": url,
    }


PREDICTIONS = "Largest change of the predictions: p(positive) 0.51 → 0.33 (-0.8 sd). "
# alert, page, channel, severity, cause, the reason's words, summary, description, further labels
DRIFT = (
    (
        "HeadDrift", "heads", "warning", ("data",), DATA,
        "Attention heads of sentiment have drifted", HEADS, {},
    ),
    (
        "TokenDrift", "tokens", "warning", ("data",), DATA,
        "Tokens that drive sentiment have changed",
        "Tokens seen clearly more often: 3, less often: 1. The evidence names them.", {},
    ),
    (
        "PredictionDrift", "prediction", "critical", ("data",), DATA,
        "Predictions of sentiment have drifted",
        "Most changed: p(positive) 0.51 → 0.33 (-0.8 sd), top probability 0.9 → 0.87 (-0.2 sd).", {},
    ),
    (
        "InputDrift", "input", "info", ("data",), DATA,
        "Inputs of sentiment have changed",
        "Most changed: log tokens 2.5 → 3.1 (+1.4 sd), unknown share 0.012 → 0.03 (+0.6 sd).", {},
    ),
    (
        "ModelChanged", "model", "critical", ("model",), MODEL,
        "sentiment gives other results than when its baseline was made",
        f"The fixed probe inputs give other results than they did. Most in {STRONGEST}",
        {"data_drift": "no"},
    ),
    (
        "ServingMismatch", "fidelity", "critical", ("serving",), SERVING,
        "sentiment is served differently from its replay",
        "Served and replayed labels agree on 91.34% of the samples.", {},
    ),
)  # fmt: skip


def page(alert):
    """The runbook of an alert, spelt out so that a renamed page is noticed."""
    return {
        "HeadDrift": "head-drift",
        "TokenDrift": "token-drift",
        "PredictionDrift": "prediction-drift",
        "InputDrift": "input-drift",
        "ModelChanged": "model-changed",
        "ServingMismatch": "serving-mismatch",
    }[alert]


def timelines(window):
    """Every scenario, at this cadence."""
    steps = Steps.of(window)
    yield from (_drift(steps, *row) for row in DRIFT)
    yield _severity_to_and_fro(steps)
    yield _rollout(steps)
    yield _data_besides(steps)
    yield _nothing_known(steps)
    yield from _stale(steps)
    yield _too_few_samples(steps)
    yield from _sink_failing(steps)
    yield from _samples_dropped(steps)


def in_alarm(line, channel, severity, causes, *, during, after):
    """The metrics of an alarm that stands for ``during`` steps."""
    off, on, over = (0, BEFORE), (1, during), (0, after)
    for name in CHANNELS:
        line.has("channel_alarm", off, on if name == channel else (0, during), over, channel=name)
    for name in SEVERITIES:
        line.has("severity", off, on if name == severity else (0, during), over, severity=name)
    for name in CAUSES:
        line.has("cause", off, on if name in causes else (0, during), over, cause=name)
    line.has("alarm_since_timestamp_seconds", ("_", BEFORE), (SINCE, during), ("_", after))
    line.has("episode_info", ("_", BEFORE), (1, during), ("_", after), episode="b1-11", run_url=URL)
    evidence(line, BEFORE + during + after)


def evidence(line, whole):
    """What heads, tokens and measures show; the same all the time."""
    line.has("heads_drifted", (2, whole))
    line.has("tokens_gained", (3, whole))
    line.has("tokens_lost", (1, whole))
    line.has("fidelity_ratio", (0.9134, whole))
    for layer, head, statistic, strength, before, after, effect in (
        ("5", "0", "first", 12.0, 0.12, 0.31, 0.9),
        ("3", "7", "entropy", 15.5, 0.71, 0.42, -1.3),
        ("1", "4", "self", 2.0, 0.21, 0.22, 0.1),
    ):
        labels = {"layer": layer, "head": head, "statistic": statistic}
        _changed(line, "head", labels, before, after, effect, whole)
        line.has("head_evidence", (strength, whole), **labels)
    for channel, measure, before, after, effect in (
        ("prediction", "top_probability", 0.9, 0.87, -0.2),
        ("prediction", "p(positive)", 0.51, 0.33, -0.8),
        ("input", "unknown_share", 0.012, 0.03, 0.6),
        ("input", "log_tokens", 2.5, 3.1, 1.4),
        ("rollout", "entropy", 1.5, 1.75, 0.4),
    ):
        _changed(line, "measure", {"channel": channel, "measure": measure}, before, after, effect, whole)


def _changed(line, family, labels, before, after, effect, whole):
    for part, value in (("before", before), ("after", after), ("effect", effect)):
        line.has(f"{family}_{part}", (value, whole), **labels)


def _drift(steps, alert, channel, severity, causes, reason, summary, description, labels):
    line = Timeline(name=f"{alert} waits for longer than a window, fires, and resolves", steps=steps)
    hold, during = steps["hold"], steps["hold"] + 2 * steps["window"]
    in_alarm(line, channel, severity, causes, during=during, after=2 * hold)
    annotations = drift_annotations(summary, description, severity, reason, moved=PREDICTIONS)
    fires = expected(severity, page(alert), annotations, **labels)
    name = f"Headwatch{alert}"
    line.expects(BEFORE - 1, name)
    line.expects(BEFORE + hold - 1, name)
    line.expects(BEFORE + hold + 1, name, fires)
    line.expects(BEFORE + during + hold - 2, name, fires)
    line.expects(BEFORE + during + hold + 1, name)
    for other, *_ in DRIFT:
        if other != alert:
            line.expects(BEFORE + hold + 1, f"Headwatch{other}")
    return line


def _severity_to_and_fro(steps):
    """Judged anew with each window, it may change with each: somebody must hear of it all the same."""
    line = Timeline(name="HeadDrift fires though its severity changes with every window", steps=steps)
    window, times = steps["window"], 2 * (steps["hold"] // steps["window"]) + 4
    for severity, first in (("critical", 1), ("warning", 0), ("info", None)):
        runs = [(float(first is not None and turn % 2 == first), window) for turn in range(times)]
        line.has("severity", (0, BEFORE), *runs, severity=severity)
    whole = BEFORE + times * window
    line.has("channel_alarm", (0, BEFORE), (1, times * window), channel="heads")
    line.has("cause", (0, BEFORE), (1, times * window), cause="data")
    line.has("alarm_since_timestamp_seconds", ("_", BEFORE), (SINCE, times * window))
    evidence(line, whole)
    summary = "Attention heads of sentiment have drifted"
    line.expects(
        whole - 1,
        "HeadwatchHeadDrift",
        *(
            expected(
                severity,
                "head-drift",
                drift_annotations(summary, HEADS, severity, DATA, moved=PREDICTIONS, url=""),
            )
            for severity in ("critical", "warning")
        ),
    )
    return line


def _rollout(steps):
    line = Timeline(name="ModelChanged is for information during a declared rollout", steps=steps)
    during = steps["hold"] + 5
    in_alarm(line, "model", "info", ("model",), during=during, after=5)
    line.has("expected_change", (0, BEFORE), (1, during), (0, 5), change="rollout")
    line.has("expected_change", (0, BEFORE + during + 5), change="upgrade")
    _, _, _, _, _, summary, description, labels = DRIFT[4]
    reason = MODEL | {
        "cause": f"{MODEL['cause']} A rollout was declared, so a change of the model is expected."
    }
    annotations = drift_annotations(summary, description, "info", reason, moved=PREDICTIONS)
    line.expects(
        BEFORE + during - 2, "HeadwatchModelChanged", expected("info", "model-changed", annotations, **labels)
    )
    return line


def _data_besides(steps):
    line = Timeline(name="ModelChanged says by a label that the data drift besides", steps=steps)
    during = steps["hold"] + 5
    in_alarm(line, "model", "critical", ("model", "data"), during=during, after=5)
    for name in ("truncation", "special_tokens"):
        line.has("suspicion", (0, BEFORE), (1, during), (0, 5), suspicion=name)
    _, _, _, _, _, summary, description, _ = DRIFT[4]
    reason = MODEL | {
        "cause": "model (its files are not those that the baseline was made with) and data "
        "(not all of it comes from that). Suspected: special tokens, truncation."
    }
    annotations = drift_annotations(summary, description, "critical", reason, moved=PREDICTIONS)
    line.expects(
        BEFORE + during - 2,
        "HeadwatchModelChanged",
        expected("critical", "model-changed", annotations, data_drift="yes"),
    )
    return line


def _nothing_known(steps):
    """A model without attention statistics and without a run in MLflow: less is said, nothing false."""
    line = Timeline(name="HeadDrift makes no sentence of what is not measured", steps=steps)
    whole = steps["hold"] + 5
    line.has("severity", (1, whole), severity="warning")
    line.has("channel_alarm", (1, whole), channel="rollout")
    line.has("measure_effect", (0.4, whole), channel="rollout", measure="entropy")
    line.has("measure_before", (1.5, whole), channel="rollout", measure="entropy")
    line.has("measure_after", (1.75, whole), channel="rollout", measure="entropy")
    annotations = {
        "summary": "Attention heads of sentiment have drifted",
        "description": "The flow of attention moved most in entropy 1.5 → 1.75 (+0.4 sd).",
        "since": "an unknown time",
        "cause": "not known yet.",
        "effect": "Look at it in working hours.",
        "action": "Read the runbook; the cause is not known yet.",
        "evidence_url": "",
    }
    line.expects(whole - 2, "HeadwatchHeadDrift", expected("warning", "head-drift", annotations))
    return line


# By the length of a window: how long until it is stale, a window, and the range of the rates, in words.
SPOKEN = {
    300.0: ("15 minutes", "5 minutes", "15 minutes"),
    600.0: ("30 minutes", "10 minutes", "30 minutes"),
}


def _unwatched(steps, severity):
    missed, window, _ = SPOKEN[steps.window]
    annotations = {
        "summary": "sentiment is not being watched",
        "description": f"headwatch has shown no fresh result for over {missed}; a window should close every "
        f"{window}. Silence about drift means nothing until this is over.",
        "action": "See whether the sidecar runs and what its log says: curl sidecar:9095/v1/status",
    }
    return expected(severity, "stale", annotations)


def _stale(steps):
    hold, blind, name = steps["hold"], steps["blind"], "HeadwatchStale"
    warning, critical = _unwatched(steps, "warning"), _unwatched(steps, "critical")

    line = Timeline(name="Stale warns, becomes critical, and resolves", steps=steps)
    during = blind + 10
    line.has("state", (0, BEFORE), (1, during), (0, 2 * hold), state="stale")
    line.expects(BEFORE - 1, name)
    line.expects(BEFORE + hold - 1, name)
    line.expects(BEFORE + hold + 1, name, warning)
    line.expects(BEFORE + blind - 1, name, warning)
    line.expects(BEFORE + blind + 1, name, critical, warning)
    line.expects(BEFORE + during + hold + 2, name)
    yield line

    line = Timeline(
        name="Stale warns when the numbers stand still, and is silent while they move", steps=steps
    )
    missed = 3 * steps["window"]
    whole = 2 * (missed + hold) + 10
    line.has("state", (1, 3 * whole), state="quiet")
    line.counts("last_update_timestamp_seconds", (steps.interval, whole), (0, missed + hold + 10))
    line.expects(whole - 1, name)
    line.expects(whole + missed + hold - 3, name)
    line.expects(whole + missed + hold + 3, name, warning)
    yield line

    line = Timeline(name="Stale warns when the sidecar is gone, and resolves when it is back", steps=steps)
    for metric, labels in (("state", {"state": "quiet"}), ("last_update_timestamp_seconds", {})):
        value = 1 if metric == "state" else 1e9
        line.has(metric, (value, 10), ("_", blind + 20), (value, 2 * hold + 10), **labels)
    line.expects(10 + hold - 2, name)
    line.expects(10 + hold + 2, name, warning)
    line.expects(10 + blind + 10, name, critical, warning)
    line.expects(10 + blind + 20 + hold + 5, name)
    yield line

    line = Timeline(name="Stale gives a model time to load, but not for ever", steps=steps)
    rate = steps["rate"]
    line.has("state", (1, rate + hold + 10), (0, 2 * hold), state="starting")
    line.expects(rate + hold - 2, name)
    line.expects(rate + hold + 2, name, warning)
    line.expects(rate + 2 * hold + 13, name)
    yield line


def _too_few_samples(steps):
    line = Timeline(name="TooFewSamples forgives one thin window, warns, and resolves", steps=steps)
    hold, window, name = steps["hold"], steps["window"], "HeadwatchTooFewSamples"
    start = BEFORE + 2 * window
    line.has(
        "state",
        *((0, BEFORE), (1, window), (0, window), (1, hold + 10), (0, 2 * hold)),
        state="too_few_samples",
    )
    annotations = {
        "summary": "Too few samples of sentiment to judge",
        "description": "Windows hold too few samples to judge; they wait and are joined, for a day at most.",
        "action": "See whether the traffic is low or does not reach headwatch.",
    }
    line.expects(start - 1, name)
    line.expects(start + hold - 1, name)
    line.expects(start + hold + 1, name, expected("warning", "too-few-samples", annotations))
    line.expects(start + hold + 10 + hold + 1, name)
    return line


def _sink_failing(steps):
    hold, rate, name = steps["hold"], steps["rate"], "HeadwatchSinkFailing"
    spoken = SPOKEN[steps.window][2]
    fine, broken, mended = rate, rate + hold + 10, rate + hold + 10

    def unsent(severity, outbox):
        annotations = {
            "summary": "Evidence about sentiment does not reach mlflow",
            "description": f"mlflow has taken nothing and refused {2 * rate} deliveries in {spoken}. "
            f"{outbox}",
            "action": "See whether mlflow is up and still takes the credentials; "
            "the sidecar's log says what it answered.",
        }
        return expected(severity, "sink-failing", annotations, sink="mlflow")

    waits = "The evidence waits in the outbox, which is bounded."
    line = Timeline(name="SinkFailing warns when nothing arrives any more, and resolves", steps=steps)
    line.counts("sink_failures_total", (0, fine), (2, broken), (0, mended), sink="mlflow")
    line.counts("sink_deliveries_total", (1, fine), (0, broken), (1, mended), sink="mlflow")
    line.counts("outbox_dropped_total", (0, fine + broken + mended))
    line.expects(fine - 1, name)
    line.expects(fine + broken - 1, name, unsent("warning", waits))
    line.expects(fine + broken + hold + 5, name)
    yield line

    line = Timeline(name="SinkFailing is critical once evidence is lost", steps=steps)
    lost = "The outbox is full, and what does not fit is lost."
    line.counts("sink_failures_total", (0, fine), (2, broken), (0, mended), sink="mlflow")
    line.counts("sink_deliveries_total", (1, fine), (0, broken), (1, mended), sink="mlflow")
    line.counts("outbox_dropped_total", (0, fine), (1, broken), (0, mended))
    line.expects(fine - 1, name)
    line.expects(fine + broken - 1, name, unsent("critical", lost), unsent("warning", lost))
    line.expects(fine + broken + hold + 5, name)
    yield line

    line = Timeline(name="SinkFailing leaves a sink alone that fails now and then", steps=steps)
    line.counts("sink_failures_total", (1, rate + 2 * hold), sink="mlflow")
    line.counts("sink_deliveries_total", (1, rate + 2 * hold), sink="mlflow")
    line.expects(rate + 2 * hold - 1, name)
    yield line


def _samples_dropped(steps):
    hold, rate, name = steps["hold"], steps["rate"], "HeadwatchSamplesDropped"
    spoken = SPOKEN[steps.window][2]
    part = rate + hold + 10

    def lost(severity, share):
        annotations = {
            "summary": "Samples of sentiment are dropped",
            "description": f"{share} of the samples that arrived in {spoken} were dropped, most of them for "
            "queue full. What is judged may not be what was served.",
            "action": "Look the reason up in the runbook.",
        }
        return expected(severity, "samples-dropped", annotations)

    for full, broken, share, severities in (
        (15, 5, "5%", ("warning",)),
        (235, 5, "60%", ("critical", "warning")),
        (2, 0, "0.5%", ()),
    ):
        what = f"is {severities[0]}" if severities else "is silent"
        line = Timeline(name=f"SamplesDropped {what} at {share}", steps=steps)
        line.counts("samples_dropped_total", (0, part), (full, part), (0, 2 * part), reason="queue_full")
        line.counts("samples_dropped_total", (0, part), (broken, part), (0, 2 * part), reason="not_json")
        line.counts("samples_received_total", (400, 4 * part), source="http")
        line.expects(part - 1, name)
        line.expects(2 * part - 1, name, *(lost(severity, share) for severity in severities))
        line.expects(4 * part - 1, name)
        yield line


def promtool_file(window, rules):
    """The whole test file, as promtool reads it."""
    return {
        "rule_files": [rules],
        "evaluation_interval": f"{Steps.of(window).interval:g}s",
        "tests": [line.as_promtool() for line in timelines(window)],
    }


def promtool_yaml(window, rules):
    """The same as text."""
    text = yaml.safe_dump(promtool_file(window, rules), sort_keys=False, width=10_000, allow_unicode=True)
    return f"# Run with: promtool test rules headwatch.rules.test.yml\n{text}"


if __name__ == "__main__":
    sys.stdout.write(promtool_yaml(300.0, "headwatch.rules.yml"))
