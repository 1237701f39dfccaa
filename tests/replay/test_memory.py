"""A GPU that is full: the same numbers from smaller batches, then from the CPU. The fault is injected."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from monitor.analysis.heads.survey import HeadSurvey
from monitor.analysis.settings import AnalysisSettings, ScheduledSettings
from monitor.errors import ModelError
from monitor.reading.analyser import Analyser
from monitor.records import Sample
from monitor.replay.memory import with_room
from monitor.replay.model import load_model
from monitor.replay.settings import ModelSettings

TEXTS = (
    "the cat sat on the mat, and the dog ran.",
    "a dog",
    "it was unable to walk!",
    "river",
    "the cat ran",
)


@pytest.fixture
def analyser(tiny_family: Callable[[str], Path]) -> Analyser:
    return Analyser(load_model(ModelSettings(source=str(tiny_family("bert")))), AnalysisSettings())


def samples() -> list[Sample]:
    return [Sample(id=text, time=0.0, text=text) for text in TEXTS]


def fill_memory(analyser: Analyser, monkeypatch: pytest.MonkeyPatch, *, rows: int) -> list[int]:
    """The network's own forward pass, which runs out of memory for more than so many rows."""
    network = analyser.model.network
    whole, tried = network.forward, []

    def forward(*arguments: Any, **call: Any) -> Any:
        given = call.get("input_ids", call.get("inputs_embeds"))
        tried.append(len(given))
        if len(given) > rows:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(*arguments, **call)

    monkeypatch.setattr(network, "forward", forward)
    return tried


def test_a_batch_that_does_not_fit_is_halved_and_gives_the_same_numbers(
    analyser: Analyser, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = analyser.profile(samples()).analyses
    tried = fill_memory(analyser, monkeypatch, rows=2)
    given = analyser.profile(samples()).analyses
    assert tried == [5, 2, 3, 1, 2]
    assert [one.id for one in given] == [one.id for one in expected]
    for one, other in zip(given, expected, strict=True):
        np.testing.assert_allclose(one.profile, other.profile, atol=2e-5)


def test_attributions_are_taken_in_halves_too(analyser: Analyser, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = analyser.attribute(samples())
    fill_memory(analyser, monkeypatch, rows=16)
    survey = HeadSurvey(ScheduledSettings())
    given = analyser.attribute(samples(), survey=survey)
    assert survey.samples == len(TEXTS)
    assert [one.id for one in given] == [one.id for one in expected]
    assert analyser.model.token_budget < 1024
    for one, other in zip(given, expected, strict=True):
        np.testing.assert_allclose(one.values, other.values, atol=1e-4)


class FullGpu:
    """A model on a GPU without room, as ``with_room`` sees it, until it has moved to the CPU."""

    def __init__(self) -> None:
        self.device = torch.device("cuda")
        self.token_budget = 2

    def halve_budget(self) -> None:
        self.token_budget //= 2

    def move_to_cpu(self) -> None:
        self.device = torch.device("cpu")


def test_a_row_that_does_not_fit_moves_the_model_to_the_cpu_where_the_rest_goes_on() -> None:
    model, tried = FullGpu(), []

    def work(members: Sequence[int]) -> str:
        tried.append((model.device.type, tuple(members)))
        if model.device.type == "cuda":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return model.device.type

    given = list(with_room(model, [4, 7, 9], work))  # type: ignore[arg-type]
    assert given == [([4], "cpu"), ([7, 9], "cpu")]
    assert tried == [("cuda", (4, 7, 9)), ("cuda", (4,)), ("cpu", (4,)), ("cpu", (7, 9))]


def test_what_does_not_fit_the_cpu_either_is_told_with_a_remedy(
    analyser: Analyser, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_memory(analyser, monkeypatch, rows=0)
    with pytest.raises(ModelError) as caught:
        analyser.profile(samples())
    assert str(caught.value) == (
        "model.max_tokens: a single input does not fit into memory; lower it, or give the sidecar more"
    )
