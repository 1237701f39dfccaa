"""What every alert is tried with: it waits, fires, stays silent, and resolves.

python -m tests.exporters.alert_scenarios > configs/prometheus/headwatch.rules.test.yml
"""

from __future__ import annotations

import math
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
    "action": (
        "Find out who sends the changed inputs. To keep them: headwatch baseline promote --config FILE."
    ),
}
MODEL = {
    "cause": "model (its files are not those that the baseline was made with).",
    "action": "Look at the last deployment: roll it back, or declare the revision.",
}
SERVING = {
    "cause": "serving (the replay behaves as before, and the server's answers differ from it).",
    "action": "Compare the server's revision, preprocessing and tokenizer with the sidecar's.",
}
STRONGEST = (
    "L3H7 (the spread of its attention 0.71 → 0.42, -1.3 sd), "
    "L5H0 (attention on the first token 0.12 → 0.31, +0.9 sd)."
)
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
        "Words seen clearly more often: 3, less often: 1. The evidence names them.", {},
    ),
    (
        "PredictionDrift", "prediction", "critical", ("data",), DATA,
        "Predictions of sentiment have drifted",
        ("Most changed: p(positive) 0.51 → 0.33 (-0.8 sd), "
         "confidence of the predictions 0.9 → 0.87 (-0.2 sd)."), {},
    ),
    (
        "InputDrift", "input", "info", ("data",), DATA,
        "Inputs of sentiment have changed",
        ("Most changed: input length (log tokens) 2.5 → 3.1 (+1.4 sd), "
         "share of unknown tokens 0.012 → 0.03 (+0.6 sd)."), {},
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
        ("Served and replayed labels agree on 91.34% of the samples. "
         "Most changed: share of answers with another label 0.02 → 0.0866 (+0.5 sd)."), {},
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
    yield _restart(steps)
    yield _severity_to_and_fro(steps)
    yield from (
        _after_another_alarm(steps, *pair) for pair in (("warning", "critical"), ("critical", "warning"))
    )
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
        ("fidelity", "label_differs", 0.02, 0.0866, 0.5),
        ("fidelity", "probability_gap", 0.03, 0.04, 0.1),
    ):
        _changed(line, "measure", {"channel": channel, "measure": measure}, before, after, effect, whole)


def _changed(line, family, labels, before, after, effect, whole):
    for part, value in (("before", before), ("after", after), ("effect", effect)):
        line.has(f"{family}_{part}", (value, whole), **labels)


def _drift(steps, alert, channel, severity, causes, reason, summary, description, labels):
    line = Timeline(name=f"{alert} fires a minute after its verdict, and resolves", steps=steps)
    during, keep = 10, steps["bridge"]
    in_alarm(line, channel, severity, causes, during=during, after=2 * keep)
    annotations = drift_annotations(summary, description, severity, reason, moved=PREDICTIONS)
    fires = expected(severity, page(alert), annotations, **labels)
    name = f"Headwatch{alert}"
    line.expects(BEFORE - 1, name)
    line.expects(BEFORE, name)
    line.expects(BEFORE + steps["settle"], name, fires)
    line.expects(BEFORE + during + keep - 2, name, fires)
    line.expects(BEFORE + during + keep + 1, name)
    for other, *_ in DRIFT:
        if other != alert:
            line.expects(BEFORE + during - 1, f"Headwatch{other}")
    return line


def _restart(steps):
    """A sidecar that is restarted shows nothing for some minutes, and then the same alarm again."""
    line = Timeline(name="HeadDrift outlives a restart of the sidecar", steps=steps)
    before, away, after = BEFORE, steps["bridge"] - 3, 10
    for metric, labels in (
        ("severity", {"severity": "warning"}),
        ("channel_alarm", {"channel": "heads"}),
        ("cause", {"cause": "data"}),
    ):
        line.has(metric, (1, before), ("_", away), (1, after), **labels)
    line.has("alarm_since_timestamp_seconds", (SINCE, before), ("_", away), (SINCE, after))
    fires = expected(
        "warning",
        "head-drift",
        {
            "summary": "Attention heads of sentiment have drifted",
            "description": "It is not known yet which heads.",
            "since": "2026-09-21 14:15 UTC",
            "cause": DATA["cause"],
            "effect": HARM["warning"],
            "action": DATA["action"],
            "evidence_url": "",
        },
    )
    for step in (before - 1, before + 2, before + away - 1, before + away + 5):
        line.expects(step, "HeadwatchHeadDrift", fires)
    return line


