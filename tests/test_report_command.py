"""``headwatch report``: from a file, a folder, a state file, a sidecar, an MLflow run, and a backtest."""

from __future__ import annotations

import json
import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
import uvicorn
from mlflow.tracking import MlflowClient
from typer.testing import CliRunner, Result

from exporters.mlflow.runs import MlflowRuns
from monitor.commands import backtest
from monitor.commands import report as report_command
from monitor.config.configuration import Config
from monitor.errors import ConfigError, HeadwatchError, InputError, SidecarError, StateError
from monitor.live.evidence import attributed_record
from monitor.live.reporting import REPORT, kept_report
from monitor.report.episode_data import EpisodeReport
from monitor.report.episode_page import episode_page
from monitor.sidecar.operations import build_operations_app
from monitor.state.store import StateStore
from tests.models import WORDS, save_tiny
from tests.report import episodes
from tests.servers import wait_for

EPISODE = episodes.report()
NEWER = replace(EPISODE, made=EPISODE.made + 900.0, samples=777)


@pytest.fixture(scope="module")
def command() -> Any:
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command("report")(report_command.report)
    app.command("backtest")(backtest.backtest)
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


def write(path: Path, report: EpisodeReport) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report.to_json()), encoding="utf-8")
    return path


def refused(result: Result, kind: type[HeadwatchError]) -> str:
    assert isinstance(result.exception, kind), result.output
    return str(result.exception)


def test_a_report_json_is_drawn_as_it_was(command: Any, tmp_path: Path) -> None:
    source = write(tmp_path / "report.json", EPISODE)
    result = command("report", source, "--output", tmp_path / "page.html")
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{tmp_path / 'page.html'}: New in the inputs: the word “cucumber”\n"
    again = EpisodeReport.from_json(EPISODE.to_json())
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == episode_page(again)


