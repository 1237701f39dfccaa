"""``headwatch status``: the whole screen on constructed statuses, and a real sidecar asked."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from exporters.alerts.rules import alert_rules, page_name
from monitor.cli import main
from monitor.commands.asked import address_of
from monitor.commands.status import exit_code
from monitor.commands.status_text import OVERVIEW, RUNBOOKS, STATE_RUNBOOKS, STATES, report
from monitor.records import State, Suspicion
from monitor.sidecar.status import status_document
from tests.exporters import scenes
from tests.servers import free_port, http_server, wait_for
from tests.sidecar_process import Sidecar, sidecar

ROOT = Path(__file__).parents[1]
ADDRESS = "http://127.0.0.1:9095"
EPISODE = "http://mlflow:5000/#/experiments/1/runs/" + "a1" * 16
DAY = "http://mlflow:5000/#/experiments/1/runs/" + "0f" * 16

ALARM = """\
sentiment: alarm, critical (page)
  Two attention heads of sentiment behave differently; the data changed, not the
  model.

cause       data, lower casing suspected
since       2026-09-21 15:10 UTC, 2 h 10 min ago (window 11)
model       BertForSequenceClassification, 6 layers x 12 heads, revision 7
baseline    b1
last window 12, ended 2026-09-21 15:20 UTC, 2 h 0 min ago: 200 samples of 1,840
            requests

evidence          now    limit
all             14.00     9.06  ████████████████████████
heads           14.25     9.06  ████████████████████████  alarm since window 11
tokens          11.50     9.06  ████████████████████████  alarm since window 11
prediction       0.10     9.06  ░░░░░░░░░░░░░░░░░░░░░░░░
input            4.53     9.06  ████████████░░░░░░░░░░░░

heads       2 named as drifted; those with the strongest evidence:
head        statistic            before        after      effect  importance
L3H7        entropy                0.71 ->      0.42     -1.3 sd        5.0%
L5H0        first                  0.12 ->      0.31     +0.9 sd        5.0%
L1H4        self                   0.21 ->      0.22     +0.1 sd        5.0%

tokens      1 seen more often, 1 less often
samples     1,840 received, 3 dropped (not_json 3), 120 wait to be analysed
served      the replay repeats 99.5% of the served labels
mlflow      30 delivered, 1 failed
outbox      window 4 (8.2 kB)

job         last success           took        runs   failed  skipped
profile     2 h 0 min ago         1.5 s          60        1        2
probe       never                     -           0        0        0

report      http://127.0.0.1:9095/v1/report
episode     http://mlflow:5000/#/experiments/1/runs/a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1
MLflow      http://mlflow:5000/#/experiments/1/runs/0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f
runbook     docs/runbooks/head-drift.md
runbook     docs/runbooks/token-drift.md
verdicts    http://127.0.0.1:9095/v1/verdicts"""

STARTING = """\
sentiment: starting, the model is loading
  Traffic is received and kept; it is judged once the model is loaded.

samples     0 received, 0 dropped, 0 wait to be analysed
outbox      nothing waits

runbook     docs/runbooks/stale.md
verdicts    http://127.0.0.1:9095/v1/verdicts"""

LEARNING = """\
sentiment: learning its baseline
  learning the baseline: 120 of 2000 samples

model       BertForSequenceClassification, 6 layers x 12 heads, revision 7
baseline    none yet: 120 of 2000 samples
last window 10, ended 2026-09-21 15:10 UTC, now: 200 samples of 1,840 requests
"""

STALE = """\
sentiment: stale, no fresh result; an alarm stands, warning (ticket)
  model.source = /models/sentiment: cannot be loaded; finish the deployment
"""


def document(snapshot, *, learning=0, trouble="", **links):
    whole = status_document(
        snapshot,
        learning={"samples": learning, "wanted": 2000},
        samples_since_alarm=0,
        trouble=trouble,
        links={"metrics": f"{ADDRESS}/metrics", "mlflow_run": None, "episode": None, **links},
    )
    # as it arrives: through JSON, which has no NaN
    return json.loads(json.dumps(whole, allow_nan=False))


def alarmed(**changes):
    verdict = scenes.alarmed()
    channels = dict(verdict.channels)
    channels["input"] = replace(channels["input"], evidence=4.53)
    return replace(verdict, channels=channels, **changes)


