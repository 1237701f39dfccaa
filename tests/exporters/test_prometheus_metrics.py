from __future__ import annotations

import math
import re
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporters.prometheus.metrics import METRICS, HeadwatchCollector, build_registry, render
from monitor.ingest.limits import DROP_REASONS
from tests.exporters import scenes
from tests.servers import need

OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"


def scrape(snapshot, *, top_heads=10, every_head=False, accept=""):
    collector = HeadwatchCollector(lambda: snapshot, top_heads=top_heads, every_head=every_head)
    body, content_type = render(build_registry(collector), accept)
    return body.decode(), content_type


def samples_of(text):
    """Series of headwatch: (name, labels) -> value."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parse_text(text)
        for sample in family.samples
        if sample.name.startswith("headwatch_")
    }


def value(text, name, **labels):
    return samples_of(text)[f"headwatch_{name}", tuple(sorted(labels.items()))]


def test_a_full_snapshot_fills_every_family_of_the_table_and_no_other():
    text, _ = scrape(scenes.snapshot(scenes.alarmed()), every_head=True)
    assert {name for name, _ in samples_of(text)} == set(METRICS)


def test_every_series_has_exactly_the_labels_of_its_row():
    text, _ = scrape(scenes.snapshot(scenes.alarmed()), every_head=True)
    for name, labels in samples_of(text):
        assert sorted(METRICS[name].labels) == [label for label, _ in labels], name


def test_values_survive_the_way_to_prometheus_and_back():
    text, content_type = scrape(scenes.snapshot(scenes.alarmed()))
    assert content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert value(text, "evidence", model="sentiment", channel="heads") == 14.25
    assert value(text, "channel_alarm", model="sentiment", channel="heads") == 1
    assert value(text, "channel_alarm", model="sentiment", channel="input") == 0
    assert value(text, "state", model="sentiment", state="alarm") == 1
    assert value(text, "state", model="sentiment", state="quiet") == 0
    assert value(text, "cause", model="sentiment", cause="data") == 1
    assert value(text, "severity", model="sentiment", severity="warning") == 1
    assert value(text, "heads_drifted", model="sentiment") == 2
    assert value(text, "tokens_gained", model="sentiment") == 1
    assert value(text, "head_effect", model="sentiment", layer="3", head="7", statistic="entropy") == -1.3
    assert value(text, "samples_dropped_total", model="sentiment", reason="not_json") == 3
    assert value(text, "job_failures_total", model="sentiment", job_name="profile") == 1
    assert value(text, "layer_statistic", model="sentiment", layer="5", statistic="self") == pytest.approx(
        0.9
    )


def test_figures_of_the_window_stand_beside_the_baselines():
    text, _ = scrape(scenes.snapshot(scenes.alarmed()))
    assert value(text, "input_tokens", model="sentiment", when="baseline") == 21.5
    assert value(text, "input_tokens", model="sentiment", when="window") == 34.0
    assert value(text, "input_unknown_ratio", model="sentiment", when="window") == 0.04
    assert value(text, "input_truncated_ratio", model="sentiment", when="window") == 0.125
    assert value(text, "prediction_mix_ratio", model="sentiment", label="negative", when="baseline") == 0.4
    assert value(text, "prediction_mix_ratio", model="sentiment", label="negative", when="window") == 0.7
    assert value(text, "top_tokens_overlap_ratio", model="sentiment") == 0.85
    assert value(text, "heads_role_changed", model="sentiment", role="self") == 2
    assert value(text, "heads_role_changed", model="sentiment", role="first") == 0
    assert value(text, "layer_effect", model="sentiment", layer="5") == pytest.approx(1.1)
    assert value(text, "layer_importance_ratio", model="sentiment", layer="0") == pytest.approx(1 / 6)


def test_figures_of_the_attributed_samples_are_taken_apart_into_labels():
    text, _ = scrape(scenes.snapshot())
    for labels, expected in {
        ("rollout", "spearman"): 0.4,
        ("rollout", "overlap_at_5"): 0.6,
        ("gradient_times_input", "spearman"): 0.8,
        ("gradient_times_input", "overlap_at_5"): 0.9,
    }.items():
        method, measure = labels
        found = value(text, "attribution_agreement", model="sentiment", method=method, measure=measure)
        assert found == expected
    method, measure = "integrated_gradients", "comprehensiveness"
    assert value(text, "attribution_faithfulness", model="sentiment", method=method, measure=measure) == 0.3
    assert value(text, "attribution_flips_ratio", model="sentiment") == 0.5
    assert value(text, "attribution_share_ratio", model="sentiment", part="special") == 0.1
    assert value(text, "watch_list_share_ratio", model="sentiment", watch_list="gender") == 0.07
    assert value(text, "watch_list_seen_ratio", model="sentiment", watch_list="gender") == 0.75
    assert value(text, "heads_leading", model="sentiment", role="mixed") == 68
    assert not [
        labels for name, labels in samples_of(text) if "clusters" in str(labels) or "drop" in str(labels)
    ]


def test_the_episode_and_its_page_stand_only_while_there_is_an_alarm():
    page = "https://mlflow.example/#/experiments/1/runs/" + "1e" * 16
    text, _ = scrape(scenes.snapshot(scenes.alarmed()))
    assert value(text, "episode_info", model="sentiment", episode="b1-11", run_url=page) == 1
    assert "headwatch_episode_info{" not in scrape(scenes.snapshot(scenes.quiet()))[0]
    assert "headwatch_episode_info{" not in scrape(scenes.snapshot(scenes.cleared()))[0]


def test_an_episode_without_a_page_for_people_has_an_empty_address():
    text, _ = scrape(scenes.snapshot(scenes.alarmed(), episode_url=None, mlflow_run_url=None))
    assert value(text, "episode_info", model="sentiment", episode="b1-11", run_url="") == 1
    run = {"experiment_id": "1", "run_id": "0f" * 16, "run_url": ""}
    assert value(text, "mlflow_run_info", model="sentiment", **run) == 1


def test_the_time_of_all_runs_of_a_job_is_a_counter():
    text, _ = scrape(scenes.snapshot())
    assert value(text, "job_duration_seconds_total", model="sentiment", job_name="profile") == 90


def test_openmetrics_is_served_where_it_is_asked_for():
    text, content_type = scrape(scenes.snapshot(), accept=OPENMETRICS)
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    families = {family.name: family.type for family in parse_openmetrics(text)}
    assert families["headwatch_windows"] == "counter"
    assert families["headwatch_model"] == "info"
    assert families["headwatch_state"] == "gauge"


def test_no_creation_times_are_served():
    assert "_created" not in scrape(scenes.snapshot())[0]
    assert "_created" not in scrape(scenes.snapshot(), accept=OPENMETRICS)[0]


def test_promtool_finds_nothing_to_complain_about():
    need("promtool")
    text, _ = scrape(scenes.snapshot(scenes.alarmed()), every_head=True)
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_a_head_that_left_the_top_heads_leaves_the_scrape():
    snapshots = [scenes.snapshot(scenes.alarmed()), scenes.snapshot(scenes.quiet())]
    registry = build_registry(HeadwatchCollector(lambda: snapshots.pop(0), top_heads=10, every_head=False))
    first, second = (render(registry, "")[0].decode() for _ in range(2))
    assert 'headwatch_head_effect{head="7",layer="3"' in first
    assert 'layer="3",model="sentiment",statistic="entropy"} -1.3' in first
    assert 'headwatch_head_effect{head="7",layer="3"' not in second


def test_the_cause_goes_back_to_zero_when_the_alarm_is_over():
    text, _ = scrape(scenes.snapshot(scenes.cleared()))
    assert value(text, "cause", model="sentiment", cause="data") == 0
    assert not [name for name, _ in samples_of(text) if name == "headwatch_alarm_since_timestamp_seconds"]


def test_series_are_bounded_for_a_model_of_thousands_of_drifted_heads():
    heads = tuple(
        scenes.head(layer, number, "entropy", 20.0, 0.1, 0.9, 2.0, named=True)
        for layer in range(80)
        for number in range(64)
    )
    measures = tuple(scenes.measure(f"p(class {i})", 0.1, 0.2, i / 100) for i in range(1000))
    verdict = scenes.alarmed()
    channels = dict(verdict.channels)
    channels["heads"] = replace(channels["heads"], heads=heads)
    channels["prediction"] = replace(channels["prediction"], measures=measures)
    snapshot = scenes.snapshot(
        replace(verdict, channels=channels),
        layer_profile={f"statistic_{i}": np.zeros(80, dtype=np.float32) for i in range(10)},
    )
    text, _ = scrape(snapshot, top_heads=10)
    series = samples_of(text)
    assert value(text, "heads_drifted", model="sentiment") == 80 * 64
    assert sum(name == "headwatch_head_effect" for name, _ in series) == 10
    assert sum(name == "headwatch_measure_effect" for name, _ in series) == 20
    assert len(series) < 80 * 10 + 5 * 10 + 3 * 20 + 200


def test_two_channels_that_name_one_head_by_one_statistic_give_one_series():
    verdict = scenes.alarmed()
    channels = dict(verdict.channels)
    stronger = scenes.head(3, 7, "entropy", 99.0, 0.7, 0.4, -1.4, named=True)
    channels["model"] = replace(scenes.channel("model", 0.1), heads=(stronger,))
    text, _ = scrape(scenes.snapshot(replace(verdict, channels=channels)))
    labels = {"model": "sentiment", "layer": "3", "head": "7", "statistic": "entropy"}
    assert text.count('headwatch_head_evidence{head="7",layer="3"') == 1
    assert value(text, "head_evidence", **labels) == 99.0


def test_while_the_model_is_changed_the_heads_are_those_of_the_probe():
    """Evidence of the probe is in sd: beside logarithms its heads would stand at any place."""
    verdict = scenes.model_changed()
    named = scenes.head(1, 2, "entropy", 2.5, 0.7, 0.4, -1.4, named=True)
    probe = replace(verdict.channels["model"], heads=(named,))
    text, _ = scrape(scenes.snapshot(replace(verdict, channels={**verdict.channels, "model": probe})))
    assert re.findall(r"^headwatch_head_evidence\{(.*)\} (.*)$", text, re.MULTILINE) == [
        ('head="2",layer="1",model="sentiment",statistic="entropy"', "2.5")
    ]
    assert value(text, "heads_drifted", model="sentiment") == 1


def test_every_head_is_served_only_where_it_was_asked_for():
    assert "headwatch_head_statistic{" not in scrape(scenes.snapshot())[0]
    text, _ = scrape(scenes.snapshot(), every_head=True)
    count = sum(name == "headwatch_head_statistic" for name, _ in samples_of(text))
    assert count == scenes.LAYERS * scenes.HEADS * len(scenes.STATISTICS)


def test_before_the_model_is_loaded_the_scrape_says_starting():
    starting = replace(scenes.snapshot(), identity=None, state="starting", verdict=None, layer_profile={})
    text, _ = scrape(starting)
    assert value(text, "state", model="sentiment", state="starting") == 1
    assert "headwatch_model_info" not in text
    assert "headwatch_evidence" not in text


def test_what_is_unknown_is_left_out_and_never_served_as_nan_or_1970():
    text, _ = scrape(scenes.snapshot(fidelity=math.nan, attribution={"samples": 0.0}))
    assert "headwatch_fidelity_ratio" not in text
    assert "headwatch_attribution_agreement" not in text
    assert not [v for v in samples_of(text).values() if math.isnan(v)]
    assert 'headwatch_job_last_success_timestamp_seconds{job_name="probe"' not in text


def test_no_label_ever_shows_a_token_or_a_sentence():
    dropped = {"refused 'my secret text'": 2, "refused another text": 3, "queue_full": 1}
    text, _ = scrape(scenes.snapshot(scenes.alarmed(), samples_dropped=dropped), every_head=True)
    assert "refund" not in text
    assert "secret" not in text
    assert value(text, "samples_dropped_total", model="sentiment", reason="other") == 5


def test_every_reason_that_headwatch_itself_gives_keeps_its_name():
    reasons = [*DROP_REASONS, "unreadable", "overload", "expired"]
    dropped = {reason: count for count, reason in enumerate(reasons, start=1)}
    text, _ = scrape(scenes.snapshot(samples_dropped=dropped))
    assert {
        dict(labels)["reason"]: count
        for (name, labels), count in samples_of(text).items()
        if name == "headwatch_samples_dropped_total"
    } == dropped


def test_names_and_labels_keep_to_prometheus_guidelines():
    for metric in METRICS.values():
        assert re.fullmatch("headwatch_[a-z][a-z_]*", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric.name
        assert metric.name.endswith("_info") == (metric.kind == "info"), metric.name
        # Prometheus sets job and instance itself; the others mean something else to most users.
        assert not {"job", "instance", "type", "service", "env", "le", "token", "text"} & set(metric.labels)
        assert metric.help.endswith(".")
