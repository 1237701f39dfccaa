"""The numbers of a report against plain numpy, and its one form as JSON."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import numpy as np
import pytest

from monitor.errors import InputError
from monitor.records import HeadId
from monitor.report.episode_data import EpisodeReport
from tests.report import episodes

BASELINE, VERDICTS, DURING, PROBE = episodes.story()
REPORT = episodes.report()


def test_the_map_is_the_largest_change_of_a_mean_in_the_baselines_spread():
    for layer in range(3):
        for head in range(4):
            best = 0.0
            for place in range(4):
                before = [float(x) for x in BASELINE.features.profile[:, layer, head, place]]
                after = [float(x) for x in DURING.profile[:, layer, head, place]]
                spread = max(np.std(before), 1e-6)
                change = (sum(after) / len(after) - sum(before) / len(before)) / spread
                best = change if abs(change) > abs(best) else best
            assert REPORT.effects[layer][head] == pytest.approx(best, rel=1e-4)
    assert REPORT.effect_of[1][2] == "entropy"
    assert REPORT.effects[1][2] > 1.0
    assert REPORT.chance == pytest.approx(4 * np.sqrt(1 / len(DURING) + 1 / 600))


def test_a_heads_statistics_have_the_baselines_middle_eight_tenths_and_the_error_of_after():
    story = next(item for item in REPORT.stories if item.head == HeadId(layer=1, head=2))
    first = story.statistics[0]
    before = np.sort(BASELINE.features.profile[:, 1, 2, 0].astype(float))
    after = DURING.profile[:, 1, 2, 0].astype(float)
    assert first.name == "entropy"
    assert first.before == pytest.approx(before.mean())
    assert first.after == pytest.approx(after.mean())
    assert (first.low, first.high) == pytest.approx((before[59:61].mean(), before[539:541].mean()), abs=1e-2)
    assert first.error == pytest.approx(after.std() / np.sqrt(len(after)))
    assert first.effect == pytest.approx((after.mean() - before.mean()) / before.std())
    sizes = [abs(item.effect or 0) for item in story.statistics]
    assert sizes == sorted(sizes, reverse=True)
    assert len(sizes) == 4


def test_a_heads_distances_and_roles_are_those_of_the_two_surveys():
    before, after = episodes.survey(1, samples=150), episodes.survey(2)
    for story in REPORT.stories:
        place = (story.head.layer, story.head.head)
        assert story.distances is not None
        np.testing.assert_allclose(story.distances.before, before.distances[place], rtol=1e-6)
        np.testing.assert_allclose(story.distances.after, after.distances[place], rtol=1e-6)
        moved = max(range(11), key=lambda one: abs(after.roles[place][one] - before.roles[place][one]))
        assert story.roles[0].name == before.role_names[moved]
        assert story.roles[0].after == pytest.approx(float(after.roles[place][moved]))
    assert REPORT.surveyed == (150, 50)


def test_predictions_are_the_labels_that_were_predicted():
    by_name = {item.name: item for item in REPORT.predictions}
    for place, label in enumerate(("negative", "positive")):
        before = np.mean([row[2:].argmax() == place for row in BASELINE.features.prediction])
        after = np.mean([row[2:].argmax() == place for row in DURING.prediction])
        assert (by_name[label].before, by_name[label].after) == pytest.approx((before, after))
    assert by_name["confidence"].after == pytest.approx(float(DURING.prediction[:, 0].mean()), rel=1e-5)
    tokens = next(item for item in REPORT.inputs if item.name == "tokens")
    assert tokens.after == pytest.approx(float(np.exp(DURING.inputs[:, 0].astype(float)).mean()))


def test_the_story_begins_with_the_heads_that_were_named():
    named = [item.head for item in VERDICTS[-1].channels["heads"].heads if item.named]
    assert named
    assert [story.head for story in REPORT.stories][: len(named)] == named[:6]


def test_only_heads_that_were_named_or_moved_by_more_than_chance_have_a_story():
    large = episodes.large()
    assert len(large.stories) == len({story.head for story in large.stories}) == 6
    for made in (REPORT, large):
        for story in made.stories:
            moved = abs(made.effects[story.head.layer][story.head.head])
            assert story.named or moved >= made.chance
    still = episodes.report(during=BASELINE.features)
    assert {story.head for story in still.stories} == {story.head for story in REPORT.stories if story.named}


def test_history_has_each_window_once_with_evidence_beside_its_limit():
    assert [point.window for point in REPORT.history] == [0, 1, 2, 3, 4]
    last = REPORT.history[-1]
    assert last.evidence["tokens"] == pytest.approx(VERDICTS[-1].channels["tokens"].evidence)
    assert last.limit["tokens"] == pytest.approx(VERDICTS[-1].channels["tokens"].limit)
    assert [point.alarm for point in REPORT.history] == [verdict.alarm for verdict in VERDICTS]


def test_the_probes_map_shows_where_the_model_alone_moved():
    assert REPORT.probe is not None
    assert max(map(max, REPORT.probe)) == 0.0
    baseline, verdicts, during, probe = episodes.story(faulty=(1, 2))
    changes = {"verdict": verdicts[-1], "during": during, "reading": probe, "history": verdicts}
    found = episodes.report(baseline=baseline, **changes)
    assert found.probe is not None
    spread = baseline.features.profile[:, 1, 2, 0].astype(float).std()
    moved = np.abs(probe.profile[:, 1, 2, 0].astype(float) - baseline.probe.profile[:, 1, 2, 0]).max()
    assert max(found.probe[0]) == 0.0
    assert found.probe[1][2] == pytest.approx(moved / spread, rel=1e-4)
    assert min(found.probe[2]) > 0.5


def test_a_report_comes_back_from_its_json():
    for made in (REPORT, episodes.large()):
        text = json.dumps(made.to_json(), allow_nan=False)
        again = EpisodeReport.from_json(json.loads(text))
        assert again.to_json() == made.to_json()
        assert again.verdict == made.verdict
        assert again.stories[0].head == made.stories[0].head
        assert len(again.examples) == len(made.examples)


def test_numbers_that_are_none_are_null_and_come_back_as_none():
    broken = replace(REPORT, effects=((float("nan"), float("inf")),))
    values = json.loads(json.dumps(broken.to_json(), allow_nan=False))
    assert values["effects"] == [[None, None]]
    assert np.isnan(EpisodeReport.from_json(values).effects[0][0])


LATER = "this version of headwatch draws 1; give a report.json, or use the version that wrote it"


@pytest.mark.parametrize(
    "change,message",
    [
        ({"schema": 2}, f"r.json: schema = 2: {LATER}"),
        ({"schema": None}, f"r.json: schema = None: {LATER}"),
        (
            {"stories": 3},
            "r.json: damaged (object of type 'int' has no len()); fetch it again from the episode's run",
        ),
    ],
    ids=["later", "none", "damaged"],
)
def test_what_is_no_report_is_refused(change, message):
    values = {**copy.deepcopy(REPORT.to_json()), **change}
    with pytest.raises(InputError) as error:
        EpisodeReport.from_json(values, origin="r.json")
    assert str(error.value) == message


def test_a_baseline_without_survey_or_probe_still_has_a_report():
    bare = replace(BASELINE, survey=None, attribution={}, probe=None)
    found = episodes.report(baseline=bare, reading=None, survey=None)
    assert found.probe is None
    assert all(story.distances is None and story.role_before is None for story in found.stories)
    assert found.surveyed == (0, 0)