def starting():
    return replace(
        scenes.snapshot(),
        identity=None,
        baseline="",
        state="starting",
        verdict=None,
        samples_received={},
        samples_dropped={},
        pending_samples=0,
        outbox_records={},
        outbox_bytes=0,
        sink_failures={},
        sink_deliveries={},
        windows={},
        jobs={},
        attribution={},
        fidelity=float("nan"),
    )


def shown(status, columns=80):
    return report(status, address=ADDRESS, columns=columns).plain


# --- what is shown -------------------------------------------------------------------------------


def test_an_alarm_is_told_whole_on_one_screen():
    verdict = alarmed(severity="page", suspicions=(Suspicion(name="lower_casing", sign="seen"),))
    snapshot = scenes.snapshot(verdict, time=verdict.end + 7200)
    assert shown(document(snapshot, mlflow_run=DAY, episode=EPISODE)) == ALARM


def test_a_sidecar_that_is_starting_says_what_becomes_of_the_traffic():
    assert shown(document(starting())) == STARTING


def test_while_the_baseline_is_learnt_its_progress_is_told():
    verdict = replace(
        scenes.quiet(), state="learning", channels={}, summary="learning the baseline: 120 of 2000 samples"
    )
    assert shown(document(scenes.snapshot(verdict, baseline=""), learning=120)).startswith(LEARNING)


def test_a_stale_sidecar_says_why_and_that_its_alarm_stands():
    trouble = "model.source = /models/sentiment: cannot be loaded; finish the deployment"
    stale = document(scenes.snapshot(alarmed(), state="stale"), trouble=trouble)
    assert shown(stale).startswith(STALE)
    assert "runbook     docs/runbooks/stale.md" in shown(stale)


def test_an_old_verdict_is_not_told_as_news():
    text = shown(document(scenes.snapshot(scenes.quiet(), state="too_few_samples")))
    assert text.splitlines()[:2] == [
        "sentiment: too few samples to judge",
        "  The last verdict: sentiment behaves as in its baseline.",
    ]


def test_numbers_that_a_broken_model_made_are_shown_within_their_columns():
    broken = scenes.head(3, 7, "entropy", float("inf"), float("nan"), -1e30, float("inf"), named=True)
    verdict = alarmed(evidence=float("inf"))
    channels = {**verdict.channels, "heads": replace(verdict.channels["heads"], heads=(broken,))}
    text = shown(document(scenes.snapshot(replace(verdict, channels=channels))))
    assert "\nall             > 1e6     9.06  ████" in text
    assert "\nL3H7        entropy                   ? ->    < -1e6    > 1e6 sd" in text
    assert max(map(len, text.splitlines())) <= 80


def test_what_would_steer_the_terminal_is_not_passed_on():
    verdict = alarmed(summary="words changed: '\x1b[2J\x07' 0 % -> 10 % of the inputs")
    text = shown(document(scenes.snapshot(verdict, samples_dropped={"x\x1b]0;y": 1})))
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)
    assert "words changed: '\ufffd[2J\ufffd'" in text


@pytest.mark.parametrize("columns", [80, 120])
def test_every_line_but_links_fits(columns):
    verdict = alarmed(summary="attention of L3H7 entropy changed; " * 20)
    text = shown(document(scenes.snapshot(verdict), episode=f"http://mlflow/{'x' * 200}"), columns)
    assert [line for line in text.splitlines() if len(line) > columns] == [
        f"episode     http://mlflow/{'x' * 200}"
    ]
    assert max(len(line) for line in text.splitlines() if "http" not in line) > columns - 20


def test_bars_are_drawn_in_ascii_where_the_output_has_no_blocks():
    plain = report(document(scenes.snapshot(alarmed())), address=ADDRESS, columns=80, drawn=False).plain
    assert "input            4.53     9.06  ############............\n" in plain
    assert plain.isascii()


def test_every_runbook_page_is_that_of_an_alert():
    rules = [rule["alert"] for group in alert_rules()["groups"] for rule in group["rules"]]
    pages = {page_name(alert) for alert in rules}
    assert {f"{page}.md" for page in (*RUNBOOKS.values(), *STATE_RUNBOOKS.values())} <= pages


