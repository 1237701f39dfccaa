"""Evidence that waits for its sinks: bounded, delivered once, the oldest evidence dropped last.

Every function works inside a transaction that the store has begun.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from hashlib import blake2b

from monitor.records import OutboxRecord
from monitor.state.rows import OutboxUsage

ROUTINE = ("window", "attribution")
_DROPPED = "outbox_dropped"


def add(db: sqlite3.Connection, records: Sequence[OutboxRecord], *, bound: int) -> None:
    """Insert records whose key is neither pending nor delivered, then drop down to ``bound`` bytes."""
    for record in records:
        size = _size(record)
        if size > bound:
            _count_dropped(db, 1)
        elif not _known(db, record.key):
            _insert(db, record, size)
    _drop_down_to(db, bound)


def pending(db: sqlite3.Connection, kinds: Sequence[str], limit: int) -> list[OutboxRecord]:
    """The oldest records of these kinds, in the order in which they were added."""
    marks = ", ".join("?" * len(kinds))
    columns = "seq, key, kind, created, payload"
    query = f"SELECT {columns} FROM outbox WHERE kind IN ({marks}) ORDER BY seq LIMIT ?"  # noqa: S608 - placeholders only
    rows = db.execute(query, (*kinds, limit)).fetchall()
    records = []
    for seq, key, kind, created, payload in rows:
        artifacts = dict(db.execute("SELECT name, data FROM artifacts WHERE record = ?", (seq,)))
        records.append(
            OutboxRecord(key=key, kind=kind, created=created, payload=payload, artifacts=artifacts)
        )
    return records


def deliver(db: sqlite3.Connection, key: str) -> None:
    """Take a record out and remember its key for good (16 bytes each)."""
    db.execute("DELETE FROM outbox WHERE key = ?", (key,))
    db.execute("INSERT OR IGNORE INTO delivered VALUES (?)", (_digest(key),))


def usage(db: sqlite3.Connection) -> OutboxUsage:
    """How much waits, by kind and in bytes, and how much was dropped."""
    records = dict(db.execute("SELECT kind, count(*) FROM outbox GROUP BY kind"))
    dropped = db.execute("SELECT value FROM counters WHERE name = ?", (_DROPPED,)).fetchone()
    return OutboxUsage(records=records, bytes=_bytes(db), dropped=0 if dropped is None else dropped[0])


def _insert(db: sqlite3.Connection, record: OutboxRecord, size: int) -> None:
    row = db.execute(
        "INSERT INTO outbox (key, kind, created, payload, bytes) VALUES (?, ?, ?, ?, ?)",
        (record.key, record.kind, record.created, record.payload, size),
    ).lastrowid
    db.executemany(
        "INSERT INTO artifacts VALUES (?, ?, ?)",
        [(row, name, data) for name, data in record.artifacts.items()],
    )


def _known(db: sqlite3.Connection, key: str) -> bool:
    query = (
        "SELECT EXISTS (SELECT 1 FROM outbox WHERE key = ?) "
        "OR EXISTS (SELECT 1 FROM delivered WHERE digest = ?)"
    )
    return bool(db.execute(query, (key, _digest(key))).fetchone()[0])


def _drop_down_to(db: sqlite3.Connection, bound: int) -> None:
    excess = _bytes(db) - bound
    if excess <= 0:
        return
    # Routine records first, the oldest before the newer; then evidence, the newest before the older.
    rows = db.execute(
        "SELECT seq, bytes, kind IN (?, ?) AS routine FROM outbox "
        "ORDER BY routine DESC, CASE WHEN routine THEN seq ELSE -seq END",
        ROUTINE,
    ).fetchall()
    dropped = []
    for seq, size, _ in rows:
        if excess <= 0:
            break
        dropped.append((seq,))
        excess -= size
    db.executemany("DELETE FROM outbox WHERE seq = ?", dropped)
    _count_dropped(db, len(dropped))


def _count_dropped(db: sqlite3.Connection, count: int) -> None:
    db.execute(
        "INSERT INTO counters VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
        (_DROPPED, count),
    )


def _bytes(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT coalesce(sum(bytes), 0) FROM outbox").fetchone()[0])


def _size(record: OutboxRecord) -> int:
    artifacts = sum(len(name) + len(data) for name, data in record.artifacts.items())
    return len(record.key) + len(record.payload.encode()) + artifacts


def _digest(key: str) -> bytes:
    return blake2b(key.encode(), digest_size=16).digest()
