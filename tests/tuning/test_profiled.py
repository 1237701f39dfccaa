from __future__ import annotations

import random
from dataclasses import replace

import pytest

from monitor.analysis.settings import AnalysisSettings
from monitor.errors import InputError
from monitor.reading.analyser import Analyser
from monitor.records import Sample
from monitor.replay.model import load_model
from monitor.replay.settings import ModelSettings
from monitor.tuning.feature_file import feature_bytes, load_features, provenance
from monitor.tuning.profiled import attribute_places, in_windows, profile_chunks, profile_log, to_attribute
from tests.models import WORDS, save_tiny


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny("bert", tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def analyser(folder):
    return Analyser(load_model(ModelSettings(source=str(folder))), AnalysisSettings())


@pytest.fixture(scope="module")
def samples():
    draw = random.Random(3)
    words = [word for word in WORDS if word.isalpha()]
    made = [
        Sample(id=f"s{i}", time=float(i), text=" ".join(draw.choices(words, k=draw.randint(3, 9))))
        for i in range(430)
    ]
    # One that the model refuses, and an id that the log repeats.
    made[7] = Sample(id="bad", time=7.0, input_ids=(999_999,))
    made[8] = replace(made[8], id="s9")
    return made


@pytest.fixture(scope="module")
def profiled(samples, analyser):
    return profile_log(samples, analyser)


def test_every_row_knows_its_place_in_the_log(samples, profiled):
    assert profiled.places.tolist() == [*range(7), *range(8, 430)]
    assert profiled.features.ids == tuple(samples[place].id for place in profiled.places)
    assert profiled.features.times.tolist() == profiled.places.tolist()
    assert profiled.refused == (("bad", "input_ids: 999999 is outside the model's vocabulary of 64"),)


def test_windows_are_the_same_to_the_last_bit_however_the_log_comes(samples, analyser, profiled):
    pieces = [range(130), range(130, 260), range(260, 390)]
    whole = list(in_windows([profiled], pieces))
    streamed = list(in_windows(profile_chunks(samples, analyser), pieces))
    assert [len(window.features) for window in whole] == [129, 130, 130]
    for one, other in zip(whole, streamed, strict=True):
        assert one.places.tolist() == other.places.tolist()
        for name, array in one.features.to_arrays().items():
            if name != "importance":  # the mean of what was profiled together: no verdict reads a window's
                assert array.tobytes() == other.features.to_arrays()[name].tobytes(), name


def test_the_attributed_of_a_window_are_a_uniform_choice_that_larger_ones_hold(samples):
    few, more = (set(to_attribute(samples, range(100, 200), count)) for count in (5, 20))
    assert len(few) == 5
    assert few < more < set(range(100, 200))


def test_integrated_words_are_words_of_their_own_sample(samples, analyser):
    found = attribute_places(samples, [3, 7, 50], analyser)
    assert sorted(found) == [3, 7, 50]
    assert found[7] == (), "refused by the model"
    for place in (3, 50):
        assert set(found[place]) <= set(samples[place].text.split())


def test_features_come_back_from_their_file_as_they_were(samples, analyser, profiled, tmp_path):
    path = tmp_path / "features.npz"
    origin = provenance(samples, analyser)
    kept = replace(profiled, integrated={3: ("cat", "mat"), 4: ()})
    path.write_bytes(feature_bytes(kept, origin))
    again = load_features(path, origin)
    assert (again.stop, again.refused, again.integrated) == (430, kept.refused, kept.integrated)
    for name, array in kept.features.to_arrays().items():
        assert array.tobytes() == again.features.to_arrays()[name].tobytes(), name


def test_features_of_another_log_or_model_are_refused(samples, analyser, profiled, tmp_path):
    path = tmp_path / "features.npz"
    origin = provenance(samples, analyser)
    path.write_bytes(feature_bytes(profiled, origin))
    remedy = "name another file, or delete this one to profile the log again"
    other = {**origin, "weights": "f" * 64}
    with pytest.raises(InputError) as error:
        load_features(path, other)
    assert str(error.value) == (
        f"--features = {path}: was made with another weights ({origin['weights'][:12]}..., now "
        f"ffffffffffff...); {remedy}"
    )
    with pytest.raises(InputError) as error:
        load_features(path, provenance(samples[:-1], analyser))
    assert "was made with another log (" in str(error.value)
    path.write_bytes(b"PK\x03\x04 rubbish")
    with pytest.raises(InputError) as error:
        load_features(path, origin)
    assert str(error.value) == f"--features = {path}: is no file of features; {remedy}"