def test_links_lead_to_where_the_configuration_says():
    links = {"runbooks": "https://wiki/runbooks/", "dashboards": "https://grafana"}
    lines = shown(document(scenes.snapshot(alarmed()), **links)).splitlines()
    assert "runbook     https://wiki/runbooks/head-drift.md" in lines
    assert f"dashboard   https://grafana/d/{OVERVIEW}" in lines
    dashboard = json.loads((ROOT / "configs" / "grafana" / "dashboards" / "overview.json").read_text())
    assert dashboard["uid"] == OVERVIEW


def test_every_state_has_its_words():
    states = {*State.__args__, "stale", "starting"}
    assert set(STATES) == states


# --- exit codes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("snapshot", "code"),
    [
        (scenes.snapshot(scenes.quiet()), 0),
        (scenes.snapshot(alarmed(severity="note")), 11),
        (scenes.snapshot(alarmed(severity="ticket")), 11),
        (scenes.snapshot(alarmed(severity="page")), 12),
        (scenes.snapshot(scenes.quiet(), state="stale"), 13),
        (scenes.snapshot(scenes.quiet(), state="too_few_samples"), 13),
        (starting(), 13),
        # an alarm ends with a quiet window, not with the traffic
        (scenes.snapshot(alarmed(severity="page"), state="too_few_samples"), 12),
    ],
    ids=["quiet", "info", "warning", "critical", "stale", "too few", "starting", "too few in alarm"],
)
def test_the_exit_code_is_what_a_script_asks_for(snapshot, code):
    assert exit_code(document(snapshot)) == code


# --- asking --------------------------------------------------------------------------------------


@pytest.fixture
def headwatch(capfd):
    def run(*arguments):
        with pytest.raises(SystemExit) as left:
            main([str(one) for one in arguments])
        return left.value.code, *capfd.readouterr()

    return run


def served(body, content_type="application/json"):
    return http_server(get=lambda path, accept: (body, content_type))


def test_the_default_address_is_that_of_the_default_configuration(headwatch, monkeypatch):
    from monitor.commands.status import DEFAULT_URL
    from monitor.config.configuration import PrometheusSettings

    assert address_of(PrometheusSettings().listen) == DEFAULT_URL


@pytest.mark.parametrize(
    ("listen", "reached"),
    [("0.0.0.0:9095", ADDRESS), ("[::]:9095", "http://[::1]:9095"), ("[::1]:1", "http://[::1]:1")],
)
def test_a_sidecar_that_listens_everywhere_is_asked_on_loopback(listen, reached):
    assert address_of(listen) == reached


def test_the_address_is_taken_from_the_configuration(headwatch, tmp_path):
    verdict = scenes.quiet()
    body = json.dumps(document(scenes.snapshot(verdict))).encode()
    with served(body) as url:
        file = tmp_path / "headwatch.yaml"
        listen = url.removeprefix("http://")
        file.write_text(
            yaml.safe_dump({"model": {"source": "/m"}, "exporters": {"prometheus": {"listen": listen}}})
        )
        code, out, err = headwatch("status", "-c", file)
    assert (code, err) == (0, "")
    assert out.startswith("sentiment: quiet\n")
    assert out.endswith(f"verdicts    {url}/v1/verdicts\n")


def test_json_is_the_sidecars_own_document_and_nothing_else(headwatch):
    whole = document(scenes.snapshot(alarmed()))
    with served(json.dumps(whole).encode()) as url:
        code, out, err = headwatch("status", "--url", url, "--json")
    assert (code, err, json.loads(out)) == (11, "", whole)


@pytest.mark.parametrize(
    ("body", "content_type", "what"),
    [
        (b"<html>Prometheus</html>", "text/html", "no JSON"),
        (b'{"status": "UP"}', "application/json", "other JSON"),
        (b"[]", "application/json", "other JSON"),
        (b"\xff\xfe", "application/octet-stream", "no JSON"),
    ],
)
def test_another_server_is_told_from_a_sidecar(headwatch, body, content_type, what):
    with served(body, content_type) as url:
        code, out, err = headwatch("status", "--url", url)
    assert (code, out) == (13, "")
    assert err == (
        f"headwatch: --url = {url}: answers, but is no headwatch ({what}); "
        "give the address of its exporters.prometheus.listen\n"
    )


