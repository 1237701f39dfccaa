"""``headwatch compare`` as a deployment pipeline would run it: exit codes, files, table, errors."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from benchmarks.detection.faults import Fault, changed_weights
from monitor.cli import main
from monitor.records import STATISTICS
from tests.comparing.conftest import HEADS, LAYERS, SAMPLES, zeroed
from tests.models import save_tiny


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    return int(left.value.code or 0)


@pytest.fixture
def compared(bert, source, tmp_path):
    """``compared(candidate, *options)``: the exit code and the JSON that was written."""

    def call(candidate: object, *options: object) -> tuple[int, dict | None]:
        output = tmp_path / "out.json"
        code = run(
            "compare",
            "--model",
            bert,
            "--candidate",
            candidate,
            "--input",
            source,
            "--json",
            output,
            *options,
        )
        return code, json.loads(output.read_text()) if output.exists() else None

    return call


@pytest.mark.parametrize("options", [(), ("--fail-on", "any"), ("--fail-on", "important")])
def test_the_same_checkpoint_passes(bert, compared, capfd, options):
    code, document = compared(bert, *options)
    assert code == 0
    assert document["differs"] is False
    assert document["fails"] == {"any": False, "important": False}
    assert capfd.readouterr().out == (
        "No difference: on 24 samples all heads and answers are the same, and so are \ntheir files.\n"
    )


def test_a_zeroed_head_is_named_and_fails_when_told_to(candidate, compared, capfd):
    folder = candidate(zeroed(0, 3))
    assert compared(folder)[0] == 0
    code, document = compared(folder, "--fail-on", "any")
    assert code == 3
    assert document["origins"] == ["L0H3"]
    assert document["begins"] == "L0H3"
    assert document["weights"]["heads"] == ["L0H3"]
    lines = capfd.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("One head was changed, and nothing else: L0H3 (output_norm ")
    row = next(line for line in lines if line.startswith("L0H3"))
    assert row.split()[1] == "origin"


def test_the_json_has_every_statistic_of_every_head(candidate, compared):
    _, document = compared(candidate(zeroed(0, 3)))
    assert len(document["heads"]) == LAYERS * HEADS
    for item in document["heads"]:
        assert tuple(item["statistics"]) == STATISTICS
        assert item["size"] == max(change["size"] for change in item["statistics"].values())
    damaged = document["heads"][3]
    assert damaged["statistic"] == "output_norm"
    # ln(1e-12): a head that writes nothing
    assert damaged["after"] == pytest.approx(-27.631, abs=1e-3)
    assert document["noise"] == {"tolerance": 0.01, "factor": 5.0, "measured": True}
    assert document["samples"] == len(SAMPLES)


def test_important_passes_where_the_head_is_under_the_median(candidate, compared, bert_reading):
    order = bert_reading.importance.mean(axis=0).argsort(axis=None)
    least, most = (divmod(int(place), HEADS) for place in (order[0], order[-1]))
    assert compared(candidate(zeroed(*least), "least"), "--fail-on", "important")[0] == 0
    assert compared(candidate(zeroed(*most), "most"), "--fail-on", "important")[0] == 3


def test_without_a_noise_floor_only_rounding_is_left_out(candidate, compared):
    def nudge(tensors):
        tensors["bert.encoder.layer.0.attention.self.query.weight"] *= 1.01

    folder = candidate(Fault(files=changed_weights(nudge)))
    floored, plain = compared(folder)[1], compared(folder, "--noise-samples", 0)[1]
    assert plain["noise"]["measured"] is False
    assert {item["limit"] for item in plain["heads"]} == {0.01}
    assert floored["heads_moved"] < plain["heads_moved"]


def test_the_page_is_written_beside_the_json(candidate, compared, tmp_path):
    page = tmp_path / "out.html"
    assert compared(candidate(zeroed(0, 3)), "--html", page)[0] == 0
    assert page.read_text().startswith("<!doctype html>")
    assert "One head was changed, and nothing else: L0H3" in page.read_text()


def other_vocabulary(folder: Path) -> None:
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    words = content["model"]["vocab"]
    words["cat"], words["dog"] = words["dog"], words["cat"]
    path.write_text(json.dumps(content))


def test_another_tokenizer_is_refused(candidate, compared, capfd):
    folder = candidate(Fault(files=other_vocabulary))
    code, document = compared(folder, "--fail-on", "any")
    assert (code, document) == (2, None)
    assert (
        capfd.readouterr()
        .err.splitlines()[-1]
        .startswith(f"headwatch: --candidate = {folder}: its tokenizer")
    )


@pytest.mark.parametrize("options,message", [
    ({"num_attention_heads": 2},
     "has 3 layers of 2 heads, the model 3 of 4; compare checkpoints of one shape"),
    ({"num_hidden_layers": 2},
     "has 2 layers of 4 heads, the model 3 of 4; compare checkpoints of one shape"),
])  # fmt: skip
def test_another_shape_is_refused(tmp_path, compared, capfd, options, message):
    from transformers import BertConfig, BertForSequenceClassification

    from tests.models import word_piece_tokenizer

    sizes = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48}
    config = BertConfig(vocab_size=64, max_position_embeddings=64, num_labels=3, **(sizes | options))
    BertForSequenceClassification(config).save_pretrained(tmp_path / "other")
    word_piece_tokenizer().save_pretrained(tmp_path / "other")
    capfd.readouterr()
    assert compared(tmp_path / "other", "--fail-on", "any") == (2, None)
    assert capfd.readouterr().err == f"headwatch: --candidate = {tmp_path / 'other'}: {message}\n"


def test_another_architecture_is_refused(tmp_path, compared, capfd):
    other = save_tiny("roberta", tmp_path / "other")
    capfd.readouterr()
    assert compared(other)[0] == 2
    assert capfd.readouterr().err == (
        f"headwatch: --candidate = {other}: is RobertaForSequenceClassification for sequence-classification, "
        "the model BertForSequenceClassification for sequence-classification; compare checkpoints of one "
        "architecture\n"
    )


def test_a_candidate_that_is_not_there_is_wrong_usage_and_no_difference(compared, capfd):
    assert compared("/none", "--fail-on", "any") == (2, None)
    assert capfd.readouterr().err == (
        "headwatch: --candidate = /none: is no directory; give a Hugging Face model directory\n"
    )


def test_a_model_that_is_not_there_is_named_by_its_own_option(bert, source, tmp_path, capfd):
    options = ("--candidate", bert, "--input", source, "--json", tmp_path / "o.json")
    assert run("compare", "--model", "/none", *options) == 2
    assert capfd.readouterr().err == (
        "headwatch: --model = /none: is no directory; give a Hugging Face model directory\n"
    )


@pytest.mark.parametrize("content,message", [
    ("", '--input = IN: has no sample; give JSONL lines as in {"text": "..."}'),
    ('{"text": "the cat"}\n',
     ("--input = IN: gives the model 1 sample; at least 2 are needed to know a spread, and some dozens to "
      "know it well")),
])  # fmt: skip
def test_too_few_samples_are_asked_for(bert, tmp_path, capfd, content, message):
    source = tmp_path / "in.jsonl"
    source.write_text(content)
    options = ("--model", bert, "--candidate", bert, "--json", tmp_path / "o.json")
    assert run("compare", "--input", source, *options) == 4
    assert capfd.readouterr().err.replace(str(source), "IN") == f"headwatch: {message}\n"


def test_samples_that_the_model_cannot_take_are_named_and_left_out(bert, candidate, tmp_path, capfd):
    source, output = tmp_path / "in.jsonl", tmp_path / "o.json"
    lines = [{"id": s.id, "text": s.text} for s in SAMPLES] + [{"id": "strange", "input_ids": [2, 500]}]
    source.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert run("compare", "--model", bert, "--candidate", bert, "--input", source, "--json", output) == 0
    assert capfd.readouterr().err.splitlines()[:2] == [
        "skipped: strange: input_ids: 500 is outside the model's vocabulary of 64",
        f"{source}: 1 of 25 samples skipped",
    ]
    assert json.loads(output.read_text())["samples"] == len(SAMPLES)


def test_a_file_that_cannot_be_written_is_refused_before_the_work(bert, compared, tmp_path, capfd):
    assert compared(bert, "--html", tmp_path / "no" / "out.html") == (2, None)
    assert capfd.readouterr().err == (
        f"headwatch: --html = {tmp_path / 'no' / 'out.html'}: its folder does not exist; make it or choose "
        "another\n"
    )


def test_a_re_saved_checkpoint_is_the_same(bert, tmp_path, compared):
    from transformers import AutoModelForSequenceClassification

    again = tmp_path / "again"
    shutil.copytree(bert, again)
    (again / "model.safetensors").unlink()
    AutoModelForSequenceClassification.from_pretrained(bert).save_pretrained(again, max_shard_size="20KB")
    code, document = compared(again, "--fail-on", "any")
    assert code == 0
    assert document["weights"]["files"] is True
    assert document["differs"] is False
