"""What a window's attributed subsample leaves in MLflow: numbers that show no text."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from monitor.analysis.heads.survey import HeadSurvey
from monitor.analysis.settings import AnalysisSettings, ScheduledSettings
from monitor.live.attribution_evidence import attribution_metrics, attribution_record
from monitor.live.evidence import changed_roles, window_record
from monitor.reading.analyser import Analyser
from monitor.records import Attribution, HeadId, Sample
from monitor.replay.model import load_model
from monitor.replay.settings import ModelSettings
from tests.drift import synthetic
from tests.exporters import scenes
from tests.models import save_tiny

EVERYTHING = ScheduledSettings(**dict.fromkeys(ScheduledSettings.model_fields, True))
TEXTS = ("the cat sat on the mat, and the dog ran.", "a small dog ran", "the river was very old")


@pytest.fixture(scope="module")
def surveyed(tmp_path_factory: pytest.TempPathFactory) -> tuple[tuple[Attribution, ...], HeadSurvey]:
    folder = save_tiny("bert", tmp_path_factory.mktemp("bert"))
    settings = AnalysisSettings(
        scheduled=EVERYTHING, watch_lists={"pets": ("dog", "cat"), "never": ("play",)}
    )
    survey = HeadSurvey(EVERYTHING)
    analyser = Analyser(load_model(ModelSettings(source=str(folder))), settings)
    given = [Sample(id=str(i), time=0.0, text=text) for i, text in enumerate(TEXTS)]
    return analyser.attribute(given, survey=survey), survey


def test_metrics_are_means_over_the_converged_attributions(
    surveyed: tuple[tuple[Attribution, ...], HeadSurvey],
) -> None:
    attributions, _ = surveyed
    metrics = attribution_metrics(attributions)
    assert metrics["samples"] == 3
    agreed = [item.agreements["gradient_times_input"].spearman for item in attributions]
    assert metrics["gradient_times_input_spearman"] == pytest.approx(np.mean(agreed))
    for method in ("integrated_gradients", "gradient_times_input", "rollout"):
        found = [item.faithfulness[method] for item in attributions]
        assert metrics[f"{method}_comprehensiveness"] == pytest.approx(
            np.mean([f.comprehensiveness for f in found])
        )
        assert metrics[f"{method}_sufficiency"] == pytest.approx(np.mean([f.sufficiency for f in found]))
    thirds = [item.faithfulness["integrated_gradients"].removals[1] for item in attributions]
    assert metrics["top_3_drop"] == pytest.approx(np.mean([removal.drop for removal in thirds]))
    assert metrics["top_3_flips"] == pytest.approx(np.mean([bool(removal.flips) for removal in thirds]))


def test_a_watch_lists_share_is_over_the_texts_that_have_its_words(
    surveyed: tuple[tuple[Attribution, ...], HeadSurvey],
) -> None:
    attributions, _ = surveyed
    metrics = attribution_metrics(attributions)
    shares = [item.shares["watched/pets"] for item in attributions[:2]]
    assert metrics["share_watched_pets"] == pytest.approx(np.mean(shares))
    assert metrics["seen_watched_pets"] == pytest.approx(2 / 3)
    assert not [name for name in metrics if "never" in name]


def test_the_record_holds_every_head_and_no_word_of_the_texts(
    surveyed: tuple[tuple[Attribution, ...], HeadSurvey],
) -> None:
    attributions, survey = surveyed
    record = attribution_record(
        "model/1", 7, 0.0, attributions, {}, head_metrics=survey.metrics(), heads=survey.to_json()
    )
    metrics = json.loads(record.payload)["metrics"]
    assert sum(value for name, value in metrics.items() if name.startswith("heads_")) == 12
    assert {"sink_share", "head_clusters", "pruning_candidates", "norm_weighted_first"} < set(metrics)
    heads = json.loads(record.artifacts["heads.json"])
    assert np.array(heads["leading_roles"]).shape == (3, 4)
    text = record.payload + record.artifacts["heads.json"].decode()
    assert not [word for item in attributions for word in item.words if f'"{word}"' in text]


def test_a_record_without_a_survey_has_no_artifact() -> None:
    record = attribution_record("model/1", 7, 0.0, (), {})
    assert record.artifacts == {}
    assert json.loads(record.payload)["metrics"] == {"samples": 0.0, "unconverged_share": 1.0, "steps": 0.0}


def test_a_window_counts_the_heads_whose_role_changed_since_the_baseline() -> None:
    rng = np.random.default_rng(0)
    baseline = synthetic.draw_baseline(rng, 400)
    window = synthetic.draw_features(rng, 60)
    assert changed_roles(window, baseline) == []
    place = baseline.statistics.index("self")
    profile = window.profile.copy()
    profile[:, 1, 2, place] += 0.6
    moved = replace(window, profile=profile)
    (change,) = changed_roles(moved, baseline)
    assert (change.head, change.role) == (HeadId(layer=1, head=2), "self")
    assert change.after - change.before == pytest.approx(0.6, abs=0.05)
    payload = json.loads(window_record(scenes.quiet(), moved, baseline).payload)
    assert payload["metrics"]["heads/roles_changed"] == 1