def test_a_server_that_is_no_http_is_told(headwatch):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        program = (
            "import socket, sys\n"
            "connection, _ = socket.socket(fileno=int(sys.argv[1])).accept()\n"
            "connection.recv(1000)\n"
            "connection.sendall(b'220 mail ready\\r\\n\\r\\n')\n"
        )
        fd = listener.fileno()
        with subprocess.Popen([sys.executable, "-c", program, str(fd)], pass_fds=[fd]) as answering:
            code, _, err = headwatch("status", "--url", url)
            answering.wait(timeout=10)
    assert code == 13
    assert err == (
        f"headwatch: --url = {url}: answers, but is no headwatch (BadStatusLine); "
        "give the address of its exporters.prometheus.listen\n"
    )


def test_a_sidecar_that_is_away_is_exit_code_13(headwatch):
    url = f"http://127.0.0.1:{free_port()}"
    code, out, err = headwatch("status", "--url", url)
    assert (code, out) == (13, "")
    assert err == (
        f"headwatch: --url = {url}: does not answer (Connection refused); "
        "is `headwatch run` up, and is this its exporters.prometheus.listen?\n"
    )


def test_a_sidecar_that_hangs_is_given_up(headwatch):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        code, _, err = headwatch("status", "--url", url, "--timeout", "0.3")
    assert code == 13
    assert err == (
        f"headwatch: --url = {url}: does not answer (nothing within 0.3 s); "
        "is `headwatch run` up, and is this its exporters.prometheus.listen?\n"
    )


@pytest.mark.parametrize(
    "url", ["127.0.0.1:9095", "ftp://host", "http://", "http://host:99999999", "file:///etc/passwd", ""]
)
def test_what_is_no_address_is_wrong_usage(headwatch, url):
    code, _, err = headwatch("status", "--url", url)
    assert (code, err) == (
        2, f"headwatch: --url = {url}: is no address; write it as in http://127.0.0.1:9095\n"
    )  # fmt: skip


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(headwatch, monkeypatch):
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("no_proxy", raising=False)
    with served(json.dumps(document(scenes.snapshot())).encode()) as url:
        assert headwatch("status", "--url", url)[0] == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ("--config", "a.yaml", "--url", ADDRESS),
            "--config = a.yaml: names a sidecar as --url does; leave one of them out",
        ),
        (
            ("--watch", "--json"),
            "--watch: does not go with --json; call `headwatch status --json` in a loop",
        ),
        (
            ("--watch",),
            "--watch: needs a terminal; without one call `headwatch status` in a loop",
        ),
        (
            ("--config", "no.yaml"),
            "no.yaml: no such file; name the configuration with --config, as in configs/minimal.yaml",
        ),
    ],
)
def test_options_that_do_not_go_together_are_wrong_usage(headwatch, options, said):
    assert headwatch("status", *options) == (2, "", f"headwatch: {said}\n")


# --- a terminal ----------------------------------------------------------------------------------


class Terminal:
    """``headwatch`` in a terminal of its own; ``seen`` is what it has drawn."""

    def __init__(self, *arguments: str, columns: int = 100, **environment: str) -> None:
        self._fd, inner = pty.openpty()
        inherited = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "monitor.cli", *arguments],
            cwd=ROOT,
            stdin=inner,
            stdout=inner,
            stderr=inner,
            env={**inherited, "TERM": "xterm", "COLUMNS": str(columns), **environment},
        )
        os.close(inner)
        self.seen = ""

    def read(self, seconds: float = 30) -> str:
        """What has come until the program ends or so much time has gone."""
        end = time.monotonic() + seconds
        while select.select([self._fd], [], [], max(0.0, end - time.monotonic()))[0]:
            try:
                self.seen += os.read(self._fd, 65536).decode()
            except OSError:
                break
        return self.seen

    def close(self) -> int:
        code = self.process.wait(timeout=30)
        os.close(self._fd)
        return code


