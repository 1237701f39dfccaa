"""Verdicts and snapshots as a running sidecar makes them: a quiet window, and one in alarm."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from monitor.records import (
    ChannelVerdict,
    HeadEvidence,
    HeadId,
    JobStatus,
    MeasureEvidence,
    ModelIdentity,
    Snapshot,
    Verdict,
    WindowFigures,
    WordEvidence,
)

START = 1_790_000_100.0
WINDOW = 300.0
LIMIT = 9.06
LAYERS, HEADS = 6, 12
STATISTICS = ("entropy", "self", "first")

IDENTITY = ModelIdentity(
    name="sentiment",
    revision="7",
    weights_hash="ab" * 32,
    architecture="BertForSequenceClassification",
    task="sequence-classification",
    layers=LAYERS,
    heads=HEADS,
    labels=("negative", "positive"),
    libraries={"torch": "2.13.0"},
    device="cpu",
    dtype="float32",
)

ATTRIBUTION = {
    "samples": 8.0,
    "unconverged_share": 0.125,
    "steps": 48.0,
    "spearman": 0.4,
    "overlap_at_5": 0.6,
    "gradient_times_input_spearman": 0.8,
    "gradient_times_input_overlap_at_5": 0.9,
    "integrated_gradients_comprehensiveness": 0.3,
    "rollout_sufficiency": 0.2,
    "top_3_drop": 0.25,
    "top_3_flips": 0.5,
    "share_punctuation": 0.05,
    "share_special": 0.1,
    "share_watched_gender": 0.07,
    "seen_watched_gender": 0.75,
    "heads_self": 4.0,
    "heads_mixed": 68.0,
    "head_clusters": 12.0,
}
FIGURES = WindowFigures(
    inputs={"tokens": (21.5, 34.0), "unknown": (0.01, 0.04), "truncated": (0.0, 0.125)},
    predictions={"negative": (0.4, 0.7), "positive": (0.6, 0.3)},
    top_words_overlap=0.85,
    roles_changed={"self": 2, "first": 0},
    layer_effects=np.linspace(0.1, 1.1, LAYERS, dtype=np.float32),
    layer_importance=np.full(LAYERS, 1 / LAYERS, dtype=np.float32),
)


def quiet(window=10):
    channels = {
        "heads": ChannelVerdict(
            channel="heads",
            alarm=False,
            raised=False,
            cleared=False,
            evidence=0.4,
            limit=LIMIT,
            since=None,
            heads=(head(1, 4, "self", 0.4, 0.21, 0.22, 0.1, named=False),),
        ),
        "tokens": channel("tokens", 0.2),
        "prediction": replace(
            channel("prediction", 0.1), measures=(measure("p(positive)", 0.51, 0.52, 0.02),)
        ),
        "input": channel("input", 0.3),
    }
    return Verdict(
        model="sentiment",
        revision="7",
        baseline="b1",
        window=window,
        start=START + WINDOW * window,
        end=START + WINDOW * (window + 1),
        samples=200,
        received=1840,
        state="quiet",
        alarm=False,
        raised=False,
        cleared=False,
        episode=None,
        causes=(),
        severity=None,
        since=None,
        since_time=None,
        evidence=0.5,
        limit=LIMIT,
        channels=channels,
        summary="sentiment behaves as in its baseline.",
    )


def alarmed(window=12):
    channels = dict(quiet(window).channels)
    channels["heads"] = replace(
        channels["heads"],
        alarm=True,
        raised=True,
        evidence=14.25,
        since=11,
        heads=(
            head(3, 7, "entropy", 15.5, 0.71, 0.42, -1.3, named=True),
            head(5, 0, "first", 12.0, 0.12, 0.31, 0.9, named=True),
            head(1, 4, "self", 2.0, 0.21, 0.22, 0.1, named=False),
        ),
    )
    channels["tokens"] = replace(
        channels["tokens"],
        alarm=True,
        raised=True,
        evidence=11.5,
        since=11,
        gained=(
            WordEvidence(word="refund", kind="present", evidence=11.5, before=0.0, after=0.1, requests=21),
        ),
        lost=(
            WordEvidence(
                word="#0123456789abcdef", kind="top", evidence=9.5, before=0.2, after=0.0, requests=40
            ),
        ),
    )
    return replace(
        quiet(window),
        state="alarm",
        alarm=True,
        raised=True,
        episode="b1-11",
        causes=("data",),
        severity="ticket",
        since=11,
        since_time=START + WINDOW * 11,
        evidence=14.0,
        channels=channels,
        summary="Two attention heads of sentiment behave differently; the data changed, not the model.",
    )


def model_changed(window=12):
    """The same heads and tokens, moved by a model that was swapped without a word."""
    verdict = alarmed(window)
    probe = replace(channel("model", 2.5), alarm=True, raised=True, limit=0.05, since=11)
    return replace(
        verdict,
        causes=("model",),
        severity="page",
        channels={**verdict.channels, "model": probe},
        summary="sentiment answers the fixed probe inputs differently; its weights changed.",
    )


def cleared(window=40):
    """The first quiet window after the episode of ``alarmed``."""
    verdict = quiet(window)
    channels = dict(verdict.channels)
    channels["heads"] = replace(channels["heads"], cleared=True)
    return replace(
        verdict, cleared=True, episode="b1-11", channels=channels, summary="sentiment is back to normal."
    )


def head(layer, number, statistic, evidence, before, after, effect, *, named):
    return HeadEvidence(
        head=HeadId(layer=layer, head=number),
        statistic=statistic,
        evidence=evidence,
        before=before,
        after=after,
        effect=effect,
        importance=0.05,
        named=named,
    )


def channel(name, evidence):
    return ChannelVerdict(
        channel=name, alarm=False, raised=False, cleared=False, evidence=evidence, limit=LIMIT, since=None
    )


def measure(name, before, after, effect):
    return MeasureEvidence(measure=name, evidence=0.1, before=before, after=after, effect=effect)


def snapshot(verdict=None, **changes):
    verdict = quiet() if verdict is None else verdict
    whole = Snapshot(
        version="0.1.0",
        name="sentiment",
        identity=IDENTITY,
        tier="tap",
        baseline="b1",
        state=verdict.state,
        verdict=verdict,
        layer_profile={name: np.linspace(0.1, 0.9, LAYERS, dtype=np.float32) for name in STATISTICS},
        head_profile=np.full((LAYERS, HEADS, len(STATISTICS)), 0.25, dtype=np.float32),
        statistics=STATISTICS,
        samples_received={"http": 1840},
        samples_dropped={"queue_full": 0, "not_json": 3},
        queue_length=2,
        queue_limit=10_000,
        pending_samples=120,
        outbox_records={"window": 4},
        outbox_bytes=8192,
        outbox_dropped=0,
        sink_failures={"mlflow": 1},
        sink_deliveries={"mlflow": 30},
        windows={"quiet": 11, "alarm": 1},
        jobs={
            "profile": JobStatus(
                runs=60,
                failures=1,
                skipped=2,
                last_duration=1.5,
                total_duration=90.0,
                last_success=verdict.end,
            ),
            "probe": JobStatus(),
        },
        attribution=ATTRIBUTION,
        fidelity=0.995,
        config_reload_successful=True,
        config_reload_time=START,
        started=START,
        time=verdict.end,
        mlflow_run=("1", "0f" * 16),
        mlflow_run_url="https://mlflow.example/#/experiments/1/runs/" + "0f" * 16,
        episode_url="https://mlflow.example/#/experiments/1/runs/" + "1e" * 16 if verdict.alarm else None,
        figures=FIGURES,
        outbox_limit=256 * 2**20,
    )
    return replace(whole, **changes)
