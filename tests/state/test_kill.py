"""``kill -9`` at random moments: what was promised is there, and nothing happened twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from monitor.state.settings import StateSettings, WindowSettings
from monitor.state.store import StateStore

LIVES = 8
ROOT = Path(__file__).parents[2]


def live_and_die(path: Path, life: int, seconds: float) -> list[list[str]]:
    """What one process said before it was killed; only whole lines count."""
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("loop.py")), str(path), str(life)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    said, _ = process.communicate()
    assert process.returncode == -signal.SIGKILL
    return [line.split() for line in said.split("\n")[:-1]]


def test_nothing_acknowledged_is_lost_and_no_window_is_judged_twice(tmp_path):
    path = tmp_path / "state.sqlite"
    chance = random.Random(7)
    said = [line for life in range(LIVES) for line in live_and_die(path, life, chance.uniform(0.1, 1.0))]
    acknowledged = [words[1] for words in said if words[0] == "ack"]
    judged = [int(words[1]) for words in said if words[0] == "judged"]
    assert len(acknowledged) > 30 * LIVES, "the test would show nothing"
    assert len(judged) > LIVES

    window = WindowSettings(samples=30, minimum_samples=10, requests=30)
    store = StateStore(path, settings=StateSettings(), window=window, clock=time.time)
    verdicts = [verdict.split() for verdict in store.verdicts(-1, limit=100_000)]
    present = [name for _, _, names in verdicts for name in names.split(",")]
    waiting = [*store.windows("open"), *store.windows("closed")]
    for row in waiting:
        present += [sample.id for sample in store.window_samples(row.index)]
    for row in store.windows("profiled"):
        present += store.load_features(row.index).decode().split(",")

    assert set(acknowledged) <= set(present), "a durable sample was lost"
    assert Counter(present).most_common(1)[0][1] == 1, "a sample was counted twice"
    assert sum(row.received for row in waiting) == sum(row.kept for row in waiting)

    indices = [int(index) for index, _, _ in verdicts]
    assert indices == list(range(len(indices))), "windows are judged in order, each once"
    assert set(judged) <= set(indices)
    assert max(Counter(judged).values()) == 1
    assert {received for _, received, _ in verdicts} == {"30"}
    state = (store.detector_state("m") or b"").decode()
    assert state == "".join(f"{index}," for index in indices), "the detector saw each window once"

    pending = list(store.undelivered(["window", "attribution", "notification"]))
    assert {key for key in pending if key.startswith("window-")} == {f"window-{index}" for index in indices}
    sent = {words[1] for words in said if words[0] == "sent"}
    alarms = {f"alarm-{index}" for index in indices}
    left = {key for key in pending if key.startswith("alarm-")}
    assert sent | left == alarms
    # A kill between sending and marking leaves at most one record a life to be sent again.
    assert len(sent & left) <= 1
    store.close()
