"""The cycle in one process: backlogs, broken models, restarts; nothing odd is ever read as quiet."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from monitor.cycle import jobs
from monitor.drift.state import DetectorState
from monitor.errors import ModelError
from monitor.live.evidence import load_npz
from monitor.records import Sample, ServedPrediction
from monitor.replay.probe_inputs import load_probe_texts
from tests.cycle_bench import LEARNING, WINDOW, WORDS, Bench, edit_weights


@pytest.fixture
def bench(tmp_path: Path, tiny_classifier: Path) -> Iterator[Bench]:
    opened = Bench(tmp_path, Path(shutil.copytree(tiny_classifier, tmp_path / "model")))
    yield opened
    opened.store.close()


def test_a_backlog_at_the_end_of_learning_is_judged_against_the_new_baseline(bench: Bench) -> None:
    for _ in range(LEARNING + 3):
        bench.send()
    bench.run()
    assert bench.states() == ["learning"] * LEARNING + ["quiet"] * 3


def test_a_backlog_of_an_outage_is_judged_to_its_last_window(bench: Bench) -> None:
    bench.learn()
    for _ in range(30):
        bench.send()
    bench.run()
    assert [verdict.window for verdict in bench.verdicts()] == list(range(LEARNING + 30))
    assert bench.cycle.dropped["overload"] == 0


def test_a_window_that_the_model_cannot_read_is_no_quiet_one_and_holds_nothing_up(bench: Bench) -> None:
    bench.learn()
    bench.store.ingest([Sample(id=f"bad{i}", time=bench.now, input_ids=(999_999, 5)) for i in range(WINDOW)])
    bench.send()
    bench.run()
    assert bench.states()[-2:] == ["too_few_samples", "quiet"]
    assert bench.cycle.dropped["unreadable"] == WINDOW


def test_a_model_that_gives_no_numbers_for_some_inputs_pages(bench: Bench) -> None:
    bench.learn()
    word = bench.cycle.analyser.model.tokenizer.convert_tokens_to_ids("library")
    assert any("library" in text for text in load_probe_texts())

    def break_word(embeddings: Any) -> None:
        embeddings[word] = float("nan")

    edit_weights(bench.model, "bert.embeddings.word_embeddings.weight", break_word)
    bench.send()
    bench.run()
    newest = bench.verdicts()[-1]
    assert (newest.alarm, newest.causes, newest.severity) == (True, ("model",), "page")


def test_a_model_that_cannot_be_compared_any_more_is_trouble(bench: Bench) -> None:
    bench.learn()
    name = "bert.encoder.layer.0.attention.self.query.weight"
    edit_weights(bench.model, name, lambda tensor: tensor.fill_(float("nan")))
    bench.send()
    for _ in range(2):
        with pytest.raises(ModelError):
            bench.run()
    assert bench.cycle.trouble == (
        f"model.source = {bench.model}: gives NaN or infinity for plain text; its weights are damaged, or "
        "model.dtype is too coarse for them"
    )
    assert bench.states() == ["learning"] * LEARNING


def test_a_model_that_cannot_be_loaded_is_trouble_until_it_can(bench: Bench) -> None:
    bench.learn()
    path = bench.model / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:1000])
    bench.send()
    with pytest.raises(ModelError):
        bench.run()
    assert bench.cycle.trouble.startswith(f"model.source = {bench.model}: its weights cannot be read")
    assert bench.states() == ["learning"] * LEARNING, "nothing is judged with a model that is not served"
    path.write_bytes(whole)
    bench.run()
    assert bench.cycle.trouble == ""
    assert bench.states()[-1] == "quiet"


def test_features_of_other_weights_are_never_judged(bench: Bench) -> None:
    bench.learn()
    bench.send()
    jobs.run_profile(bench.cycle)
    edit_weights(bench.model, "classifier.bias", lambda tensor: tensor.add_(1.0))
    bench.reopen()
    bench.run()
    newest = bench.verdicts()[-1]
    assert newest.state == "too_few_samples"
    assert newest.summary == "Not judged: the model or its baseline changed after this window was profiled."


def test_weights_that_change_while_learning_start_it_anew(bench: Bench) -> None:
    for _ in range(LEARNING - 1):
        bench.send()
        bench.run()
    edit_weights(bench.model, "classifier.bias", lambda tensor: tensor.add_(1.0))
    bench.send()
    bench.run()
    assert bench.cycle.baseline is None
    assert bench.cycle.learning.samples == WINDOW


def test_an_alarm_stands_after_a_restart(bench: Bench) -> None:
    bench.learn()
    bench.send(lambda words: ["zebra", *words, "quartz"])
    bench.run()
    before = bench.cycle.verdict
    assert before is not None
    assert before.alarm
    bench.reopen()
    assert bench.cycle.verdict == before


def test_a_declared_revision_ends_the_episode_of_the_former_one(bench: Bench) -> None:
    for _ in range(LEARNING):
        bench.send(revision="v1")
        bench.run()
    bench.send(lambda words: ["zebra", *words], revision="v1")
    bench.run()
    bench.send(revision="v2")
    bench.run()
    events = [json.loads(record.payload)["event"] for record in bench.outbox("notification")]
    phases = [json.loads(record.payload)["phase"] for record in bench.outbox("episode")]
    assert (events, phases) == (["raised", "cleared"], ["opened", "closed"])
    assert bench.states()[-1] == "learning"


def test_a_canary_of_another_revision_keeps_the_baseline(bench: Bench) -> None:
    for _ in range(LEARNING):
        bench.send(revision="v1")
        bench.run()
    version = bench.cycle.baseline
    half = [
        Sample(
            id=f"c{i}",
            time=bench.now,
            text=" ".join(bench.draw.choices(WORDS, k=8)),
            revision=f"v{1 + i % 2}",
        )
        for i in range(WINDOW)
    ]
    bench.store.ingest(half)
    bench.run()
    assert bench.cycle.baseline is version
    assert bench.states()[-1] == "quiet"


def test_served_answers_that_disagree_with_the_replay_are_a_serving_fault(bench: Bench) -> None:
    analyses = bench.cycle.analyser.profile([Sample(id="a", time=0.0, text="the harbour")]).analyses
    assert analyses[0].prediction is not None
    usual = analyses[0].prediction.label
    other = {"positive": "negative", "negative": "positive"}[usual]
    for _ in range(LEARNING):
        bench.send(served=ServedPrediction(label=usual))
        bench.run()
    bench.send(served=ServedPrediction(label=other))
    bench.run()
    newest = bench.verdicts()[-1]
    assert (newest.alarm, newest.causes, newest.severity) == (True, ("serving",), "page")


def test_attributions_carry_the_time_of_their_window_however_late_they_are_made(bench: Bench) -> None:
    bench.learn()
    bench.send()
    bench.run()
    bench.now += 3600
    jobs.run_attribution(bench.cycle)
    (record,) = bench.outbox("attribution")
    assert record.created == bench.verdicts()[-1].end


def test_a_word_that_one_request_repeats_is_not_published(bench: Bench) -> None:
    bench.learn()
    bench.send(lambda words: ["passw0rd"] * 20 if bench.sent % WINDOW == 0 else words)
    bench.run()
    jobs.run_attribution(bench.cycle)
    records = bench.outbox("attribution")
    assert len(records) == 1
    assert "passw0rd" not in records[0].payload


def test_learning_spans_its_duration_and_no_more_than_its_samples(bench: Bench) -> None:
    hours = bench.config.model_copy(
        update={"baseline": bench.config.baseline.model_copy(update={"duration": 3600.0})}
    )
    bench.config = hours
    bench.reopen()
    taken = []
    while bench.cycle.baseline is None:
        bench.send()
        bench.run()
        taken.append(bench.cycle.learning.samples)
        assert len(taken) < 100
    assert max(taken) <= LEARNING * WINDOW
    assert 3600 / 60 - 2 <= len(taken) <= 3600 / 60 + 2


def test_a_registered_baseline_serves_on_another_machine(bench: Bench, tmp_path: Path) -> None:
    bench.learn()
    learnt = (tmp_path / "state.baseline").read_bytes()
    (tmp_path / "elsewhere").mkdir()
    other = Bench(tmp_path / "elsewhere", bench.model, registered=learnt)
    try:
        for _ in range(3):
            other.send()
            other.run()
        assert other.states() == ["quiet"] * 3
        other.send(lambda words: ["zebra", *words, "quartz"])
        other.run()
        assert other.verdicts()[-1].alarm
        copy = tmp_path / "elsewhere" / "state.baseline"
        assert copy.stat().st_mode & 0o777 == 0o600
    finally:
        other.store.close()


def test_words_of_a_window_that_waits_for_more_are_gone_when_text_must_be(bench: Bench) -> None:
    bench.learn()
    texts = [{"text": f"passw0rd {i} the quiet harbour"} for i in range(20)]
    refused = [{"input_ids": (999_999, i)} for i in range(20)]
    bench.store.ingest(
        [Sample(id=f"few{i}", time=bench.now, **fields) for i, fields in enumerate([*texts, *refused])]
    )
    bench.run()
    jobs.run_attribution(bench.cycle)
    assert bench.states()[-1] == "too_few_samples"
    assert "passw0rd" in waiting_words(bench)
    bench.now += bench.config.state.text_retention
    jobs.run_attribution(bench.cycle)
    assert waiting_words(bench) == set()
    bench.send()
    bench.run()
    assert bench.states()[-1] == "quiet"


def waiting_words(bench: Bench) -> set[str]:
    """The words that the detector's state on disk holds of windows that wait."""
    (data,) = stored_states(bench)
    state = DetectorState.from_arrays(load_npz(data))
    return set() if state.waiting is None else {word for words in state.waiting.words for word in words}


def stored_states(bench: Bench) -> list[bytes]:
    with closing(sqlite3.connect(bench.config.state.file)) as file:
        query = "SELECT data FROM detectors WHERE model_key != ''"
        return [row[0] for row in file.execute(query)]
