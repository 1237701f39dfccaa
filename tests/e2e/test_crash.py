"""``kill -9`` of the real sidecar at random points of its cycles."""

from __future__ import annotations

import json
import random
import sqlite3
import threading
import time
import urllib.error
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.servers import http_server, wait_for
from tests.sidecar_process import Sidecar, sidecar

WORDS = "the quiet harbour woke early while small boats carried fresh bread to every waiting door".split()
KILLS = 5


def test_a_killed_sidecar_loses_nothing_durable_and_judges_and_alerts_each_window_once(
    tmp_path: Path, tiny_classifier: Path
) -> None:
    draw = random.Random(3)
    messages: list[str] = []
    acknowledged: list[str] = []

    def receive(body: bytes) -> int:
        messages.append(str(json.loads(body)["title"]))
        return 200

    with http_server(post=receive) as webhook:
        urls = tmp_path / "urls"
        urls.write_text(webhook.replace("http://", "json://") + "/\n")
        watch = sidecar(
            tmp_path / "run",
            model=tiny_classifier,
            exporters={"notifications": {"urls_file": str(urls)}},
        )
        watch.server.start()
        feeding = threading.Event()
        feeding.set()
        feeder = threading.Thread(target=_feed, args=(watch, draw, acknowledged, feeding))
        feeder.start()
        try:
            for _ in range(KILLS):
                time.sleep(draw.uniform(0.5, 3.0))
                watch.server.stop(kill=True)
                watch.server.start()
        finally:
            feeding.clear()
            feeder.join()
        _wait_until_judged(watch)
        verdicts = watch.verdicts()
        wait_for(
            "the outbox is empty", lambda: not any(watch.status()["outbox"]["records"].values()), seconds=30
        )
        watch.server.stop()

    indexes = [verdict["index"] for verdict in verdicts]
    assert indexes == list(range(len(indexes))), "each window is judged once, none is skipped"
    assert all(verdict["received"] == 40 for verdict in verdicts)
    with closing(sqlite3.connect(watch.state)) as db:
        waiting = db.execute(
            "SELECT coalesce(sum(received), 0) FROM windows WHERE status = 'open'"
        ).fetchone()[0]
        # A batch whose answer the crash swallowed may be in; one that was acknowledged must be.
        assert 40 * len(verdicts) + waiting >= len(acknowledged)
    pairs = zip([None, *verdicts], verdicts, strict=False)
    assert len(messages) == sum(_messages(before, now) for before, now in pairs), (
        "each alert is sent, and once",
        messages,
        [(verdict["index"], verdict["episode"], verdict["severity"]) for verdict in verdicts],
    )
    assert len(messages) > 0, "the shifted text raised an alarm"


def _messages(before: dict[str, Any] | None, now: dict[str, Any]) -> int:
    """How many messages a window gives: it raised, widened or worsened an episode, it cleared one."""
    rank = {None: 0, "note": 1, "ticket": 2, "page": 3}
    same = before is not None and before["episode"] == now["episode"] and before["severity"] is not None
    worse = same and before is not None and rank[now["severity"]] > rank[before["severity"]]
    joined = any(channel["raised"] for channel in now["channels"].values())
    return int(now["raised"] or joined or worse) + int(now["cleared"])


def _feed(watch: Sidecar, draw: random.Random, acknowledged: list[str], feeding: threading.Event) -> None:
    """Durable batches of 20; later ones carry another vocabulary, so that alarms come up."""
    number = 0
    while feeding.is_set():
        shifted = number > 600
        batch = []
        for _ in range(20):
            words = [draw.choice(WORDS) for _ in range(draw.randint(4, 12))]
            if shifted:
                words = ["zebra", *reversed(words), "zebra", "quartz"]
            batch.append({"id": f"s{number}", "text": " ".join(words)})
            number += 1
        while feeding.is_set():
            try:
                watch.send(batch)
            except (OSError, urllib.error.URLError):
                time.sleep(0.05)
            else:
                acknowledged += [sample["id"] for sample in batch]
                break
        time.sleep(0.03)


def _wait_until_judged(watch: Sidecar) -> None:
    def nothing_waits() -> bool:
        with closing(sqlite3.connect(watch.state)) as db:
            query = "SELECT count(*) FROM windows WHERE status IN ('closed', 'profiled')"
            return int(db.execute(query).fetchone()[0]) == 0

    wait_for("every closed window is judged", nothing_waits, seconds=240)
