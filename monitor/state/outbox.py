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


def keys(db: sqlite3.Connection, kinds: Sequence[str]) -> list[str]:
    """The keys of all records of these kinds, in the order in which they were added."""
    marks = ", ".join("?" * len(kinds))
    query = f"SELECT key FROM outbox WHERE kind IN ({marks}) ORDER BY seq"  # noqa: S608 - placeholders only
    return [row[0] for row in db.execute(query, tuple(kinds))]


def record(db: sqlite3.Connection, key: str) -> OutboxRecord | None:
    """One record, or None where none has the key."""
    query = "SELECT seq, kind, created, payload FROM outbox WHERE key = ?"
    found = db.execute(query, (key,)).fetchone()
    if found is None:
        return None
    seq, kind, created, payload = found
    artifacts = dict(db.execute("SELECT name, data FROM artifacts WHERE record = ?", (seq,)))
    return OutboxRecord(key=key, kind=kind, created=created, payload=payload, artifacts=artifacts)


def without_receipt(db: sqlite3.Connection, key: str, addresses: Sequence[str]) -> list[str]:
    """Those of a sink's addresses that have not taken the record."""
    query = "SELECT EXISTS (SELECT 1 FROM delivered WHERE digest = ?)"
    return [one for one in addresses if not db.execute(query, (_receipt(key, one),)).fetchone()[0]]


def deliver(db: sqlite3.Connection, key: str, address: str, addresses: Sequence[str]) -> bool:
    """Note that an address has a record; once all of them have, take it out. Whether it went.

    Its key is remembered for good (16 bytes each), the receipts of the addresses only until then.
    """
    db.execute("INSERT OR IGNORE INTO delivered VALUES (?)", (_receipt(key, address),))
    if without_receipt(db, key, addresses):
        return False
    receipts = [(_receipt(key, one),) for one in (address, *addresses)]
    db.executemany("DELETE FROM delivered WHERE digest = ?", receipts)
    db.execute("DELETE FROM outbox WHERE key = ?", (key,))
    db.execute("INSERT OR IGNORE INTO delivered VALUES (?)", (_digest(key),))
    return True


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


def _receipt(key: str, address: str) -> bytes:
    # In the table of delivered keys; no key holds this separator.
    return _digest(f"{key}\0{address}")
