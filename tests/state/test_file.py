"""The state file: its mode, its text, and what is said of a file that cannot be used."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import time

import pytest
from pydantic import ValidationError

from monitor.errors import StateError
from monitor.records import Sample
from monitor.state import database
from monitor.state import store as store_module
from monitor.state.settings import StateSettings, WindowSettings


def test_the_file_and_its_log_are_private(open_store, texts, tmp_path):
    (tmp_path / "state.sqlite").touch(mode=0o644)
    store = open_store()
    store.ingest(texts(1))
    for path in tmp_path.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600, path


def _on_disk(folder):
    return b"".join(path.read_bytes() for path in sorted(folder.glob("state.sqlite*")))


def test_text_is_gone_from_the_disk_once_its_last_analysis_is_done(open_store, tmp_path):
    secret = "the quick brown secret"
    store = open_store(requests=40)
    store.ingest([Sample(id=str(i), time=0.0, text=f"{secret} {i} " * 300) for i in range(40)])
    assert secret.encode() in _on_disk(tmp_path)
    kept = store.window_samples(0)[0].id
    store.store_features(0, b"", attribution_ids=[kept])
    assert f"{secret} {kept} ".encode() in _on_disk(tmp_path)
    assert _on_disk(tmp_path).count(secret.encode()) <= 300, "one sample waits for its attribution"
    store.commit_attribution(0, outbox=[])
    assert secret.encode() not in _on_disk(tmp_path)


def test_text_past_its_retention_is_overwritten_and_counted(open_store, tmp_path, clock):
    secret = "the quick brown secret"
    store = open_store(requests=40)
    store.ingest([Sample(id=f"a{i}", time=0.0, text=f"{secret} {i} " * 300) for i in range(40)])
    store.ingest([Sample(id=f"b{i}", time=0.0, text=f"{secret} {i}") for i in range(3)])
    clock.now += 86399
    store.ingest([Sample(id="new", time=0.0, text="young enough")])
    assert store.maintain().texts_expired == 0
    clock.now += 1
    report = store.maintain()
    assert (report.texts_expired, report.windows_expired, report.wal_truncated) == (33, 1, True)
    assert secret.encode() not in _on_disk(tmp_path)
    assert b"young enough" in _on_disk(tmp_path)
    assert store.windows("closed") == []
    assert [row.index for row in store.windows("expired")] == [0]
    assert store.windows("open")[0].kept == 1


def test_a_sample_that_was_not_drawn_is_overwritten_too(open_store, tmp_path):
    store = open_store()
    store.ingest([Sample(id=str(i), time=0.0, text=f"<secret-{i}>") for i in range(200)])
    store.ingest([Sample(id=f"more{i}", time=0.0, text=f"<secret-more{i}>") for i in range(400)])
    store.maintain()
    kept = {sample.id for sample in store.window_samples(0)}
    found = _on_disk(tmp_path)
    gone = [i for i in (*map(str, range(200)), *(f"more{i}" for i in range(400))) if i not in kept]
    assert not [i for i in gone if f"<secret-{i}>".encode() in found]


def test_old_verdicts_are_pruned(open_store, texts, monkeypatch):
    monkeypatch.setattr(store_module, "KEPT_VERDICTS", 2)
    store = open_store(requests=10)
    for index in range(4):
        store.ingest(texts(10))
        store.store_features(index, b"", attribution_ids=[])
        store.commit_verdict(
            index, str(index), model_key="m", detector_state=b"", outbox=[], keep_features=False
        )
    assert store.maintain().verdicts_pruned == 2
    assert store.verdicts(-1) == ["2", "3"]
    store.ingest(texts(10))
    assert [row.index for row in store.windows("closed")] == [4], "an index never comes back"


def test_a_file_of_another_schema_is_refused(open_store, tmp_path):
    path = tmp_path / "state.sqlite"
    other = sqlite3.connect(path)
    other.execute("PRAGMA user_version = 99")
    other.execute("CREATE TABLE theirs (a)")
    other.close()
    with pytest.raises(StateError) as caught:
        open_store()
    assert str(caught.value) == (
        f"state.file = {path}: has schema 99, this version reads 1; "
        "move it away to start afresh, or run the version that wrote it"
    )


def test_a_file_that_is_no_database_is_refused(open_store, tmp_path):
    path = tmp_path / "state.sqlite"
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(StateError) as caught:
        open_store()
    assert str(caught.value) == (
        f"state.file = {path}: is damaged or no state file (file is not a database); "
        "move it away to start afresh"
    )
    assert path.read_bytes() == b"not a database at all" * 100


def test_a_damaged_file_is_refused(open_store, texts, tmp_path):
    path = tmp_path / "state.sqlite"
    store = open_store()
    for number in range(20):
        store.ingest(texts(30, f"{number}-"))
    store.maintain()
    store.close()
    content = bytearray(path.read_bytes())
    content[4096:20480] = b"\xff" * 16384
    path.write_bytes(content)
    with pytest.raises(StateError) as caught:
        open_store()
    message = str(caught.value)
    assert message.startswith(f"state.file = {path}: is damaged or no state file (")
    assert message.endswith("); move it away to start afresh")


def test_a_folder_that_is_missing_is_named(tmp_path, clock):
    path = tmp_path / "missing" / "state.sqlite"
    with pytest.raises(StateError) as caught:
        store_module.StateStore(path, settings=StateSettings(), window=WindowSettings(), clock=clock)
    assert str(caught.value) == (
        f"state.file = {path}: cannot be opened (No such file or directory); "
        "name a file in a folder that exists and that this user may write to"
    )


def test_a_file_that_another_process_holds_is_named_after_a_wait(open_store, texts, tmp_path, monkeypatch):
    monkeypatch.setattr(database, "LOCK_TIMEOUT", 0.2)
    path = tmp_path / "state.sqlite"
    store = open_store()
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            (
                "import sqlite3, sys; db = sqlite3.connect(sys.argv[1], isolation_level=None); "
                "db.execute('BEGIN IMMEDIATE'); print('held', flush=True); sys.stdin.read()"
            ),
            str(path),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(StateError) as caught:
        store.ingest(texts(1))
    assert str(caught.value) == (
        f"state.file = {path}: is locked by another process; "
        "stop that one, or give each headwatch a file of its own"
    )
    holder.communicate("")
    store.ingest(texts(1))
    assert store.pending_samples() == 1


def test_a_closed_store_says_so(open_store, tmp_path):
    store = open_store()
    store.close()
    with pytest.raises(StateError) as caught:
        store.pending_samples()
    assert str(caught.value) == f"state.file = {tmp_path / 'state.sqlite'}: is closed; open it again"


def test_threads_write_and_read_side_by_side_without_errors(open_store, texts, record):
    store = open_store(requests=100)
    failures: list[BaseException] = []

    def guarded(work):
        def run():
            try:
                work()
            except BaseException as error:
                failures.append(error)

        return threading.Thread(target=run)

    def ingest(name):
        for number in range(30):
            store.ingest(texts(20, f"{name}-{number}-"))

    def cycle():
        end = time.monotonic() + 20
        judged = 0
        while judged < 12 and time.monotonic() < end:
            for window in store.windows("closed"):
                store.window_samples(window.index)
                store.store_features(window.index, bytes(200_000), attribution_ids=[])
                store.commit_verdict(
                    window.index,
                    "{}",
                    model_key="m",
                    detector_state=b"",
                    outbox=[record(f"w{window.index}", size=1000)],
                    keep_features=False,
                )
                judged += 1

    threads = [guarded(lambda: ingest("a")), guarded(lambda: ingest("b")), guarded(cycle)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(store.verdicts(-1)) == 12
    assert sum(row.received for row in store.windows("judged")) == 1200


@pytest.mark.parametrize(
    "model, values, message",
    [
        (WindowSettings, {"samples": 1}, "must be at least 30; fewer samples cannot be told from noise"),
        (WindowSettings, {"minimum_samples": 300}, "must be at least window.minimum_samples (=300)"),
        (WindowSettings, {"requests": 50}, "must be at least window.minimum_samples (=100)"),
        (
            StateSettings,
            {"text_retention": "2d"},
            "must be from 1m to 24h; production text is never kept longer than a day",
        ),
        (StateSettings, {"outbox": "1kB"}, "must be at least 1MiB; one record of evidence can be that large"),
    ],
)
def test_settings_that_cannot_work_are_refused(model, values, message):
    with pytest.raises(ValidationError) as caught:
        model(**values)
    (error,) = caught.value.errors()
    assert error["msg"] == f"Value error, {message}"
