"""``headwatch baseline promote --config``: beside a sidecar that runs, and without one."""

from __future__ import annotations

import json
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from monitor.app import owned
from monitor.cli import main
from monitor.config.configuration import load_config
from monitor.state.store import StateStore
from tests.servers import running, wait_for
from tests.sidecar_process import Sidecar, sidecar

ROOT = Path(__file__).parents[2]
WORDS = "the quiet harbour woke early while small boats carried fresh bread to every waiting door".split()


Promote = Callable[..., tuple[int, list[str], list[str]]]


@pytest.fixture
def promote(capsys: pytest.CaptureFixture[str]) -> Promote:
    """``promote(folder, *options)``: the command in this process, which has imported what it needs."""

    def call(folder: Path, *options: str) -> tuple[int, list[str], list[str]]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main(["baseline", "promote", "--config", str(folder / "headwatch.yaml"), *options])
        out, err = capsys.readouterr()
        return int(left.value.code or 0), out.splitlines(), err.splitlines()

    return call


def promote_alone(folder: Path) -> tuple[int, list[str], list[str]]:
    """The command in a process of its own."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from monitor.cli import main; main()",
            "baseline",
            "promote",
            "--config",
            str(folder / "headwatch.yaml"),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=ROOT,
    )
    return done.returncode, done.stdout.splitlines(), done.stderr.splitlines()


class Traffic:
    """Windows of 40 random sentences; ``extra`` words go into every one of them."""

    def __init__(self, watch: Sidecar) -> None:
        self._watch = watch
        self._draw = random.Random(5)
        self._sent = len(watch.verdicts())

    def windows(self, count: int, *extra: str) -> list[str]:
        for _ in range(count):
            texts = [
                " ".join([*extra, *self._draw.choices(WORDS, k=self._draw.randint(4, 12))]) for _ in range(40)
            ]
            self._watch.send([{"id": f"{self._sent}-{i}", "text": text} for i, text in enumerate(texts)])
            self._sent += 1
        wait_for(
            f"window {self._sent - 1} is judged",
            lambda: len(self._watch.verdicts()) >= self._sent,
            seconds=90,
        )
        return [verdict["state"] for verdict in self._watch.verdicts()[-count:]]


def test_one_command_makes_the_present_the_new_normal_while_the_sidecar_runs_and_without_it(
    tiny_classifier: Path, tmp_path: Path, promote: Promote
) -> None:
    folder = tmp_path / "run"
    model = Path(shutil.copytree(tiny_classifier, tmp_path / "model"))
    watch = sidecar(folder, model=model, privacy={"minimum_requests": 3})
    with running(watch.server):
        traffic = Traffic(watch)
        traffic.windows(5)
        assert traffic.windows(1) == ["quiet"]
        nothing = "no alarm stands, so there is no new normal; to promote a file, name it"
        assert promote(folder) == (5, [], [f"headwatch: baseline promote: {nothing}"])
        assert traffic.windows(5, "zebra")[-1] == "alarm"
        former, episode = watch.status()["baseline"], watch.verdicts()[-1]["episode"]
        code, out, err = promote_alone(folder)
        assert code == 0, err
        new = watch.status()["baseline"]
        assert new != former
        match = re.fullmatch(rf"baseline {new} of (\d+) samples is in force; {former} stays in (.+)", out[0])
        assert match is not None, out
        assert Path(match[2]).name == f"{former}.headwatch"
        assert Path(match[2]).exists()
        assert out[1:] == [f"episode {episode} is closed as accepted, evidence starts anew"]
        assert err[0] == f"warning: {match[1]} samples: below 2000 only larger shifts are found"
        assert watch.status()["state"] == "too_few_samples", "nothing was judged against it yet"
        assert traffic.windows(3, "zebra") == ["quiet"] * 3
    with running(watch.server):
        assert watch.status()["baseline"] == new
        assert Traffic(watch).windows(6)[-1] == "alarm", "now it is the former normal that is odd"
    code, out, err = promote(folder)
    assert code == 0, err
    assert out[0].startswith("baseline ")
    with running(watch.server):
        assert Traffic(watch).windows(2) == ["quiet"] * 2


def test_a_sidecar_that_does_not_answer_promotes_nothing_later_either(
    tiny_classifier: Path, tmp_path: Path, promote: Promote
) -> None:
    folder = tmp_path / "run"
    sidecar(folder, model=tiny_classifier)
    config = load_config(folder / "headwatch.yaml", {})
    state = config.state.file
    StateStore(state, settings=config.state, window=config.window, clock=time.time).close()
    with owned(state):  # as by a sidecar, here one that hangs
        said = "did not answer within --wait = 1 s, nothing was promoted; look into its log, or wait longer"
        assert promote(folder, "--wait", "1") == (
            6,
            [],
            [f"headwatch: baseline promote: the sidecar {said}"],
        )
    with closing(sqlite3.connect(state)) as file:
        assert file.execute("SELECT count(*) FROM meta WHERE key = 'promotion_request'").fetchone() == (0,)


def test_without_a_state_file_there_is_no_alarm(
    tiny_classifier: Path, tmp_path: Path, promote: Promote
) -> None:
    config = tmp_path / "headwatch.yaml"
    config.write_text(
        json.dumps({"model": {"source": str(tiny_classifier)}, "state": {"file": str(tmp_path / "s")}})
    )
    said = "does not exist, so no alarm stands; give the configuration that `headwatch run` has"
    assert promote(tmp_path) == (6, [], [f"headwatch: state.file = {tmp_path / 's'}: {said}"])
