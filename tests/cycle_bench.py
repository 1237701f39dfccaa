"""A cycle on a state file of its own, with a clock that tests move and traffic that they shape."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from monitor.config.configuration import Config
from monitor.cycle import jobs
from monitor.cycle.state import Cycle
from monitor.privacy import WordPrivacy
from monitor.reading.analyser import Analyser
from monitor.records import OutboxRecord, Sample, Verdict
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
        jobs.run_profile(self.cycle)
        jobs.run_evaluation(self.cycle)

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
        found = [self.store.outbox_record(key) for key in self.store.undelivered([kind])]
        return [record for record in found if record is not None]


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
