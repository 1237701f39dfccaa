"""``kill -9`` of the real sidecar at random points of its cycles."""

from __future__ import annotations

import http.client
import json
import random
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.servers import http_server, wait_for
from tests.sidecar_process import Sidecar, sidecar

WORDS = "the quiet harbour woke early while small boats carried fresh bread to every waiting door".split()
KILLS = 5
AHEAD = 4
"""Windows that may wait: with more, all kills would hit the first ones and the rest be judged in peace."""
SPELL = 320
"""Samples (eight windows): so long the words are the usual ones, then so long others, and so on."""


def test_a_killed_sidecar_loses_nothing_durable_and_judges_and_alerts_each_window_once(
    tmp_path: Path, tiny_classifier: Path
) -> None:
    draw = random.Random(3)
    received: list[tuple[str, str]] = []
    acknowledged: list[str] = []

    def receive(body: bytes) -> int:
        message = json.loads(body)
        received.append((message["title"], message["message"]))
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
            wait_for("words of both kinds were sent", lambda: len(acknowledged) >= 2 * SPELL, seconds=120)
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
    # a kill between the webhook's answer and its receipt sends a message again, right after itself
    messages = [one for one, before in zip(received, [None, *received], strict=False) if one != before]
    assert len(received) - len(messages) <= KILLS
    assert len(messages) == sum(_messages(before, now) for before, now in pairs), (
        "each alert is sent, and again only after a kill",
        [title for title, _ in received],
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
    """Durable batches, no further ahead of the verdicts than so many windows."""
    batch, judged = _batch(draw, 0), 0
    while feeding.is_set():
        try:
            if len(acknowledged) < 40 * (judged + AHEAD):
                watch.send(batch)
                acknowledged += [sample["id"] for sample in batch]
                batch = _batch(draw, len(acknowledged))
            judged += len(watch.verdicts(after=judged - 1))
        except (OSError, http.client.HTTPException):
            time.sleep(0.05)
        time.sleep(0.03)


def _batch(draw: random.Random, first: int) -> list[dict[str, str]]:
    """Ten samples; in every other spell they have other words, so that alarms rise and clear."""
    texts = [[draw.choice(WORDS) for _ in range(draw.randint(4, 12))] for _ in range(10)]
    if first // SPELL % 2 == 1:
        texts = [["zebra", *reversed(words), "zebra", "quartz"] for words in texts]
    return [{"id": f"s{first + i}", "text": " ".join(words)} for i, words in enumerate(texts)]


def _wait_until_judged(watch: Sidecar) -> None:
    def nothing_waits() -> bool:
        with closing(sqlite3.connect(watch.state)) as db:
            query = "SELECT count(*) FROM windows WHERE status IN ('closed', 'profiled')"
            return int(db.execute(query).fetchone()[0]) == 0

    wait_for("every closed window is judged", nothing_waits, seconds=240)
