"""``headwatch profile`` and ``headwatch explain`` as somebody would script them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.cli import main
from tests.models import save_tiny

LINES = (
    '{"id": "first", "text": "the cat sat on the mat."}',
    '{"text": "a small dog"}',
    "no json",
    '{"id": "pair", "text": "the dog", "text_pair": "the cat"}',
    '{"id": "ids", "input_ids": [2, 5, 8, 3]}',
    '{"id": "strange", "input_ids": [2, 500]}',
    '{"id": "long", "text": "' + "the dog ran " * 40 + '"}',
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny("bert", tmp_path_factory.mktemp("bert"))


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    return int(left.value.code or 0)


def test_profile_writes_the_arrays_that_others_script_against(
    model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source, output = tmp_path / "in.jsonl", tmp_path / "out.npz"
    source.write_text("\n".join(LINES))
    assert run("profile", "--model", model, "--input", source, "--output", output) == 0
    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines() == [
        "in.jsonl line 3: is no JSON (Expecting value at column 1); write one JSON object a line",
        "1 of the lines skipped",
        "strange: input_ids: 500 is outside the model's vocabulary of 64",
        "1 of the samples skipped",
        f"{output}: 5 samples profiled, 1 of them cut to 64 tokens",
    ]
    with np.load(output, allow_pickle=False) as arrays:
        assert set(arrays) == {"profile", "statistics", "ids", "rollout", "tokens"}
        assert arrays["profile"].shape == (5, 3, 4, 10)
        assert arrays["profile"].dtype == np.float32
        assert arrays["ids"].tolist() == ["first", "line-2", "pair", "ids", "long"]
        assert arrays["statistics"].tolist() == [
            "entropy", "content_entropy", "self", "previous", "first", "separator", "distance",
            "output_norm", "readout_entropy", "readout_special",
        ]  # fmt: skip
        assert arrays["tokens"][3].tolist() == ["[CLS]", "the", "dog", "[SEP]", *[""] * 60]
        np.testing.assert_array_equal(np.isnan(arrays["rollout"]), arrays["tokens"] == "")
        np.testing.assert_allclose(np.nansum(arrays["rollout"], axis=1), 1, atol=1e-5)


def test_profile_cuts_where_it_is_told(model: Path, tmp_path: Path) -> None:
    source, output = tmp_path / "in.jsonl", tmp_path / "out.npz"
    source.write_text(LINES[0])
    assert run("profile", "--model", model, "--input", source, "--output", output, "--max-tokens", 4) == 0
    with np.load(output) as arrays:
        assert arrays["tokens"].tolist() == [["[CLS]", "the", "cat", "[SEP]"]]


@pytest.mark.parametrize(
    ("lines", "output", "code", "message"),
    [
        ("no json", "out.npz", 4, "--input = IN: has no sample; write one JSON object with a 'text' a line"),
        (LINES[5], "out.npz", 4, "--input = IN: the model takes none of its samples; see above for why"),
        (
            LINES[0],
            "no/out.npz",
            2,
            "--output = OUT: its folder does not exist; make it or choose another",
        ),
        (
            LINES[0],
            "in.jsonl/out.npz",
            2,
            "--output = OUT: cannot be written (Not a directory); choose a place that this user may write to",
        ),
        (None, "out.npz", 4, "IN: cannot be read (No such file or directory); give a JSONL file that exists"),
    ],
)
def test_profile_says_what_to_change(
    lines: str | None,
    output: str,
    code: int,
    message: str,
    model: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / output
    if lines is not None:
        source.write_text(lines)
    assert run("profile", "--model", model, "--input", source, "--output", target) == code
    last = capfd.readouterr().err.splitlines()[-1]
    assert last.replace(str(target), "OUT").replace(str(source), "IN") == f"headwatch: {message}"
    assert not target.exists()


def explained(capfd: pytest.CaptureFixture[str], model: Path, text: str, *options: str) -> dict[str, Any]:
    assert run("explain", "--model", model, "--text", text, "--json", *options) == 0
    printed = capfd.readouterr()
    assert printed.err == ""
    document: dict[str, Any] = json.loads(printed.out)
    return document


def test_explain_gives_one_entry_for_each_token_and_word(
    model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    document = explained(capfd, model, "The dog was unable.")
    assert set(document) == {"prediction", "tokens", "words", "convergence", "agreement", "summary"}
    assert set(document["prediction"]) == {"label", "probability", "target"}
    assert [t["token"] for t in document["tokens"]] == [
        "[CLS]", "the", "dog", "was", "un", "##able", ".", "[SEP]"
    ]  # fmt: skip
    assert set(document["tokens"][0]) == {"token", "attribution", "rollout"}
    assert [w["word"] for w in document["words"]] == ["the", "dog", "was", "unable", "."]
    pieces = [t["attribution"] for t in document["tokens"]]
    assert document["words"][3]["attribution"] == pytest.approx(pieces[4] + pieces[5], rel=1e-5)
    assert set(document["convergence"]) == {"delta", "relative_delta", "steps", "converged"}
    assert set(document["agreement"]) == {"spearman", "overlap_at_5"}
    assert document["prediction"]["label"] in document["summary"]


def test_explain_says_when_the_text_was_cut(model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    document = explained(capfd, model, "the dog ran under the house", "--max-tokens", "5")
    assert document["summary"].endswith("Only the first 5 tokens were read; that is --max-tokens.")
    assert len(document["tokens"]) == 5
    document = explained(capfd, model, "the dog ran " * 40, "--max-tokens", "500")
    assert document["summary"].endswith("Only the first 64 tokens were read; the model takes no more.")


def test_explain_ranks_nothing_where_there_are_too_few_tokens(
    model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    document = explained(capfd, model, "the dog")
    assert document["agreement"] == {"spearman": None, "overlap_at_5": None}
    assert "The text has too few tokens to say whether attention rollout agrees." in document["summary"]
    assert "correlation" not in document["summary"]
    assert explained(capfd, model, "the dog ran")["agreement"]["spearman"] is not None


def test_explain_takes_the_task_that_it_is_told(model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    document = explained(capfd, model, "the dog ran", "--task", "encoder")
    assert document["prediction"]["probability"] is None


def test_explain_prints_a_table_for_people(model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("explain", "--model", model, "--text", "the dog ran.") == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0].split() == ["token", "attribution", "rollout"]
    assert [line.split()[0] for line in lines[1:7]] == ["[CLS]", "the", "dog", "ran", ".", "[SEP]"]
    assert lines[8].startswith("The model says 'LABEL_")


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--text", " "), 4, "--text: is empty; give the text to explain"),
        (
            ("--text", "a", "--model", "/none"),
            3,
            "--model = /none: is no directory; give a Hugging Face model directory",
        ),
        (
            ("--text", "caf\udce9"),
            4,
            "--text: is not UTF-8; give it in UTF-8, in a terminal that is set to it",
        ),
        (
            ("--text", "a", "--task", "translation"),
            2,
            "--task = translation: must be one of auto, sequence-classification, causal-lm, encoder",
        ),
        (
            ("--text", "a", "--model", "models:/sentiment/1"),
            3,
            (
                "--model = models:/sentiment/1: is in a model registry, which only `headwatch run` and "
                "`headwatch check` read; give a Hugging Face directory"
            ),
        ),
    ],
)
def test_explain_says_what_to_change(
    options: tuple[str, ...], code: int, message: str, model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run("explain", "--model", model, *options) == code
    assert capfd.readouterr().err == f"headwatch: {message}\n"


@pytest.mark.parametrize("command", ["profile", "explain"])
def test_a_task_that_is_unknown_is_asked_for_by_its_option(
    command: str, model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "model"
    shutil.copytree(model, copy)
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "architectures": ["BertForTokenColours"]}))
    source = tmp_path / "in.jsonl"
    source.write_text(LINES[0])
    own = {"profile": ("--input", source, "--output", tmp_path / "out.npz"), "explain": ("--text", "a dog")}
    assert run(command, "--model", copy, *own[command]) == 3
    assert capfd.readouterr().err == (
        f"headwatch: --task = auto: {copy} names BertForTokenColours, which headwatch does not know; "
        "set --task to sequence-classification, causal-lm or encoder\n"
    )
    assert run(command, "--model", copy, *own[command], "--task", "sequence-classification") == 0


@pytest.mark.parametrize("command", ["profile", "explain"])
def test_help_tells_the_default_limit(
    command: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert run(command, "--help") == 0
    assert "default: the model's own limit." in " ".join(capfd.readouterr().out.replace("│", " ").split())
