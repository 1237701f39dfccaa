"""Each exit code that a command documents is left with by that command, and no documented one is untried."""

from __future__ import annotations

import json
import socket
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from benchmarks.detection.faults import damaged_head
from monitor.cli import main
from monitor.commands.exit_codes import BY_COMMAND
from monitor.sidecar.status import status_document
from tests.exporters import scenes
from tests.models import save_tiny
from tests.servers import free_port, http_server
from tests.test_terminal import sentences, write_log


class Place:
    """A folder with everything that the commands below are given, right and wrong."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model = save_tiny("bert", folder / "model")
        self.damaged = save_tiny("bert", folder / "damaged")
        damaged_head(0, 1, heads=4, damage="output_zeroed").files(self.damaged)
        self.normal = write_log(folder / "normal.jsonl", sentences(220, seed=1))
        self.few = write_log(folder / "few.jsonl", sentences(40, seed=2))
        self.rubbish = folder / "rubbish"
        self.rubbish.write_bytes(b"rubbish" * 1000)
        self.away = f"http://127.0.0.1:{free_port()}"

    def config(self, name: str, **sections: Any) -> Path:
        file = self.folder / f"{name}.yaml"
        state = {"file": str(self.folder / f"{name}.sqlite")}
        whole = {"model": {"source": str(self.model)}, "state": state, **sections}
        file.write_text(json.dumps(whole))
        return file


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    made = Place(tmp_path_factory.mktemp("codes"))
    build = ["baseline", "build", "--model", made.model, "--input", made.normal]
    assert left_with([*build, "--output", made.folder / "made.headwatch", "--attributions", 0]) == 0
    return made


def left_with(arguments: list[object]) -> int:
    with pytest.raises(SystemExit) as left:
        main([str(one) for one in arguments])
    return int(left.value.code or 0)


def served(**changes: Any) -> Any:
    document = status_document(
        scenes.snapshot(**changes),
        learning={"samples": 0, "wanted": 2000},
        samples_since_alarm=0,
        trouble="",
        links={},
    )
    return http_server(get=lambda path, accept: (json.dumps(document).encode(), "application/json"))


def asked(**changes: Any) -> int:
    with served(**changes) as url:
        return left_with(["status", "--url", url])


def taken_address(place: Place) -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listen = f"127.0.0.1:{listener.getsockname()[1]}"
        return left_with(["run", "-c", place.config("taken", ingest={"listen": listen})])


def listening(**more: Any) -> dict[str, Any]:
    return {
        "ingest": {"listen": f"127.0.0.1:{free_port()}"},
        "exporters": {"prometheus": {"listen": f"127.0.0.1:{free_port()}"}, **more.pop("exporters", {})},
        **more,
    }


def other_state(place: Place, name: str) -> Path:
    with closing(sqlite3.connect(place.folder / f"{name}.sqlite")) as connection:
        connection.execute("CREATE TABLE other (x)")
        connection.execute("PRAGMA user_version = 7")
    return place.config(name, **listening())


def bad_baseline(place: Place, name: str) -> Path:
    return place.config(name, baseline={"file": str(place.rubbish), "from": "file"}, **listening())


def registry(place: Place, name: str) -> Path:
    mlflow = {"mlflow": {"tracking_uri": place.away}}
    return place.config(name, **listening(model={"source": "models:/sentiment@champion"}, exporters=mlflow))


def pigeon(place: Place, name: str) -> Path:
    """A notification URL of no service that apprise knows."""
    urls = place.folder / "urls"
    urls.write_text("pigeon://token-123")
    return place.config(name, **listening(exporters={"notifications": {"urls_file": str(urls)}}))


def no_probe(place: Place, name: str) -> Path:
    return place.config(name, **listening(probe={"file": str(place.folder / "nowhere.txt")}))


def promoted(file: Path) -> int:
    """With a state file in which nothing stands in alarm."""
    from monitor.state.settings import StateSettings, WindowSettings
    from monitor.state.store import StateStore

    StateStore(
        file.with_suffix(".sqlite"), settings=StateSettings(), window=WindowSettings(), clock=lambda: 1.7e9
    ).close()
    return left_with(["baseline", "promote", "--config", file])


def no_model(place: Place) -> Path:
    return place.config("modelless", **listening(model={"source": str(place.folder / "nowhere")}))


def build(place: Place, **changes: object) -> int:
    options = {"--model": place.model, "--input": place.normal, "--output": place.folder / "b.headwatch",
               "--attributions": 0, **changes}  # fmt: skip
    flags = [name for name, value in options.items() if value is True]
    given = [part for name, value in options.items() if value is not True for part in (name, value)]
    return left_with(["baseline", "build", *given, *flags])


def profile(place: Place, **changes: object) -> int:
    options = {"--model": place.model, "--input": place.few, "--output": place.folder / "p.npz", **changes}
    return left_with(["profile", *[part for pair in options.items() for part in pair]])


def explain(place: Place, **changes: object) -> int:
    options = {"--model": place.model, "--text": "the cat", **changes}
    return left_with(["explain", *[part for pair in options.items() for part in pair]])


def compare(place: Place, *more: object, **changes: object) -> int:
    options = {"--model": place.model, "--candidate": place.damaged, "--input": place.few, **changes}
    return left_with(["compare", *[part for pair in options.items() for part in pair], *more])


def backtest(place: Place, **changes: object) -> int:
    made = place.folder / "made.headwatch"
    options = {"--model": place.model, "--baseline": made, "--stream": place.few, "--window": 30, **changes}
    return left_with(["backtest", *[part for pair in options.items() for part in pair]])


NONE = "/no/such/model"
WAYS: dict[tuple[str, int], Callable[[Place], int]] = {
    ("run", 2): taken_address,
    ("run", 3): lambda p: left_with(["run", "-c", no_model(p)]),
    ("run", 4): lambda p: left_with(["run", "-c", no_probe(p, "run4")]),
    ("run", 5): lambda p: left_with(["run", "-c", bad_baseline(p, "run5")]),
    ("run", 6): lambda p: left_with(["run", "-c", other_state(p, "run6")]),
    ("run", 7): lambda p: left_with(["run", "-c", registry(p, "run7")]),
    ("check", 0): lambda p: left_with(["check", "-c", p.config("good")]),
    ("check", 2): lambda p: left_with(["check", "-c", p.folder / "none.yaml"]),
    ("check", 3): lambda p: left_with(["check", "-c", no_model(p)]),
    ("check", 4): lambda p: left_with(["check", "-c", p.config("good"), "--input", p.rubbish]),
    ("check", 5): lambda p: left_with(["check", "-c", bad_baseline(p, "check5")]),
    ("check", 6): lambda p: left_with(["check", "-c", other_state(p, "check6")]),
    ("check", 7): lambda p: left_with(["check", "-c", registry(p, "check7")]),
    ("status", 0): lambda p: asked(),
    ("status", 2): lambda p: left_with(["status", "--url", "sidecar"]),
    ("status", 11): lambda p: asked(verdict=scenes.alarmed()),
    ("status", 12): lambda p: asked(verdict=scenes.replace(scenes.alarmed(), severity="page")),
    ("status", 13): lambda p: left_with(["status", "--url", p.away]),
    ("rules", 0): lambda p: left_with(["rules", "--out", p.folder / "rules.yml"]),
    ("rules", 2): lambda p: left_with(["rules", "--config", p.rubbish]),
    ("profile", 0): profile,
    ("profile", 2): lambda p: profile(p, **{"--output": p.folder}),
    ("profile", 3): lambda p: profile(p, **{"--model": NONE}),
    ("profile", 4): lambda p: profile(p, **{"--input": p.rubbish}),
    ("explain", 0): explain,
    ("explain", 2): lambda p: explain(p, **{"--also": "tea-leaves"}),
    ("explain", 3): lambda p: explain(p, **{"--model": NONE}),
    ("explain", 4): lambda p: explain(p, **{"--text": " "}),
    ("compare", 0): compare,
    ("compare", 2): lambda p: compare(p, **{"--candidate": NONE}),
    ("compare", 3): lambda p: compare(p, "--fail-on", "any"),
    ("compare", 4): lambda p: compare(p, **{"--input": p.rubbish}),
    ("backtest", 0): backtest,
    ("backtest", 2): lambda p: backtest(p, **{"--window": 5}),
    ("backtest", 3): lambda p: backtest(p, **{"--model": NONE}),
    ("backtest", 4): lambda p: backtest(p, **{"--stream": p.rubbish}),
    ("backtest", 5): lambda p: backtest(p, **{"--baseline": p.few}),
    ("baseline build", 0): build,
    ("baseline build", 2): lambda p: build(p, **{"--publish": True}),
    ("baseline build", 3): lambda p: build(p, **{"--model": NONE}),
    ("baseline build", 4): lambda p: build(p, **{"--input": p.rubbish}),
    ("baseline build", 5): lambda p: build(p, **{"--input": p.few}),
    ("baseline build", 7): lambda p: build(p, **{"--publish": True, "--tracking-uri": p.away}),
    ("baseline list", 0): lambda p: left_with(["baseline", "list", p.folder]),
    ("baseline list", 2): lambda p: left_with(["baseline", "list", "--registry", "sentiment"]),
    ("baseline list", 4): lambda p: left_with(["baseline", "list", p.rubbish]),
    ("baseline list", 7): lambda p: left_with(
        ["baseline", "list", "--registry", "sentiment", "--tracking-uri", p.away]
    ),
    ("baseline show", 0): lambda p: left_with(["baseline", "show", p.folder / "made.headwatch"]),
    ("baseline show", 2): lambda p: left_with(
        ["baseline", "show", p.folder / "made.headwatch", "--window", 3]
    ),
    ("baseline show", 5): lambda p: left_with(["baseline", "show", p.rubbish]),
    ("baseline promote", 0): lambda p: left_with(
        ["baseline", "promote", p.folder / "made.headwatch", p.folder / "kept"]
    ),
    ("baseline promote", 2): lambda p: left_with(["baseline", "promote"]),
    ("baseline promote", 3): lambda p: promoted(no_model(p)),
    ("baseline promote", 4): lambda p: promoted(no_probe(p, "promote4")),
    ("baseline promote", 5): lambda p: promoted(p.config("calm", **listening())),
    ("baseline promote", 6): lambda p: left_with(["baseline", "promote", "--config", p.config("unmade")]),
    ("baseline promote", 7): lambda p: promoted(pigeon(p, "promote7")),
}
# What these commands' own tests leave with: a sidecar that is stopped, and the reports of episodes.
ELSEWHERE = {("run", 0), *(("report", code) for code in BY_COMMAND.get("report", {}))}


def test_every_documented_exit_code_is_tried():
    documented = {(name, code) for name, codes in BY_COMMAND.items() for code in codes}
    assert documented - ELSEWHERE == set(WAYS)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: f"{way[0]} {way[1]}")
def test_the_command_leaves_with_the_code_that_is_documented(place, way, monkeypatch, capsys):
    # a server that is away is not waited for
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert WAYS[way](place) == way[1], capsys.readouterr().err
    captured = capsys.readouterr()
    if way[1] not in (0, 11, 12) and way != ("compare", 3):
        assert "Traceback" not in captured.err
        assert captured.err
