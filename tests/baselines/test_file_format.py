from __future__ import annotations

import io
import json
import stat
from dataclasses import replace

import numpy as np
import pytest

from monitor.baselines.build import build_baseline
from monitor.baselines.file_format import baseline_bytes, check_fits, load_baseline, save_baseline
from monitor.errors import BaselineError
from monitor.privacy import WordPrivacy
from monitor.records import SurveyedHeads
from tests.drift.synthetic import STATISTICS, draw_baseline, draw_features, identity


@pytest.fixture
def baseline():
    return draw_baseline(np.random.default_rng(0), 200)


def test_a_baseline_comes_back_from_its_file_as_it_was(baseline, tmp_path):
    path = tmp_path / "folder" / "b.headwatch"
    save_baseline(baseline, path)
    again = load_baseline(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]
    assert np.array_equal(again.features.profile, baseline.features.profile)
    assert np.array_equal(again.features.times, baseline.features.times)
    assert again.words == baseline.words
    assert again.identity == baseline.identity
    assert again.probe is not None
    assert np.array_equal(again.probe.profile, baseline.probe.profile)
    assert np.array_equal(again.surprisal, baseline.surprisal)
    same = {"features": baseline.features, "probe": baseline.probe, "surprisal": baseline.surprisal}
    assert replace(again, **same) == baseline


def test_a_baseline_comes_back_from_bytes(baseline):
    assert load_baseline(baseline_bytes(baseline)).version == baseline.version


def test_no_text_is_in_the_baseline_and_rare_words_are_hashed():
    privacy = WordPrivacy(key=bytes(32), minimum_requests=20)
    features = draw_features(np.random.default_rng(1), 200)
    made = build_baseline(
        features,
        identity=identity(),
        statistics=STATISTICS,
        probe=None,
        source="live",
        created=1.0,
        word_keys=privacy.name,
        word_key_fingerprint=privacy.fingerprint,
    )
    assert not any(made.features.words)
    assert "film" in made.words
    assert not any(word.startswith("rare") for word in made.words)
    assert b"rare1" not in baseline_bytes(made)
    assert made.word_key_fingerprint == privacy.fingerprint


def test_too_few_samples_make_no_baseline():
    with pytest.raises(BaselineError) as error:
        build_baseline(
            draw_features(np.random.default_rng(1), 99),
            identity=identity(),
            statistics=STATISTICS,
            probe=None,
            source="log",
            created=1.0,
        )
    assert str(error.value) == (
        "baseline samples = 99: must be at least 100, and 2000 are advised; give more inputs"
    )


def rewritten(baseline, **changes) -> bytes:
    with np.load(io.BytesIO(baseline_bytes(baseline)), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    header = {**json.loads(arrays["header"].tobytes()), **changes}
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


@pytest.mark.parametrize("key, value, reads", [("schema", 9, 3), ("statistics_version", 0, 2)])
def test_another_schema_or_definition_is_refused(baseline, key, value, reads):
    with pytest.raises(BaselineError) as error:
        load_baseline(rewritten(baseline, **{key: value}))
    assert str(error.value) == (
        f"baseline bytes: {key} = {value}, this version of headwatch reads {reads}; "
        "build the baseline again with `headwatch baseline build`"
    )


def test_a_file_that_is_no_baseline_is_refused(tmp_path):
    path = tmp_path / "x.headwatch"
    path.write_text("{}")
    with pytest.raises(BaselineError) as error:
        load_baseline(path)
    assert str(error.value) == (
        f"baseline = {path}: is not a baseline file; give one made by `headwatch baseline build`"
    )
    np.savez(tmp_path / "other.npz", profile=np.zeros(3))
    with pytest.raises(BaselineError) as error:
        load_baseline((tmp_path / "other.npz").read_bytes())
    assert str(error.value) == (
        "baseline bytes: is not a baseline file; give one made by `headwatch baseline build`"
    )


def test_pickled_content_is_refused():
    buffer = io.BytesIO()
    np.savez(buffer, header=np.array([{"schema": 1}], dtype=object))
    with pytest.raises(BaselineError) as error:
        load_baseline(buffer.getvalue())
    assert str(error.value).startswith("baseline bytes: damaged (Object arrays cannot be loaded")


def test_a_file_that_was_cut_short_is_refused(baseline):
    content = baseline_bytes(baseline)
    with pytest.raises(BaselineError) as error:
        load_baseline(content[: len(content) // 2])
    assert str(error.value) == "baseline bytes: the file is cut short; restore it or build it again"


def test_a_missing_array_is_refused(baseline):
    with np.load(io.BytesIO(baseline_bytes(baseline)), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files if name != "features/profile"}
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    with pytest.raises(BaselineError) as error:
        load_baseline(buffer.getvalue())
    assert str(error.value) == ("baseline bytes: damaged ('profile'); restore the file or build it again")


@pytest.mark.parametrize("version", ["../../etc/cron.d/x", "0123456789AB", "0123456789abc", None, 5])
def test_a_version_that_could_be_a_path_is_refused(baseline, version):
    with pytest.raises(BaselineError) as error:
        load_baseline(rewritten(baseline, version=version))
    assert str(error.value) == (
        f"baseline bytes: version = {version!r}: must be twelve hexadecimal digits; "
        "restore the file or build it again"
    )


@pytest.mark.parametrize(
    "changes, damage",
    [
        ({"requests": 199}, "times is float64 (200,), its header tells of numbers (199,)"),
        (
            {"statistics": ["entropy", "self"]},
            "profile is float32 (200, 3, 4, 4), its header tells of numbers (200, 3, 4, 2)",
        ),
        (
            {"identity": {"layers": 6}},
            "profile is float32 (200, 3, 4, 4), its header tells of numbers (200, 6, 4, 4)",
        ),
        (
            {"identity": {"labels": ["a", "b", "c"]}},
            "prediction is float32 (200, 4), its header tells of numbers (200, 5)",
        ),
    ],
)
def test_arrays_that_are_not_what_the_header_tells_are_damage(baseline, changes, damage):
    changed = {
        key: {**baseline.identity.to_json(), **value} if key == "identity" else value
        for key, value in changes.items()
    }
    with pytest.raises(BaselineError) as error:
        load_baseline(rewritten(baseline, **changed))
    assert str(error.value) == f"baseline bytes: damaged ({damage}); restore the file or build it again"


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(BaselineError) as error:
        load_baseline(tmp_path / "none.headwatch")
    assert str(error.value) == (
        f"baseline = {tmp_path / 'none.headwatch'}: cannot be read (No such file or directory); "
        "check the path, or build one with `headwatch baseline build`"
    )


def test_a_baseline_fits_its_model_and_the_same_model_with_other_weights(baseline):
    check_fits(baseline, identity(), STATISTICS)
    check_fits(baseline, identity(weights_hash="bbbb"), STATISTICS)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"layers": 12}, "made for layers = 3, this model has 12"),
        (
            {"name": "other", "weights_hash": "bbbb"},
            "made for model 'small', this is 'other' with other weights",
        ),
        ({"labels": ("0", "1")}, "made for labels = ('negative', 'positive'), this model has ('0', '1')"),
    ],
)
def test_a_baseline_of_another_model_is_refused(baseline, changes, message):
    with pytest.raises(BaselineError) as error:
        check_fits(baseline, identity(**changes), STATISTICS)
    assert str(error.value) == (
        f"baseline {baseline.version}: {message}; "
        "build a baseline for this model with `headwatch baseline build`"
    )


