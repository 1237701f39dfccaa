"""Images, regressions and models without readable attention, from the request to the verdict."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from monitor.cli import main
from monitor.errors import PayloadError
from monitor.ingest.limits import PayloadLimits
from monitor.ingest.native import read_sample
from monitor.reading.stacking import stack
from monitor.records import InputFacts, Prediction, RolloutSummary, SampleAnalysis
from monitor.replay.images import png_bytes
from monitor.state.rows import decode_sample, encode_sample
from tests.families import save_family
from tests.models import WORDS

PLAIN = [word for word in WORDS if word.isalpha()]


def read(document: dict[str, Any]) -> Any:
    return read_sample(document, new_id=lambda: "s", now=lambda: 0.0, limits=PayloadLimits())


def test_an_image_comes_through_ingest_and_the_state_file_unchanged() -> None:
    image = png_bytes(torch.zeros(4, 4, 3, dtype=torch.uint8))
    sample = read({"image": base64.b64encode(image).decode()})
    assert sample.image == image
    row = ("s", 0.0, encode_sample(sample), None, None)
    assert decode_sample(row) == sample


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"image": "no base64!"}, "image: is not base64; send the bytes of a PNG or JPEG file in base64"),
        ({"image": 7}, "image: is not base64; send the bytes of a PNG or JPEG file in base64"),
        ({"image": "aGk=", "text": "a"}, "image: given beside a text; give 'image' or 'text', not both"),
    ],
)
def test_what_is_no_image_is_told_in_words(document: dict[str, Any], said: str) -> None:
    with pytest.raises(PayloadError) as caught:
        read(document)
    assert str(caught.value) == said


def log(path: Path, samples: Sequence[dict[str, str]], *, start: float) -> Path:
    lines = [json.dumps({"id": str(i), "time": start + 60 * i, **one}) for i, one in enumerate(samples)]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def texts(count: int, words: Sequence[str], seed: int) -> list[dict[str, str]]:
    draw = random.Random(seed)
    return [{"text": " ".join(draw.choices(words, k=draw.randint(4, 20)))} for _ in range(count)]


def pictures(count: int, light: float, seed: int) -> list[dict[str, str]]:
    draw = torch.Generator().manual_seed(seed)
    drawn = [(torch.rand(20, 20, 3, generator=draw) * 255 * light).to(torch.uint8) for _ in range(count)]
    return [{"image": base64.b64encode(png_bytes(one)).decode()} for one in drawn]


def backtest(folder: Path, baseline: list[dict[str, str]], stream: list[dict[str, str]]) -> None:
    given = log(folder / "baseline.jsonl", baseline, start=1.7e9)
    later = log(folder / "stream.jsonl", stream, start=1.7e9 + 3600 * 24)
    with pytest.raises(SystemExit) as left:
        main(["backtest", "--model", str(folder / "model"), "--baseline", str(given), "--stream", str(later),
              "--window", "100"])  # fmt: skip
    assert left.value.code == 0


def test_a_model_without_readable_attention_still_alarms_when_its_words_change(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_family("longformer", tmp_path / "model")
    backtest(tmp_path, texts(400, PLAIN, 0), [*texts(300, PLAIN, 1), *texts(900, PLAIN[:4], 2)])
    out = capsys.readouterr().out
    assert "words changed" in out
    assert "attention of" not in out


def test_darker_pictures_alarm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_family("vit", tmp_path / "model")
    backtest(tmp_path, pictures(400, 1.0, 0), [*pictures(300, 1.0, 1), *pictures(600, 0.3, 2)])
    out = capsys.readouterr().out
    assert "0 in alarm" not in out
    assert "first: 3" in out


def test_the_features_of_a_regression_are_its_values() -> None:
    prediction = Prediction(label="value", target=0, probability=1.0, entropy=0.0, values=(2.5,))
    nothing = np.zeros((0, 0, 0), dtype=np.float32)
    facts = InputFacts(
        tokens=1,
        unknown_share=0.0,
        truncated=False,
        special_tokens=0,
        tokens_per_word=1.0,
        uppercase_share=0.0,
        punctuation_share=0.0,
    )
    rollout = RolloutSummary(row=np.ones(1, dtype=np.float32), entropy=0.0, special_mass=0.0, reach=0.0)
    analysis = SampleAnalysis(
        id="s", time=0.0, profile=nothing, rollout=rollout, prediction=prediction, served=None, facts=facts,
        tokens=("a",), words=("a",),
    )  # fmt: skip
    features = stack([analysis])
    np.testing.assert_array_equal(features.prediction, [[1.0, 0.0, 2.5]])
