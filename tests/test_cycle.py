"""The cycle in one process: backlogs, broken models, restarts; nothing odd is ever read as quiet."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from monitor.analyse import Analyser
from monitor.config.configuration import Config
from monitor.cycle import Cycle
from monitor.errors import BaselineError, ModelError
from monitor.privacy import WordPrivacy
from monitor.records import OutboxRecord, Sample, ServedPrediction, Verdict
from monitor.replay.model import load_model
from monitor.replay.probe_inputs import load_probe_texts
from monitor.state.store import StateStore

WORDS = "the quiet harbour woke early while small boats carried fresh bread to every waiting door".split()
WINDOW = 40
LEARNING = 5


class Bench:
    """A cycle on a state file of its own, with a clock that tests move."""

    def __init__(self, folder: Path, model: Path, *, registered: bytes | None = None) -> None:
        self.registered = registered
        self.now = 1_700_000_000.0
        self.folder = folder
        self.model = model
        self.config = Config.model_validate(
            {
                "model": {"source": str(model)},
                "window": {"requests": WINDOW, "samples": WINDOW, "minimum_samples": 30},
                "baseline": {"duration": "0s", "samples": LEARNING * WINDOW, "minimum_samples": 200},
                "drift": {"false_alarms": "1 per 8640 windows"},
                "state": {"file": str(folder / "state.sqlite")},
            }
        )
        if registered is not None:
            section = self.config.baseline.model_copy(update={"source": "registry"})
            self.config = self.config.model_copy(update={"baseline": section})
        self.draw = random.Random(7)
        self.sent = 0
        self.open()

    def open(self) -> None:
        """As after a restart."""
        self.store = StateStore(
            self.config.state.file,
            settings=self.config.state,
            window=self.config.window,
            clock=lambda: self.now,
        )
        self.cycle = Cycle(
            config=self.config,
            store=self.store,
            load=lambda: Analyser(load_model(self.config.model), self.config.analysis),
            probe_texts=load_probe_texts(),
            privacy=WordPrivacy(key=bytes(32), minimum_requests=5),
            sinks=frozenset({"notification", "episode", "attribution"}),
            fetch_baseline=self.fetch,
            clock=lambda: self.now,
            should_stop=lambda: False,
        )
        self.cycle.start()

    def fetch(self, name: str) -> bytes:
        assert name == "model"
        assert self.registered is not None, "nobody asked for a registered baseline"
        return self.registered

    def reopen(self) -> None:
        self.store.close()
        self.open()

    def send(self, change: Callable[[list[str]], list[str]] = list, **fields: Any) -> None:
        """One window of sentences; ``change`` works on the words of each."""
        samples = []
        for _ in range(WINDOW):
            words = [self.draw.choice(WORDS) for _ in range(self.draw.randint(4, 12))]
            text = " ".join(change(words))
            samples.append(Sample(id=f"s{self.sent}", time=self.now, text=text, **fields))
            self.sent += 1
        self.now += 60.0
        self.store.ingest(samples)

    def run(self) -> None:
        self.cycle.run_profile()
        self.cycle.run_evaluation()

    def learn(self) -> None:
        for _ in range(LEARNING):
            self.send()
            self.run()
        assert self.cycle.baseline is not None

    def verdicts(self) -> list[Verdict]:
        return [Verdict.from_json(json.loads(text)) for text in self.store.verdicts(-1)]

    def states(self) -> list[str]:
        return [verdict.state for verdict in self.verdicts()]

    def outbox(self, kind: str) -> list[OutboxRecord]:
        return self.store.pending_outbox([kind], 100)


@pytest.fixture
def bench(tmp_path: Path, tiny_classifier: Path) -> Iterator[Bench]:
    opened = Bench(tmp_path, Path(shutil.copytree(tiny_classifier, tmp_path / "model")))
    yield opened
    opened.store.close()


def edit_weights(model: Path, name: str, change: Callable[[Any], None]) -> bytes:
    """Change one tensor in place; returns the file as it was."""
    path = model / "model.safetensors"
    before = path.read_bytes()
    tensors = load_file(path)
    change(tensors[name])
    partial = model / "model.partial"
    save_file(tensors, partial, metadata={"format": "pt"})
    partial.rename(path)
    return before


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
        with pytest.raises(BaselineError):
            bench.run()
    assert "output_norm" in bench.cycle.trouble
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
    bench.cycle.run_profile()
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


def test_a_word_that_one_request_repeats_is_not_published(bench: Bench) -> None:
    bench.learn()
    bench.send(lambda words: ["passw0rd"] * 20 if bench.sent % WINDOW == 0 else words)
    bench.run()
    bench.cycle.run_attribution()
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