def _severity_to_and_fro(steps):
    """Judged anew with each window, it may change with each: the worst of two windows stands.

    The first window's warning outlives it as an alert that nothing shows any more does, and no longer.
    """
    line = Timeline(
        name="HeadDrift stays critical though its severity changes with every window", steps=steps
    )
    window, times = steps["window"], 6
    for severity, first in (("critical", 1), ("warning", 0), ("info", None)):
        runs = [(float(first is not None and turn % 2 == first), window) for turn in range(times)]
        line.has("severity", (0, BEFORE), *runs, severity=severity)
    whole = BEFORE + times * window
    line.has("channel_alarm", (0, BEFORE), (1, times * window), channel="heads")
    line.has("cause", (0, BEFORE), (1, times * window), cause="data")
    line.has("alarm_since_timestamp_seconds", ("_", BEFORE), (SINCE, times * window))
    evidence(line, whole)
    summary = "Attention heads of sentiment have drifted"
    warning, critical = (
        expected(
            severity,
            "head-drift",
            drift_annotations(summary, HEADS, severity, DATA, moved=PREDICTIONS, url=""),
        )
        for severity in ("warning", "critical")
    )
    line.expects(BEFORE + window - 1, "HeadwatchHeadDrift", warning)
    for turn in range(1, times):
        end = (turn + 1) * window - 1
        kept = end - window < steps["bridge"]
        line.expects(BEFORE + end, "HeadwatchHeadDrift", critical, *([warning] if kept else []))
    return line


def _after_another_alarm(steps, former, severity):
    """The severity of an alarm that ended a window ago is not this one's."""
    line = Timeline(name=f"HeadDrift is {severity}, right after an alarm that was {former}", steps=steps)
    quiet, during = 1, 10
    line.has("severity", (1, BEFORE), (0, quiet + during), severity=former)
    line.has("severity", (0, BEFORE + quiet), (1, during), severity=severity)
    line.has("severity", (0, BEFORE + quiet + during), severity="info")
    line.has("channel_alarm", (0, BEFORE + quiet), (1, during), channel="heads")
    line.has("cause", (0, BEFORE + quiet), (1, during), cause="data")
    line.has("alarm_since_timestamp_seconds", (SINCE - 900, BEFORE), ("_", quiet), (SINCE, during))
    evidence(line, BEFORE + quiet + during)
    told = drift_annotations(
        "Attention heads of sentiment have drifted", HEADS, severity, DATA, moved=PREDICTIONS, url=""
    )
    for step in (BEFORE + quiet + 2, BEFORE + quiet + during - 1):
        line.expects(step, "HeadwatchHeadDrift", expected(severity, "head-drift", told))
    return line


