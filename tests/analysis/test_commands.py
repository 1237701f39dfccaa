"""``headwatch profile`` and ``headwatch explain`` as somebody would script them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.analysis.heads.roles import ROLES
from monitor.cli import main
from monitor.replay.images import self_test_images
from tests.families import save_family
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

ANEW = "make it anew with `headwatch profile --heads`"


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


def profiled(model: Path, folder: Path, name: str, lines: tuple[str, ...], *options: object) -> Path:
    source, output = folder / f"{name}.jsonl", folder / f"{name}.npz"
    source.write_text("\n".join(lines))
    assert run("profile", "--model", model, "--input", source, "--output", output, *options) == 0
    return output


def test_profile_prints_what_heads_do_and_writes_it(
    model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    document = tmp_path / "heads.json"
    output = profiled(model, tmp_path, "one", LINES[:2], "--heads", "--heads-json", document)
    printed = capfd.readouterr().out
    for part in (
        "Leading role of each head over 2 samples",
        "Strongest in each role",
        "Attention sinks",
        "Attention, and what it moves",
        "clusters of heads that attend alike",
    ):
        assert part in printed
    assert [line.split()[0] for line in printed.splitlines()[1:4]] == ["L0", "L1", "L2"]
    assert max(map(len, printed.splitlines())) <= 80
    heads = json.loads(document.read_text())
    assert heads["samples"] == 2
    with np.load(output, allow_pickle=False) as arrays:
        names = arrays["role_names"].tolist()
        assert arrays["roles"].shape == (3, 4, len(names))
        np.testing.assert_allclose(
            arrays["roles"][..., names.index("first")], heads["roles"]["first"], atol=1e-5
        )
        # the profile's statistics say the same, sample by sample
        place = arrays["statistics"].tolist().index("first")
        np.testing.assert_allclose(
            arrays["roles"][..., names.index("first")], arrays["profile"][..., place].mean(axis=0), atol=1e-5
        )


def test_profile_names_heads_whose_role_changed_since_another_profile(
    model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    plain = tuple(
        json.dumps({"text": f"the {noun} ran on the {place}"})
        for noun in ("cat", "dog", "house", "mat")
        for place in ("river", "mat", "house")
    )
    marked = tuple(line.replace(" ran on", " , , , . . ,") for line in plain)
    before = profiled(model, tmp_path, "before", plain, "--heads")
    capfd.readouterr()
    document = tmp_path / "changes.json"
    profiled(model, tmp_path, "same", plain, "--against", before)
    assert capfd.readouterr().out == "No head changed its role.\n"
    profiled(model, tmp_path, "after", marked, "--against", before, "--heads-json", document)
    printed = capfd.readouterr().out
    changes = json.loads(document.read_text())["role_changes"]
    assert printed.splitlines()[0] == f"{len(changes)} heads changed the share of a role:"
    assert {change["role"] for change in changes} == {"punctuation"}


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (
            "none",
            (
                "--against = AGAINST: cannot be read (No such file or directory); "
                "give an npz made by `headwatch profile --heads`"
            ),
        ),
        ("plain", "--against = AGAINST: has no head roles; make it anew with `headwatch profile --heads`"),
        ("text", "--against = AGAINST: has no head roles; make it anew with `headwatch profile --heads`"),
        ("other", "--against = AGAINST: is of a model with other heads; profile this one anew"),
        ("empty", f"--against = AGAINST: is cut short or damaged; {ANEW}"),
        ("cut", f"--against = AGAINST: is cut short or damaged; {ANEW}"),
        ("npy", f"--against = AGAINST: has no head roles; {ANEW}"),
        ("words", f"--against = AGAINST: has no head roles; {ANEW}"),
        ("renamed", f"--against = AGAINST: has other head roles than this version; {ANEW}"),
        ("fewer", f"--against = AGAINST: has other head roles than this version; {ANEW}"),
        ("fewer moments", f"--against = AGAINST: has other head roles than this version; {ANEW}"),
    ],
)
def test_profile_says_why_it_cannot_compare_roles(
    kind: str, message: str, model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    against = tmp_path / "against.npz"
    moments, names = np.ones((3, 3, 4, len(ROLES))), np.array(ROLES)
    if kind == "plain":
        profiled(model, tmp_path, "against", LINES[:1])
    elif kind == "text":
        against.write_text("no arrays")
    elif kind == "other":
        other = save_tiny("llama", tmp_path / "llama")
        profiled(other, tmp_path, "against", LINES[:1], "--heads")
        with np.load(against) as arrays:
            kept = {**arrays, "role_moments": arrays["role_moments"][:, :2]}
        np.savez(against, **kept)
    elif kind == "npy":
        with against.open("wb") as file:
            np.save(file, moments)
    elif kind == "words":
        np.savez(against, role_moments=names, role_names=names)
    elif kind == "renamed":
        np.savez(against, role_moments=moments, role_names=np.roll(names, 1))
    elif kind == "fewer":
        np.savez(against, role_moments=moments[..., 1:], role_names=names[1:])
    elif kind == "fewer moments":
        np.savez(against, role_moments=moments[..., 1:], role_names=names)
    elif kind in ("empty", "cut"):
        np.savez(against, role_moments=moments, role_names=names)
        against.write_bytes(b"" if kind == "empty" else against.read_bytes()[:600])
    source = tmp_path / "in.jsonl"
    source.write_text(LINES[0])
    capfd.readouterr()
    code = run(
        "profile", "--model", model, "--input", source, "--output", tmp_path / "out.npz", "--against", against
    )
    assert code == 4
    last = capfd.readouterr().err.splitlines()[-1]
    assert last.replace(str(against), "AGAINST") == f"headwatch: {message}"
    assert not (tmp_path / "out.npz").exists(), "it is told before the long work"


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
        (
            None,
            "out.npz",
            4,
            "--input = IN: cannot be read (No such file or directory); give a JSONL file that exists",
        ),
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
    assert set(document) == {
        "prediction", "tokens", "words", "convergence", "agreement", "agreements", "faithfulness",
        "shares", "summary",
    }  # fmt: skip
    assert set(document["prediction"]) == {"label", "probability", "target"}
    assert [t["token"] for t in document["tokens"]] == [
        "[CLS]", "the", "dog", "was", "un", "##able", ".", "[SEP]"
    ]  # fmt: skip
    assert set(document["tokens"][0]) == {
        "token", "attribution", "rollout", "gradient_times_input", "relevance", "gradient_times_attention",
    }  # fmt: skip
    assert [w["word"] for w in document["words"]] == ["the", "dog", "was", "unable", "."]
    pieces = [t["attribution"] for t in document["tokens"]]
    assert document["words"][3]["attribution"] == pytest.approx(pieces[4] + pieces[5], rel=1e-5)
    assert set(document["convergence"]) == {"delta", "relative_delta", "steps", "converged"}
    assert set(document["agreement"]) == {"spearman", "overlap_at_5"}
    assert document["prediction"]["label"] in document["summary"]


def test_explain_tells_how_far_methods_agree_and_how_faithful_each_is(
    model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    document = explained(capfd, model, "The dog was unable to walk.")
    compared = {"rollout", "gradient_times_input", "relevance"}
    assert set(document["agreements"]) == {*compared, "gradient_times_attention"}
    for agreed in document["agreements"].values():
        assert -1 <= agreed["spearman"] <= 1
        assert agreed["overlap_at_5"] in (0.4, 0.6, 0.8, 1.0)  # 5 of 8 tokens share 2 at least
    assert document["agreements"]["rollout"] == document["agreement"]
    assert set(document["faithfulness"]) == {"integrated_gradients", *compared}
    measured = document["faithfulness"]["integrated_gradients"]
    assert set(measured) == {"comprehensiveness", "sufficiency", "removals"}
    assert [removal["tokens"] for removal in measured["removals"]] == [1, 3, 5]
    drop = measured["removals"][1]["drop"]
    moved = f"{'falls' if drop >= 0 else 'rises'} by {abs(drop):.2f}"
    said = moved if abs(drop) >= 0.005 else "stays as it is"
    assert f"the probability {said}" in document["summary"]


def test_explain_tells_the_share_of_words_that_are_watched(
    model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    options = ("--watch", "pets=the dog, cat", "--watch", "rivers=river")
    document = explained(capfd, model, "The dog ran, a small cat sat!", *options)
    size = [abs(word["attribution"]) for word in document["words"]]
    assert [word["word"] for word in document["words"]][6] == "cat"
    assert document["shares"]["watched/pets"] == pytest.approx((size[0] + size[1] + size[6]) / sum(size))
    assert document["shares"]["punctuation"] == pytest.approx((size[3] + size[8]) / sum(size))
    assert set(document["shares"]) == {"punctuation", "special", "watched/pets"}


def test_explain_shows_relevance_and_flow_when_asked(model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    document = explained(capfd, model, "the dog ran.", "--also", "relevance", "--also", "attention_flow")
    assert {"relevance", "gradient_times_attention", "attention_flow"} < set(document["tokens"][0])
    assert run("explain", "--model", model, "--text", "the dog ran.", "--also", "attention_flow") == 0
    printed = capfd.readouterr().out
    assert printed.splitlines()[0].split() == ["token", "attribution", "rollout", "relevance", "flow"]
    assert "attention flow" in printed
    assert max(map(len, printed.splitlines())) <= 80


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


def test_explain_takes_a_second_text(model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    document = explained(capfd, model, "The dog ran.", "--text-pair", "a small cat")
    assert [t["token"] for t in document["tokens"]] == [
        "[CLS]", "the", "dog", "ran", ".", "[SEP]", "a", "small", "cat", "[SEP]"
    ]  # fmt: skip
    assert [w["word"] for w in document["words"]] == ["the", "dog", "ran", ".", "a", "small", "cat"]


def test_explain_takes_an_image_where_the_model_does(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = save_family("vit", tmp_path / "vit")
    image, other = tmp_path / "in.png", tmp_path / "in.txt"
    image.write_bytes(self_test_images()[0])
    other.write_text("no image")
    capfd.readouterr()
    assert run("explain", "--model", folder, "--image", image, "--json") == 0
    document = json.loads(capfd.readouterr().out)
    assert [t["token"] for t in document["tokens"]][:3] == ["[CLS]", "r0c0", "r0c1"]
    assert len(document["words"]) == 16
    for options, message in (
        (("--text", "a dog"), "--text: this model reads images; give --image with a file"),
        (
            ("--image", other),
            f"--image = {other}: cannot be read (UnidentifiedImageError); send a PNG or JPEG file",
        ),
    ):
        assert run("explain", "--model", folder, *options) == 4
        assert capfd.readouterr().err.splitlines()[-1] == f"headwatch: {message}"


def test_explain_prints_a_table_for_people(model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("explain", "--model", model, "--text", "the dog ran.") == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0].split() == ["token", "attribution", "rollout", "relevance"]
    assert [line.split()[0] for line in lines[1:7]] == ["[CLS]", "the", "dog", "ran", ".", "[SEP]"]
    assert [line.split("  ")[0] for line in lines[8:15]] == [
        "how the methods compare", "method", "Integrated Gradients", "relevance", "attention rollout",
        "gradient x input", "gradient x attention",
    ]  # fmt: skip
    assert sum(line.startswith("The model says 'LABEL_") for line in lines) == 1
    assert any(line.startswith("Share of the attribution: punctuation ") for line in lines)
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--text", " "), 4, "--text: is empty; give the text to explain"),
        ((), 2, "--text: is missing; give the text to explain, or --image with a file"),
        (("--text", "a", "--text-pair", " "), 4, "--text-pair: is empty; give the text to explain"),
        (
            ("--text", "a", "--image", "in.png"),
            2,
            "--image = in.png: is given beside --text; give one of them",
        ),
        (
            ("--text-pair", "a", "--image", "in.png"),
            2,
            "--image = in.png: is given beside --text-pair; give one of them",
        ),
        (
            ("--image", "/none/in.png"),
            4,
            "--image = /none/in.png: cannot be read (No such file or directory); name an image file",
        ),
        (("--image", "/dev/null"), 4, "--image = /dev/null: this model reads text; give --text"),
        (
            ("--text", "a", "--html", "/none/out.html"),
            2,
            "--html = /none/out.html: its folder does not exist; make it or choose another",
        ),
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
            (
                "--task = translation: must be one of auto, sequence-classification, token-classification, "
                "question-answering, causal-lm, encoder-decoder, encoder, image-classification"
            ),
        ),
        (
            ("--text", "a", "--also", "saliency"),
            2,
            "--also = saliency: must be one of relevance, attention_flow",
        ),
        (
            ("--text", "a", "--watch", "names"),
            2,
            "--watch = names: must be a name and its words, as in names=anna,bob",
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
        "set --task to sequence-classification, token-classification, question-answering, causal-lm, "
        "encoder-decoder, encoder or image-classification\n"
    )
    assert run(command, "--model", copy, *own[command], "--task", "sequence-classification") == 0


@pytest.mark.parametrize("command", ["profile", "explain"])
def test_help_tells_the_default_limit(
    command: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert run(command, "--help") == 0
    assert "default: the model's own limit." in " ".join(capfd.readouterr().out.replace("│", " ").split())
