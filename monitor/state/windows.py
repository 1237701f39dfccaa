"""Samples into windows: each distinct request counted, the bottom k of them kept.

Every function works inside a transaction that the store has begun. A window goes

    open -> closed -> profiled -> judged     (closed -> expired when its text had to go first)
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from monitor.errors import StateError
from monitor.records import Sample, ServedAnswer
from monitor.sampling import BottomK, bottom_k, hash_id, merge, window_key
from monitor.state.rows import WindowRow, WindowStatus, encode_sample
from monitor.state.settings import WindowSettings

# Past so many requests in one window, one that is sent again may be counted again (never kept twice).
MOST_SEEN = 65_536
# Answers that came before their requests, and how long they wait for them, in seconds.
MOST_ANSWERS = 10_000
ANSWER_LIFETIME = 600.0
# SQLite's integers are signed: hashes are moved down by 2**63, which keeps their order.
_SHIFT = 2**63


def admit(
    db: sqlite3.Connection, samples: Sequence[Sample], *, settings: WindowSettings, secret: bytes, now: float
) -> None:
    """Count the samples into the open window and keep its bottom k; close it at ``requests``."""
    position = 0
    while position < len(samples):
        window = _open_window(db, now)
        key = window_key(secret, window.index)
        room = len(samples) if settings.requests is None else settings.requests - window.received
        fresh, position = _take_fresh(db, samples, position, key=key, room=room, received=window.received)
        _keep_bottom(db, window, fresh, key=key, size=settings.samples, now=now)
        if settings.requests is not None and window.received + len(fresh) >= settings.requests:
            close(db, window.index, now)


def close_due(db: sqlite3.Connection, *, settings: WindowSettings, now: float) -> int | None:
    """Close the open window if its time has passed and it holds enough samples.

    A window that began in the future is one whose clock was set back: it closes now.
    """
    window = _find_open(db)
    if window is None or window.kept < settings.minimum_samples:
        return None
    if window.start <= now < window.start + settings.duration:
        return None
    close(db, window.index, now)
    return window.index


def close(db: sqlite3.Connection, index: int, now: float) -> None:
    """End a window; the next sample opens the next one."""
    db.execute("UPDATE windows SET status = 'closed', end = ? WHERE idx = ?", (now, index))
    db.execute("DELETE FROM seen")


def pair_answers(
    db: sqlite3.Connection, answers: Sequence[ServedAnswer], *, secret: bytes, now: float
) -> None:
    """Give each answer to its sample, or let it wait for the sample a while."""
    if not answers:
        return
    window = _find_open(db)
    key = None if window is None else window_key(secret, window.index)
    for answer in answers:
        prediction = answer.prediction
        paired = db.execute(
            "UPDATE samples SET label = ?, probability = ? WHERE id = ? AND label IS NULL AND idx IN "
            "(SELECT idx FROM windows WHERE status IN ('open', 'closed'))",
            (prediction.label, prediction.probability, answer.id),
        ).rowcount
        # A request that was seen but not kept needs no answer.
        if not paired and not (key is not None and _was_seen(db, answer.id, key)):
            db.execute(
                "INSERT OR REPLACE INTO answers (id, label, probability, arrived) VALUES (?, ?, ?, ?)",
                (answer.id, prediction.label, prediction.probability, now),
            )
    expire_answers(db, now)


def expire_answers(db: sqlite3.Connection, now: float) -> int:
    """Forget answers whose request never came; returns how many."""
    old = db.execute("DELETE FROM answers WHERE arrived < ?", (now - ANSWER_LIFETIME,)).rowcount
    surplus = db.execute(
        "DELETE FROM answers WHERE seq <= (SELECT seq FROM answers ORDER BY seq DESC LIMIT 1 OFFSET ?)",
        (MOST_ANSWERS,),
    ).rowcount
    return old + surplus


def listing(db: sqlite3.Connection, status: WindowStatus) -> list[WindowRow]:
    """The windows in one status, the oldest first."""
    query = "SELECT idx, start, end, received, kept, status FROM windows WHERE status = ? ORDER BY idx"
    rows = db.execute(query, (status,))
    return [_row(values) for values in rows]


def one(db: sqlite3.Connection, index: int) -> WindowRow:
    """The window with this number; raises ``StateError`` where there is none."""
    query = "SELECT idx, start, end, received, kept, status FROM windows WHERE idx = ?"
    found = db.execute(query, (index,)).fetchone()
    if found is None:
        raise StateError(f"window {index} is unknown to the state file")
    return _row(found)


def advance(db: sqlite3.Connection, index: int, *, source: WindowStatus, target: WindowStatus) -> None:
    """Move a window to its next status; raises ``StateError`` where it is not in ``source``."""
    moved = db.execute(
        "UPDATE windows SET status = ? WHERE idx = ? AND status = ?", (target, index, source)
    ).rowcount
    if not moved:
        found = db.execute("SELECT status FROM windows WHERE idx = ?", (index,)).fetchone()
        status = "unknown" if found is None else found[0]
        raise StateError(f"window = {index}: is {status}, not {source}; each step of a window is taken once")


def _open_window(db: sqlite3.Connection, now: float) -> WindowRow:
    window = _find_open(db)
    if window is not None:
        return window
    db.execute(
        "INSERT INTO windows (idx, start, status) SELECT coalesce(max(idx) + 1, 0), ?, 'open' FROM windows",
        (now,),
    )
    window = _find_open(db)
    assert window is not None
    return window


def _find_open(db: sqlite3.Connection) -> WindowRow | None:
    query = "SELECT idx, start, end, received, kept, status FROM windows WHERE status = 'open'"
    values = db.execute(query).fetchone()
    return None if values is None else _row(values)


def _take_fresh(
    db: sqlite3.Connection, samples: Sequence[Sample], position: int, *, key: bytes, room: int, received: int
) -> tuple[dict[str, Sample], int]:
    """Up to ``room`` samples from ``position`` that this window has not seen, and where it stopped."""
    fresh: dict[str, Sample] = {}
    while position < len(samples) and len(fresh) < room:
        sample = samples[position]
        position += 1
        if sample.id in fresh:
            continue
        if received + len(fresh) < MOST_SEEN:
            hashed = hash_id(sample.id, key) - _SHIFT
            if db.execute("INSERT OR IGNORE INTO seen VALUES (?)", (hashed,)).rowcount:
                fresh[sample.id] = sample
        elif not _was_seen(db, sample.id, key):
            fresh[sample.id] = sample
    return fresh, position


def _was_seen(db: sqlite3.Connection, identity: str, key: bytes) -> bool:
    found = db.execute("SELECT 1 FROM seen WHERE hash = ?", (hash_id(identity, key) - _SHIFT,)).fetchone()
    return found is not None


def _keep_bottom(
    db: sqlite3.Connection, window: WindowRow, fresh: dict[str, Sample], *, key: bytes, size: int, now: float
) -> None:
    rows = db.execute("SELECT hash, id FROM samples WHERE idx = ? ORDER BY hash, id", (window.index,))
    # The setting may have been lowered since the window was opened.
    before = BottomK(
        size=size, entries=tuple((hashed + _SHIFT, identity) for hashed, identity in rows)[:size]
    )
    after = merge(before, bottom_k(fresh, key=key, size=size))
    db.executemany(
        "DELETE FROM samples WHERE idx = ? AND id = ?",
        [(window.index, identity) for identity in before.ids - after.ids],
    )
    for hashed, identity in after.entries:
        if identity in fresh and identity not in before.ids:
            _insert(db, window.index, hashed - _SHIFT, fresh[identity], now)
    if db.execute("SELECT 1 FROM answers LIMIT 1").fetchone() is not None:
        db.executemany("DELETE FROM answers WHERE id = ?", [(identity,) for identity in fresh])
    db.execute(
        "UPDATE windows SET received = received + ?, kept = ? WHERE idx = ?",
        (len(fresh), len(after.entries), window.index),
    )


def _insert(db: sqlite3.Connection, index: int, hashed: int, sample: Sample, now: float) -> None:
    query = "SELECT label, probability FROM answers WHERE id = ?"
    served: tuple[str | None, float | None] = db.execute(query, (sample.id,)).fetchone() or (None, None)
    if sample.served is not None:
        served = (sample.served.label, sample.served.probability)
    db.execute(
        "INSERT INTO samples (idx, hash, id, time, arrived, body, label, probability) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (index, hashed, sample.id, sample.time, now, encode_sample(sample), *served),
    )


def _row(values: tuple[int, float, float | None, int, int, WindowStatus]) -> WindowRow:
    index, start, end, received, kept, status = values
    return WindowRow(index=index, start=start, end=end, received=received, kept=kept, status=status)