def _rollout(steps):
    line = Timeline(name="ModelChanged is for information during a declared rollout", steps=steps)
    during = 10
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
    during = 10
    in_alarm(line, "model", "critical", ("model", "data"), during=during, after=5)
    for name in ("truncation", "special_tokens"):
        line.has("suspicion", (0, BEFORE), (1, during), (0, 5), suspicion=name)
    _, _, _, _, _, summary, description, _ = DRIFT[4]
    reason = MODEL | {
        "cause": "model (its files are not those that the baseline was made with) and data "
        "(the inputs drift as well). Suspected: special tokens, truncation."
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
    whole = 10
    line.has("severity", (1, whole), severity="warning")
    line.has("channel_alarm", (1, whole), channel="rollout")
    line.has("measure_effect", (0.4, whole), channel="rollout", measure="entropy")
    line.has("measure_before", (1.5, whole), channel="rollout", measure="entropy")
    line.has("measure_after", (1.75, whole), channel="rollout", measure="entropy")
    annotations = {
        "summary": "Attention heads of sentiment have drifted",
        "description": "Most changed: spread of the attention flow 1.5 → 1.75 (+0.4 sd).",
        "since": "an unknown time",
        "cause": "not known yet.",
        "effect": "Look at it in working hours.",
        "action": "Read the runbook; the cause is not known yet.",
        "evidence_url": "",
    }
    line.expects(whole - 2, "HeadwatchHeadDrift", expected("warning", "head-drift", annotations))
    return line


# By the length of a window: it, until it is stale, the range of samples, of deliveries, of what is known.
SPOKEN = {
    300.0: ("5 minutes", "15 minutes", "15 minutes", "15 minutes", "1 day"),
    600.0: ("10 minutes", "30 minutes", "30 minutes", "30 minutes", "1 day"),
    86400.0: ("1 day", "3 days", "1 day", "1 hour", "2 days"),
}
# Samples that one sample a step is counted as, an hour back from the alert.
ARRIVED = {300.0: 22, 600.0: 38, 86400.0: 60}
SILENCE = " Silence about drift means nothing until this is over."


def _unwatched(steps, severity, how, **labels):
    window, stale, _, _, gone = SPOKEN[steps.window]
    place = labels.get("instance", "sidecar:9095")
    said, todo = {
        "stale": (
            (
                f"The sidecar runs, but no window has had its verdict for over {stale} (one should every "
                f"{window}), or the model's files cannot be used."
            ),
            f"Ask it why: headwatch status --url http://{place}",
        ),
        "starting": (
            "The sidecar has been starting for over 10 minutes.",
            "Read its log: the model does not load, or the process ends and starts again.",
        ),
        "silent": (
            "Prometheus has had no fresh numbers from the sidecar for over 10 minutes.",
            (
                "See whether its process runs. If it ended, its log says why; if it runs, find out why "
                f"Prometheus does not reach {place}."
            ),
        ),
        "absent": (
            f"Prometheus has no sidecar in its data of the last {gone}.",
            (
                "See on Prometheus' page /targets whether a sidecar is scraped. If none is meant to be, "
                "remove headwatch's rules."
            ),
        ),
    }[how]
    who = "No model" if how == "absent" else "sentiment"
    annotations = {
        "summary": f"{who} is {'' if how == 'absent' else 'not '}being watched",
        "description": said + SILENCE,
        "action": todo,
    }
    return expected(severity, "stale", annotations, **labels)


NOBODY = {"job": "", "instance": "", "model": ""}


def _stale(steps):
    hold, blind, patience, name = steps["hold"], steps["blind"], steps["patience"], "HeadwatchStale"

    line = Timeline(name="Stale warns, becomes critical, and resolves", steps=steps)
    during = blind + 10
    line.has("state", (0, BEFORE), (1, during), (0, 2 * hold), state="stale")
    line.has("state", (1, BEFORE), (0, during), (1, 2 * hold), state="quiet")
    warning, critical = _unwatched(steps, "warning", "stale"), _unwatched(steps, "critical", "stale")
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
    whole = 2 * (patience + hold) + 10
    line.has("state", (1, 3 * whole), state="quiet")
    line.counts("last_update_timestamp_seconds", (steps.interval, whole), (0, patience + hold + 10))
    line.expects(whole - 1, name)
    line.expects(whole + patience + hold - 3, name)
    line.expects(whole + patience + hold + 3, name, _unwatched(steps, "warning", "silent"))
    yield line

    yield _gone(steps)
    yield _dies_again_and_again(steps)
    yield _replaced(steps)
    yield _one_of_two(steps)
    yield _never_seen(steps)

    line = Timeline(name="Stale gives a model time to load, but not for ever", steps=steps)
    line.has("state", (1, patience + hold + 10), (0, 2 * hold + 10), state="starting")
    line.has("state", (0, patience + hold + 10), (1, 2 * hold + 10), state="learning")
    line.expects(patience + hold - 2, name)
    line.expects(patience + hold + 2, name, _unwatched(steps, "warning", "starting"))
    line.expects(patience + 2 * hold + 13, name)
    yield line


def _gone(steps):
    hold, blind, patience, name = steps["hold"], steps["blind"], steps["patience"], "HeadwatchStale"
    line = Timeline(name="Stale warns when the sidecar is gone, and resolves when it is back", steps=steps)
    away, back = patience + blind + 20, 2 * hold + 10
    line.has("state", (1, 15), ("_", away), (1, back), state="quiet")
    line.has("last_update_timestamp_seconds", (1e9, 15), ("_", away), (1e9, back))
    line.scraped((1, 15), (0, away), (1, back))
    warning, critical = _unwatched(steps, "warning", "silent"), _unwatched(steps, "critical", "silent")
    line.expects(15 + patience + hold - 2, name)
    line.expects(15 + patience + hold + 2, name, warning)
    line.expects(15 + patience + blind + 10, name, critical, warning)
    line.expects(15 + away + hold + 5, name)
    return line


def _dies_again_and_again(steps):
    """Three minutes of starting, two without a word: it never comes to watch."""
    hold, patience, name = steps["hold"], steps["patience"], "HeadwatchStale"
    line = Timeline(name="Stale warns of a sidecar that dies whenever it has started", steps=steps)
    up, down = math.ceil(180 / steps.interval), math.ceil(120 / steps.interval)
    rounds = math.ceil((patience + 3 * hold) / (up + down))
    dying = [(1, up), ("_", down)] * rounds
    line.has("state", (0, 15), *dying, state="starting")
    line.has(
        "state", (1, 15), *[(0 if value == 1 else value, count) for value, count in dying], state="quiet"
    )
    line.scraped((1, 15), *[(1 if value == 1 else 0, count) for value, count in dying])
    line.expects(15 + patience + hold - 2, name)
    for step in range(15 + patience + hold + 2, 15 + patience + 2 * hold):
        how = "starting" if (step - 15) % (up + down) < up else "silent"
        line.expects(step, name, _unwatched(steps, "warning", how))
    return line


def _replaced(steps):
    """A pod that is replaced gets another address; nobody is to be told of the old one."""
    hold, patience, name = steps["hold"], steps["patience"], "HeadwatchStale"
    line = Timeline(name="Stale is silent when another sidecar took over under another address", steps=steps)
    whole = 3 * (patience + hold)
    line.has("state", (1, 15), ("_", whole), state="quiet")
    line.scraped((1, 15), ("_", whole))
    line.has("state", ("_", 17), (1, whole - 2), state="quiet", instance="sidecar-2:9095")
    line.scraped(("_", 17), (1, whole - 2), instance="sidecar-2:9095")
    for step in (15 + patience + hold + 2, whole):
        line.expects(step, name)
    return line


def _one_of_two(steps):
    hold, patience, name = steps["hold"], steps["patience"], "HeadwatchStale"
    line = Timeline(name="Stale names the one of two sidecars that is down", steps=steps)
    whole = 3 * (patience + hold)
    line.has("state", (1, 15), ("_", whole), state="quiet")
    line.scraped((1, 15), (0, whole))
    line.has("state", (1, 15 + whole), state="quiet", instance="sidecar-2:9095")
    line.scraped((1, 15 + whole), instance="sidecar-2:9095")
    line.expects(15 + patience + hold - 2, name)
    line.expects(15 + patience + hold + 2, name, _unwatched(steps, "warning", "silent"))
    return line


def _never_seen(steps):
    hold, name = steps["hold"], "HeadwatchStale"
    line = Timeline(name="Stale warns where no sidecar was ever seen", steps=steps)
    line.scraped(("_", 3 * hold), (0, 3 * hold))
    line.has("state", ("_", 4 * hold), (1, 3 * hold), state="learning")
    line.expects(hold - 1, name)
    line.expects(hold + 1, name, _unwatched(steps, "warning", "absent", **NOBODY))
    line.expects(6 * hold, name)
    return line


def _too_few_samples(steps):
    line = Timeline(name="TooFewSamples waits, warns, and resolves", steps=steps)
    thin, hold, name = steps["thin"], steps["hold"], "HeadwatchTooFewSamples"
    # A window is forgiven where windows are short enough.
    one = min(steps["window"], thin - 1)
    start = BEFORE + 2 * one
    line.has(
        "state",
        *((0, BEFORE), (1, one), (0, one), (1, thin + 10), (0, 2 * hold)),
        state="too_few_samples",
    )
    hour = math.ceil(3600 / steps.interval)
    line.counts("samples_received_total", (1, hour + start + thin + 10 + 2 * hold), source="http")
    annotations = {
        "summary": "Too few samples of sentiment to judge",
        "description": "Windows hold too few samples to judge; they wait and are joined, for a day at most. "
        f"{ARRIVED[steps.window]} samples arrived in the last hour.",
        "action": "Compare with the server's own request count: is the traffic low, or does it not reach "
        "headwatch?",
    }
    line.expects(start - 1, name)
    line.expects(start + thin - 1, name)
    line.expects(start + thin + 1, name, expected("warning", "too-few-samples", annotations))
    line.expects(start + thin + 10 + hold + 1, name)
    return line


def _sink_failing(steps):
    hold, rate, name = steps["hold"], steps["tries"], "HeadwatchSinkFailing"
    spoken = SPOKEN[steps.window][3]
    fine, broken, mended = rate, rate + hold + 10, rate + hold + 10

    def unsent(severity, outbox):
        annotations = {
            "summary": "Evidence about sentiment does not reach mlflow",
            "description": f"mlflow has completed no delivery, and {2 * rate} deliveries failed in {spoken}. "
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
            "description": f"{share} of the samples that arrived in {spoken} were dropped, most of them "
            "because of queue full. What is judged may not be what was served.",
            "action": "Samples come faster than the disk takes them: send fewer, or give state.file a "
            "faster disk.",
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
        # No sample is lost where only the server's answer cannot be read.
        line.counts("samples_dropped_total", (400, 4 * part), reason="answer_unreadable")
        line.expects(part - 1, name)
        line.expects(2 * part - 1, name, *(lost(severity, share) for severity in severities))
        line.expects(4 * part - 1, name)
        yield line


def promtool_file(window, rules, *, longest=math.inf):
    """The whole test file, as promtool reads it; without timelines of more than ``longest`` steps."""
    return {
        "rule_files": [rules],
        "evaluation_interval": f"{Steps.of(window).interval:g}s",
        "tests": [line.as_promtool() for line in timelines(window) if line.length <= longest],
    }


def promtool_yaml(window, rules, *, longest=math.inf):
    """The same as text."""
    content = promtool_file(window, rules, longest=longest)
    text = yaml.safe_dump(content, sort_keys=False, width=10_000, allow_unicode=True)
    return f"# Run with: promtool test rules headwatch.rules.test.yml\n{text}"


if __name__ == "__main__":
    sys.stdout.write(promtool_yaml(300.0, "headwatch.rules.yml"))
