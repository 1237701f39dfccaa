"""The real process from traffic to verdict: learning, a damaged head, a declared rollout, reload."""

from __future__ import annotations

import random
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.servers import running, wait_for
from tests.sidecar_process import Sidecar, sidecar

WORDS = "the quiet harbour woke early while small boats carried fresh bread to every waiting door".split()
LEARNING = 5


class Traffic:
    """Windows of 40 random sentences, each with its own id."""

    def __init__(self, watch: Sidecar) -> None:
        self.windows = 0
        self._watch = watch
        self._draw = random.Random(5)

    def window(self, *, extra: str = "", every: int = 1, **fields: Any) -> dict[str, Any]:
        """Send one window and wait for its verdict; ``extra`` goes into every so-many-th sentence."""
        batch = []
        for i in range(40):
            words = [self._draw.choice(WORDS) for _ in range(self._draw.randint(4, 12))]
            if extra and i % every == 0:
                words.insert(len(words) // 2, extra)
            batch.append({"id": f"{self.windows}-{i}", "text": " ".join(words), **fields})
        self._watch.send(batch)
        self.windows += 1
        wait_for(
            f"window {self.windows - 1} is judged",
            lambda: len(self._watch.verdicts()) >= self.windows,
            seconds=90,
        )
        return self._watch.verdicts()[-1]


@pytest.fixture
def model(tiny_classifier: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_classifier, tmp_path / "model"))


@pytest.fixture(scope="module")
def watch(tiny_classifier: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    """One that several tests may ask; only one of them sends it traffic."""
    started = sidecar(tmp_path_factory.mktemp("run"), model=tiny_classifier, privacy={"minimum_requests": 3})
    with running(started.server):
        yield started


def test_it_learns_then_stays_quiet_then_names_what_moved(model: Path, tmp_path: Path) -> None:
    watch = sidecar(tmp_path / "run", model=model, privacy={"minimum_requests": 3})
    with running(watch.server):
        traffic = Traffic(watch)
        learning = [traffic.window() for _ in range(LEARNING)]
        assert [verdict["state"] for verdict in learning] == ["learning"] * LEARNING
        assert learning[-1]["summary"] == "learning the baseline: 200 of 200 samples"
        assert [traffic.window()["state"] for _ in range(3)] == ["quiet"] * 3

        word = traffic.window(extra="zebra", every=2)
        assert (word["alarm"], word["cause"]) == (True, "data")
        assert word["channels"]["tokens"]["gained"] == ["zebra"]
        _until_quiet(traffic)

        whole = (model / "model.safetensors").read_bytes()
        _damage_a_head(model)
        broken = traffic.window()
        assert (broken["alarm"], broken["cause"], broken["severity"]) == (True, "model", "page")
        top = broken["channels"]["model"]["top"][0]
        assert (top["layer"], top["head"]) == (1, 0)
        _replace(model, whole)
        restored = traffic.window()
        assert not restored["channels"]["model"]["alarm"]


def test_a_declared_revision_gets_its_own_baseline_and_pages_nobody(watch: Sidecar) -> None:
    traffic = Traffic(watch)
    for _ in range(LEARNING):
        traffic.window(revision="v1")
    assert traffic.window(revision="v1")["state"] == "quiet"
    assert traffic.window(revision="v2")["state"] == "learning"
    for _ in range(LEARNING - 1):
        traffic.window(revision="v2")
    assert traffic.window(revision="v2")["state"] == "quiet"
    assert traffic.window(revision="v1")["state"] == "quiet", "a rollback finds its baseline again"


def test_a_reload_takes_a_good_file_and_refuses_a_bad_one(watch: Sidecar) -> None:
    path = watch.server.folder / "headwatch.yaml"
    values = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**values, "window": {"sampels": 3}}))
    assert _reload(watch) == (
        400,
        f"{path}:{_line(path, 'sampels')}: window.sampels: unknown key; did you mean 'samples'?\n",
    )
    assert "headwatch_config_last_reload_successful 0.0" in watch.metrics()
    path.write_text(yaml.safe_dump({**values, "model": {"source": "/elsewhere"}}))
    assert _reload(watch) == (
        400,
        "model: cannot change while running; restart headwatch (a reload takes schedule, drift, privacy)\n",
    )
    path.write_text(yaml.safe_dump({**values, "drift": {"false_alarms": "1 per 100 windows"}}))
    assert _reload(watch) == (200, "configuration reloaded\n")
    assert "headwatch_config_last_reload_successful 1.0" in watch.metrics()
    path.write_text(yaml.safe_dump(values))
    assert _reload(watch) == (200, "configuration reloaded\n"), "as the other tests have it"


def test_a_restart_goes_on_where_it_stopped(model: Path, tmp_path: Path) -> None:
    watch = sidecar(tmp_path / "run", model=model)
    traffic = Traffic(watch)
    with running(watch.server):
        for _ in range(LEARNING - 2):
            traffic.window()
    with running(watch.server):
        for _ in range(2):
            traffic.window()
        evidence = traffic.window()["channels"]["heads"]["evidence"]
    with running(watch.server):
        assert watch.status()["state"] == "quiet"
        assert [verdict["index"] for verdict in watch.verdicts()] == list(range(LEARNING + 1))
        assert watch.verdicts()[-1]["channels"]["heads"]["evidence"] == evidence
        assert traffic.window()["state"] == "quiet"


def test_a_taken_address_is_said_at_once(watch: Sidecar, model: Path, tmp_path: Path) -> None:
    other = sidecar(tmp_path / "other", model=model)
    path = tmp_path / "other" / "headwatch.yaml"
    values = yaml.safe_load(path.read_text())
    taken = watch.ingest.removeprefix("http://")
    path.write_text(yaml.safe_dump({**values, "ingest": {"listen": taken}}))
    ended = subprocess.run(
        list(other.server.command),
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert ended.returncode == 2
    said = f"headwatch: ingest.listen = {taken}: Address already in use; choose a free address\n"
    assert ended.stderr == said


def _until_quiet(traffic: Traffic) -> None:
    for _ in range(6):
        if traffic.window()["state"] == "quiet":
            return
    pytest.fail("the alarm did not clear within 6 quiet windows")


def _damage_a_head(model: Path) -> None:
    """Zero what head 0 of layer 1 writes: the first half of its output projection's columns."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(model / "model.safetensors")
    weight = tensors["bert.encoder.layer.1.attention.output.dense.weight"]
    weight[:, : weight.shape[1] // 2] = 0.0
    partial = model / "model.partial"
    save_file(tensors, partial, metadata={"format": "pt"})
    partial.rename(model / "model.safetensors")


def _replace(model: Path, content: bytes) -> None:
    partial = model / "model.partial"
    partial.write_bytes(content)
    partial.rename(model / "model.safetensors")


def _reload(watch: Sidecar) -> tuple[int, str]:
    request = urllib.request.Request(f"{watch.operations}/-/reload", method="POST")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def _line(path: Path, word: str) -> int:
    lines = path.read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if word in line)