def test_json_prints_the_numbers_that_draw_the_same_page(
    command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = command("report", write(tmp_path / "kept" / "report.json", EPISODE), "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == json.loads(json.dumps(EPISODE.to_json()))
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_of_a_folder_the_newest_report_is_drawn(command: Any, tmp_path: Path) -> None:
    write(tmp_path / "artifacts" / "opened" / "report.json", EPISODE)
    write(tmp_path / "artifacts" / "attributed" / "report.json", NEWER)
    write(tmp_path / "artifacts" / "z" / "report.json", EPISODE)
    result = command("report", tmp_path / "artifacts", "-o", tmp_path / "page.html")
    assert result.exit_code == 0, result.output
    assert "Compared: 777 samples" in (tmp_path / "page.html").read_text(encoding="utf-8")


def state_file(folder: Path, report: EpisodeReport | None) -> Path:
    config = Config.model_validate({"model": {"source": "m"}, "state": {"file": str(folder / "s.sqlite")}})
    store = StateStore(config.state.file, settings=config.state, window=config.window, clock=lambda: 0.0)
    if report is not None:
        store.set_metas(kept_report([report]))
    store.close()
    return Path(config.state.file)


def test_a_state_file_gives_its_newest_report(command: Any, tmp_path: Path) -> None:
    result = command("report", state_file(tmp_path, NEWER), "-o", tmp_path / "page.html")
    assert result.exit_code == 0, result.output
    assert "Compared: 777 samples" in (tmp_path / "page.html").read_text(encoding="utf-8")


@contextmanager
def sidecar(text: str | None) -> Iterator[str]:
    """A sidecar's operations endpoints on a free port."""

    async def reload() -> str | None:
        return None

    app = build_operations_app(
        render=lambda _: (b"", "text/plain"),
        status=dict,
        verdicts=lambda _: [],
        ready=lambda: True,
        reload=reload,
        report=lambda: text,
    )
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    wait_for("the server", lambda: server.started, seconds=20)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def test_a_running_sidecar_is_asked_and_shows_the_page_itself(command: Any, tmp_path: Path) -> None:
    from urllib.request import urlopen

    with sidecar(kept_report([NEWER])[REPORT]) as url:
        result = command("report", "--url", url, "-o", tmp_path / "page.html")
        assert result.exit_code == 0, result.output
        with urlopen(f"{url}/v1/report") as answer:
            assert answer.headers["content-type"].startswith("text/html")
            assert answer.read() == (tmp_path / "page.html").read_bytes()


def test_a_sidecar_that_found_no_drift_says_so(command: Any, tmp_path: Path) -> None:
    with sidecar(None) as url:
        said = refused(command("report", "--url", url, "-o", tmp_path / "page.html"), InputError)
    assert said == f"--url = {url}: has no report yet; one is made when drift is found"
    assert not (tmp_path / "page.html").exists()


def test_no_sidecar_is_an_error_of_its_own(command: Any, tmp_path: Path) -> None:
    result = command("report", "--url", "http://127.0.0.1:1", "-o", tmp_path / "page.html")
    assert refused(result, SidecarError).startswith("--url = http://127.0.0.1:1: does not answer (")


def test_an_mlflow_run_gives_its_newest_report(command: Any, tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    client = MlflowClient(tracking_uri=uri)
    experiment = client.create_experiment("e", artifact_location=(tmp_path / "artifacts").as_uri())
    runs = MlflowRuns(tracking_uri=uri, experiment="e", registry=False)
    for verdict, report in ((replace(EPISODE.verdict, raised=True), EPISODE), (EPISODE.verdict, NEWER)):
        runs.deliver(attributed_record(verdict, verdict.window, report.made, report))
    (run,) = [
        one.info.run_id for one in client.search_runs([experiment], "tags.`headwatch.kind` = 'episode'")
    ]
    result = command("report", "--run", run, "--tracking-uri", uri, "-o", tmp_path / "page.html")
    assert result.exit_code == 0, result.output
    assert "Compared: 777 samples" in (tmp_path / "page.html").read_text(encoding="utf-8")
    other = client.create_run(experiment).info.run_id
    said = refused(command("report", "--run", other, "--tracking-uri", uri, "-o", tmp_path / "p"), InputError)
    assert said == (
        f"--run = {other}: has no report.json; give the run of a drift episode that this version or a "
        "later one made"
    )


@pytest.mark.parametrize(
    "arguments,message",
    [
        (
            ("x.json", "--url", "http://127.0.0.1:1"),
            "SOURCE and --url: say where the report comes from once; leave all but one out",
        ),
        (("--run", "abc"), "--run and --tracking-uri: go together; give both or neither"),
        (("--tracking-uri", "http://m"), "--run and --tracking-uri: go together; give both or neither"),
        (("--json",), "--output = p.html: is for the page, and --json prints; leave one of them out"),
    ],
    ids=["two sources", "no server", "no run", "a page and JSON"],
)
def test_what_does_not_go_together_is_refused(
    command: Any, tmp_path: Path, arguments: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert refused(command("report", *arguments, "-o", "p.html"), ConfigError) == message


def test_files_that_are_no_report_are_named(command: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_text("nothing", encoding="utf-8")
    (tmp_path / "broken").write_bytes(b"SQLite format 3\0" + b"x" * 99)
    cases = {
        tmp_path / "gone": (InputError, "cannot be read (No such file or directory); give a report.json"),
        tmp_path / "empty": (InputError, "holds no report.json; give the artifacts of an episode's run"),
        tmp_path / "text": (InputError, "is no report.json; give one from an episode's run"),
        state_file(tmp_path, None): (InputError, "has no report yet; one is made when drift is found"),
    }
    for path, (kind, message) in cases.items():
        assert refused(command("report", path, "-o", tmp_path / "p.html"), kind) == f"{path}: {message}"
    said = refused(command("report", tmp_path / "broken", "-o", tmp_path / "p.html"), StateError)
    assert said.startswith(f"state.file = {tmp_path / 'broken'}: is damaged or no state file (")
    assert not (tmp_path / "p.html").exists()


# --- from a backtest -----------------------------------------------------------------------------


def log(path: Path, count: int, *, seed: int, words: list[str]) -> Path:
    draw = random.Random(seed)
    lines = [json.dumps({"text": " ".join(draw.choices(words, k=draw.randint(4, 12)))}) for _ in range(count)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("logs")
    words = [word for word in WORDS if word.isalpha()]
    return {
        "model": save_tiny("bert", folder / "tiny"),
        "usual": log(folder / "usual.jsonl", 300, seed=1, words=words[:12]),
        "quiet": log(folder / "quiet.jsonl", 100, seed=2, words=words[:12]),
        "other": log(folder / "other.jsonl", 200, seed=3, words=words[8:]),
    }


def judged(command: Any, logs: dict[str, Path], stream: str, *more: object) -> Result:
    given = ("--model", logs["model"], "--baseline", logs["usual"], "--stream", logs[stream])
    result: Result = command("backtest", *given, "--window", "100", *more)
    return result


def test_a_backtest_writes_the_report_of_its_first_episode(
    command: Any, logs: dict[str, Path], tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    result = judged(command, logs, "other", "--report", page, "--report-texts")
    assert result.exit_code == 0, result.output
    text = page.read_text(encoding="utf-8")
    assert f"{page}: " in result.stdout
    assert "Since window 0, " in text
    assert "Compared: 200 samples of 2 windows since the alarm with 300 samples of baseline" in text
    assert text.count("class=example") == 4
    assert "Where it looks: mean attention by distance" in text


def test_a_backtest_shows_no_text_unless_it_is_asked_for(
    command: Any, logs: dict[str, Path], tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    assert judged(command, logs, "other", "--report", page).exit_code == 0
    text = page.read_text(encoding="utf-8")
    assert "class=example" not in text
    assert "headwatch backtest --report FILE --report-texts" in text


def test_a_quiet_backtest_writes_no_report(command: Any, logs: dict[str, Path], tmp_path: Path) -> None:
    result = judged(command, logs, "quiet", "--report", tmp_path / "page.html")
    assert result.exit_code == 0, result.output
    assert f"{tmp_path / 'page.html'}: not written, for no window is in alarm" in result.stdout
    assert not (tmp_path / "page.html").exists()


def test_a_report_of_several_settings_is_refused(command: Any, logs: dict[str, Path], tmp_path: Path) -> None:
    said = refused(judged(command, logs, "quiet", "--window", "50", "--report", tmp_path / "p"), ConfigError)
    assert said == "--report: is of one setting; leave --labels and --sweep out, give one --window"
    said = refused(judged(command, logs, "quiet", "--report-texts"), ConfigError)
    assert said == "--report-texts: needs --report; give the page to write"