@pytest.mark.parametrize(
    ("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)], ids=["colours", "NO_COLOR"]
)
def test_colours_are_for_terminals_and_can_be_put_off(environment, coloured):
    with served(json.dumps(document(scenes.snapshot(alarmed()))).encode()) as url:
        terminal = Terminal("status", "--url", url, **environment)
        text = terminal.read()
        assert terminal.close() == 11
    colours = re.findall(r"\x1b\[[0-9;]*3[0-7][0-9;]*m", text)
    assert bool(colours) is coloured
    assert "sentiment: alarm, warning (ticket)" in text


def test_watch_shows_what_is_new_and_outlives_a_sidecar_that_is_away():
    answers = [document(scenes.snapshot(scenes.quiet())), document(scenes.snapshot(alarmed()))]

    def answer(path, accept):
        whole = answers[0] if len(answers) == 1 else answers.pop(0)
        return json.dumps(whole).encode(), "application/json"

    with http_server(get=answer) as url:
        terminal = Terminal("status", "--url", url, "--watch", "--every", "0.5")
        wait_for("the alarm is shown", lambda: "alarm, warning" in terminal.read(1), seconds=60)
    wait_for("its absence is shown", lambda: "does not answer" in terminal.read(1), seconds=60)
    terminal.process.send_signal(signal.SIGINT)
    text = terminal.read()
    assert terminal.close() == 130
    assert "sentiment: quiet" in text
    assert "Traceback" not in text


# --- the real one --------------------------------------------------------------------------------


def ask(watch: Sidecar, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "monitor.cli", "status", "--url", watch.operations, *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def one_sidecar(tiny_classifier, tmp_path_factory):
    made = sidecar(tmp_path_factory.mktemp("watch"), model=tiny_classifier)
    yield made
    made.server.stop()


@pytest.fixture
def watch(one_sidecar):
    """A real one that has judged nothing yet, started unless the test before this one did so."""
    if one_sidecar.server.process is None:
        one_sidecar.server.start()
    return one_sidecar


def test_the_ingest_address_is_told_from_the_operations_address(watch, headwatch):
    code, _, err = headwatch("status", "--url", watch.ingest)
    assert code == 13
    assert err == (
        f"headwatch: --url = {watch.ingest}: answers, but is no headwatch (404 Not Found); "
        "give the address of its exporters.prometheus.listen\n"
    )


def test_a_real_sidecar_is_asked_from_its_start_to_an_alarm(watch):
    sentences = [
        " ".join(
            ("quiet", "harbour", "small", "boats", "bread", "door")[(i * j) % 6] for j in range(2, 5 + i % 7)
        )
        for i in range(240)
    ]
    learning = ask(watch)
    assert learning.returncode == 13
    assert "baseline    none yet: 0 of 200 samples\n" in learning.stdout

    def shown_window():
        return (watch.status()["verdict"] or {"index": -1})["index"]

    def send(texts, name):
        have = len(watch.verdicts())
        watch.send([{"id": f"{name}{i}", "text": text} for i, text in enumerate(texts)])
        # a verdict is durable a moment before the status has it
        wait_for("it is judged and shown", lambda: shown_window() >= have, seconds=60)

    for start in range(0, 200, 40):
        send(sentences[start : start + 40], f"l{start}-")
    wait_for("the baseline stands", lambda: watch.status()["baseline"], seconds=60)
    send(sentences[200:240], "quiet")
    quiet = ask(watch)
    assert quiet.returncode == 0, quiet.stdout
    assert quiet.stdout.startswith("tiny: quiet\n")
    assert "\nall " in quiet.stdout
    assert "240 received, 0 dropped, " in quiet.stdout

    for number in range(3):
        send([f"{text} zeppelin stock market report" for text in sentences[:40]], f"other{number}")
    alarm = ask(watch)
    assert alarm.returncode in (11, 12)
    first, *rest = alarm.stdout.splitlines()
    assert re.fullmatch(r"tiny: alarm, (critical \(page\)|warning \(ticket\))", first)
    assert "cause       data" in rest
    assert any(line.startswith("tokens  ") and line.endswith("alarm since window 6") for line in rest)
    assert "runbook     docs/runbooks/token-drift.md" in rest
    assert max(len(line) for line in rest if "http" not in line) <= 80
    whole = json.loads(ask(watch, "--json").stdout)
    assert whole["verdict"] == watch.verdicts()[-1]
    assert whole["queue"] == {"samples": 0, "limit": 10000}
    watch.server.stop()
    gone = ask(watch)
    assert gone.returncode == 13
    assert "does not answer (Connection refused)" in gone.stderr