def test_a_baseline_with_other_statistics_is_refused(baseline):
    with pytest.raises(BaselineError) as error:
        check_fits(baseline, identity(), STATISTICS[:-1])
    assert str(error.value) == (
        f"baseline {baseline.version}: made with statistics entropy, self, first, separator, this model "
        "gives entropy, self, first; build it again with `headwatch baseline build`"
    )


def test_what_is_hashed_already_is_not_hashed_again():
    privacy = WordPrivacy(key=bytes(32), minimum_requests=20, allowlist=frozenset({"plot"}))
    hashed = privacy.name("film", 3)
    assert hashed.startswith("#")
    assert privacy.name(hashed, 3) == hashed
    assert privacy.name("plot", 0) == "plot"
    assert privacy.name("film", 20) == "film"
    assert "key" not in repr(privacy)


def test_a_lost_key_is_noticed_by_its_fingerprint():
    own, other = WordPrivacy(key=bytes(32)), WordPrivacy(key=bytes(31) + b"x")
    assert own.unseen_count(own.fingerprint) == 0
    assert own.unseen_count("clear") == 0
    assert own.unseen_count(other.fingerprint) == 19


def surveyed(baseline):
    draw = np.random.default_rng(5)
    arrays = {
        name: draw.random((3, 4, width)).astype(np.float32)
        for name, width in (("distances", 2), ("distances_error", 2), ("roles", 3), ("roles_error", 3))
    }
    survey = SurveyedHeads(samples=50, bins=("0", "+1"), role_names=("self", "local", "dead"), **arrays)
    return replace(baseline, survey=survey, attribution={"spearman": 0.4})


def test_what_a_survey_and_attribution_said_comes_back(baseline):
    made = surveyed(baseline)
    again = load_baseline(baseline_bytes(made))
    assert again.attribution == {"spearman": 0.4}
    assert (again.survey.samples, again.survey.bins) == (50, ("0", "+1"))
    assert again.survey.role_names == ("self", "local", "dead")
    for name in ("distances", "distances_error", "roles", "roles_error"):
        assert np.array_equal(getattr(again.survey, name), getattr(made.survey, name))


def test_a_file_from_before_surveys_still_loads(baseline):
    content = baseline_bytes(baseline)
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    header = json.loads(arrays["header"].tobytes())
    del header["survey"], header["attribution"]
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    again = load_baseline(buffer.getvalue())
    assert again.survey is None
    assert again.attribution == {}
    assert again.words == baseline.words


def test_a_survey_of_another_width_than_its_header_is_damage(baseline):
    made = surveyed(baseline)
    broken = replace(made, survey=replace(made.survey, bins=("0", "+1", "+2")))
    with pytest.raises(BaselineError) as error:
        load_baseline(baseline_bytes(broken))
    assert str(error.value) == (
        "baseline bytes: damaged (survey/distances is float32 (3, 4, 2), its header tells of numbers "
        "(3, 4, 3)); restore the file or build it again"
    )
