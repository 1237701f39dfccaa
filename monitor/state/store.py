"""``StateStore``: everything that outlives a restart, each change one short transaction."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from monitor.errors import StateError
from monitor.records import OutboxRecord, Sample, ServedAnswer
from monitor.sampling import KEY_BYTES
from monitor.state import outbox as _outbox
from monitor.state import windows as _windows
from monitor.state.database import Database
from monitor.state.rows import MaintenanceReport, OutboxUsage, WindowRow, decode_sample
from monitor.state.settings import StateSettings, WindowSettings

KEPT_VERDICTS = 10_000
_SAMPLING_KEY = "sampling_key"
# Why the features of a judged window are kept: the column `learning`, which is 0 until then.
_LEARNING, _EPISODE = 1, 2
_NOTHING: Mapping[str, str | None] = MappingProxyType({})


class StateStore:
    """The state file of one sidecar; all methods may be called from any thread.

    A method that changes something has it on disk when it returns, or raises ``StateError`` and
    changes nothing. ``sampling_key`` (16 bytes) is only for repeatable runs; by default a random
    key is drawn once per file.
    """

    def __init__(
        self,
        path: Path,
        *,
        settings: StateSettings,
        window: WindowSettings,
        clock: Callable[[], float],
        sampling_key: bytes | None = None,
    ) -> None:
        self._settings = settings
        self._window = window
        self._clock = clock
        self._database = Database(path)
        with self._database.write() as db:
            drawn = (sampling_key or os.urandom(KEY_BYTES)).hex()
            if sampling_key is not None:
                db.execute("DELETE FROM meta WHERE key = ?", (_SAMPLING_KEY,))
            db.execute("INSERT OR IGNORE INTO meta VALUES (?, ?)", (_SAMPLING_KEY, drawn))
            found = db.execute("SELECT value FROM meta WHERE key = ?", (_SAMPLING_KEY,)).fetchone()
        self._secret = bytes.fromhex(found[0])

    def ingest(
        self, batch: Sequence[Sample | ServedAnswer], *, meta: Mapping[str, str] | None = None
    ) -> None:
        """Take a batch into the open window, with ``meta`` (a reader's position) in the same commit."""
        samples = [item for item in batch if isinstance(item, Sample)]
        answers = [item for item in batch if isinstance(item, ServedAnswer)]
        now = self._clock()
        with self._database.write() as db:
            _windows.admit(db, samples, settings=self._window, secret=self._secret, now=now)
            _windows.pair_answers(db, answers, secret=self._secret, now=now)
            _set_meta(db, meta or {})

    def close_due_window(self) -> int | None:
        """Close the open window if it is due; with too few samples it stays open and is joined."""
        with self._database.write() as db:
            return _windows.close_due(db, settings=self._window, now=self._clock())

    def windows(self, status: Literal["open", "closed", "profiled", "judged", "expired"]) -> list[WindowRow]:
        """The windows in one status, the oldest first."""
        with self._database.read() as db:
            return _windows.listing(db, status)

    def window(self, index: int) -> WindowRow:
        """One window, whatever its status; raises ``StateError`` where there is none."""
        with self._database.read() as db:
            return _windows.one(db, index)

    def window_samples(self, index: int) -> list[Sample]:
        """The samples of a window that still have their text, by time, with served answers."""
        with self._database.read() as db:
            query = "SELECT id, time, body, label, probability FROM samples WHERE idx = ? ORDER BY time, id"
            return [decode_sample(row) for row in db.execute(query, (index,))]

    def store_features(self, index: int, features: bytes, *, attribution_ids: Sequence[str]) -> None:
        """Closed -> profiled; all text of the window goes but that of ``attribution_ids``."""
        with self._database.write() as db:
            _windows.advance(db, index, source="closed", target="profiled")
            db.execute("INSERT INTO features (idx, data) VALUES (?, ?)", (index, features))
            db.executemany(
                "UPDATE samples SET attribution = 1 WHERE idx = ? AND id = ?",
                [(index, identity) for identity in attribution_ids],
            )
            db.execute("DELETE FROM samples WHERE idx = ? AND NOT attribution", (index,))
        self._database.truncate_log()

    def load_features(self, index: int) -> bytes:
        """The features of a profiled window, or of a judged one that is kept for learning."""
        with self._database.read() as db:
            found = db.execute("SELECT data FROM features WHERE idx = ?", (index,)).fetchone()
        if found is None:
            raise StateError(f"window = {index}: has no features; profile it first")
        return bytes(found[0])

    def commit_verdict(
        self,
        index: int,
        verdict: str,
        *,
        model_key: str,
        detector_state: bytes,
        outbox: Sequence[OutboxRecord],
        keep_features: bool,
        episode: bytes | None = None,
        episode_over: bool = False,
        meta: Mapping[str, str | None] = _NOTHING,
    ) -> None:
        """Profiled -> judged, with detector and outbox in one commit; a second call raises.

        ``keep_features``: for a baseline that is being learnt. ``episode``: the features as they are
        kept while an alarm stands; ``episode_over``: all of those go. ``meta``: small values to keep
        under their names, None to forget them.
        """
        with self._database.write() as db:
            _windows.advance(db, index, source="profiled", target="judged")
            db.execute("INSERT INTO verdicts VALUES (?, ?)", (index, verdict))
            db.execute("INSERT OR REPLACE INTO detectors VALUES (?, ?)", (model_key, detector_state))
            if episode_over:
                db.execute("DELETE FROM features WHERE learning = ?", (_EPISODE,))
            if keep_features:
                db.execute("UPDATE features SET learning = ? WHERE idx = ?", (_LEARNING, index))
            elif episode is not None:
                query = "UPDATE features SET learning = ?, data = ? WHERE idx = ?"
                db.execute(query, (_EPISODE, episode, index))
            else:
                db.execute("DELETE FROM features WHERE idx = ?", (index,))
            _set_meta(db, meta)
            _outbox.add(db, outbox, bound=self._settings.outbox)

    def verdicts(self, after: int, limit: int = 200) -> list[str]:
        """The verdicts of windows past ``after`` (-1: from the first), as JSON, the oldest first."""
        with self._database.read() as db:
            query = "SELECT verdict FROM verdicts WHERE idx > ? ORDER BY idx LIMIT ?"
            return [row[0] for row in db.execute(query, (after, limit))]

    def newest_verdict(self) -> str | None:
        """The verdict of the window judged last, as JSON, or None."""
        with self._database.read() as db:
            found = db.execute("SELECT verdict FROM verdicts ORDER BY idx DESC LIMIT 1").fetchone()
        return None if found is None else str(found[0])

    def give_up(self, index: int) -> int:
        """closed -> expired: its samples go unseen; returns how many there were."""
        with self._database.write() as db:
            _windows.advance(db, index, source="closed", target="expired")
            return db.execute("DELETE FROM samples WHERE idx = ?", (index,)).rowcount

    def detector_state(self, model_key: str) -> bytes | None:
        """The detector's state after the last judged window of this model, or None."""
        with self._database.read() as db:
            found = db.execute("SELECT data FROM detectors WHERE model_key = ?", (model_key,)).fetchone()
        return None if found is None else bytes(found[0])

    def put_detector_state(self, model_key: str, data: bytes) -> None:
        """Keep a detector's state that changed outside a window."""
        with self._database.write() as db:
            db.execute("INSERT OR REPLACE INTO detectors VALUES (?, ?)", (model_key, data))

    def reset_detector(self, model_key: str) -> None:
        """Forget the detector's state; the next window starts afresh."""
        with self._database.write() as db:
            db.execute("DELETE FROM detectors WHERE model_key = ?", (model_key,))

    def learning_features(self) -> list[bytes]:
        """The features of judged windows that were kept for a baseline, in order."""
        query = "SELECT data FROM features WHERE learning = ? ORDER BY idx"
        with self._database.read() as db:
            return [bytes(row[0]) for row in db.execute(query, (_LEARNING,))]

    def clear_learning_features(self) -> None:
        """Drop what was kept for a baseline, once it stands."""
        with self._database.write() as db:
            db.execute("DELETE FROM features WHERE learning = ?", (_LEARNING,))

    def episode_windows(self) -> list[int]:
        """The windows whose features are kept because an alarm stands, in order."""
        query = "SELECT idx FROM features WHERE learning = ? ORDER BY idx"
        with self._database.read() as db:
            return [row[0] for row in db.execute(query, (_EPISODE,))]

    def thin_episode(self, features: Mapping[int, bytes | None]) -> None:
        """Put fewer samples in the place of what was kept of a window, or none."""
        with self._database.write() as db:
            for index, data in features.items():
                if data is None:
                    db.execute("DELETE FROM features WHERE idx = ? AND learning = ?", (index, _EPISODE))
                else:
                    query = "UPDATE features SET data = ? WHERE idx = ? AND learning = ?"
                    db.execute(query, (data, index, _EPISODE))

    def close_episode(
        self,
        *,
        outbox: Sequence[OutboxRecord],
        meta: Mapping[str, str | None],
        forget_detector: str = "",
        while_stands: tuple[str, str] | None = None,
    ) -> None:
        """An episode ends outside a window: what was kept of it goes, in one commit with its records.

        ``forget_detector``: the model key of a state that will not be resumed. ``while_stands``: a name
        and the value that it must have; StateError, and no change, if it has not.
        """
        with self._database.write() as db:
            if (
                while_stands is not None
                and not db.execute(
                    "SELECT EXISTS (SELECT 1 FROM meta WHERE key = ? AND value = ?)", while_stands
                ).fetchone()[0]
            ):
                raise StateError(f"{while_stands[0]}: was withdrawn meanwhile; nothing was changed")
            db.execute("DELETE FROM detectors WHERE model_key = ?", (forget_detector,))
            db.execute("DELETE FROM features WHERE learning = ?", (_EPISODE,))
            _set_meta(db, meta)
            _outbox.add(db, outbox, bound=self._settings.outbox)

    def attribution_due(self) -> list[tuple[int, Sample]]:
        """The samples that wait for their attribution, with their window, the oldest first."""
        query = (
            "SELECT idx, id, time, body, label, probability FROM samples "
            "WHERE attribution ORDER BY idx, time, id"
        )
        with self._database.read() as db:
            return [(row[0], decode_sample(row[1:])) for row in db.execute(query)]

    def commit_attribution(
        self, index: int, *, outbox: Sequence[OutboxRecord], meta: Mapping[str, str | None] = _NOTHING
    ) -> None:
        """Take a window's attributions into the outbox; the last of its text goes. ``meta`` as above."""
        with self._database.write() as db:
            _set_meta(db, meta)
            db.execute("DELETE FROM samples WHERE idx = ? AND attribution", (index,))
            _outbox.add(db, outbox, bound=self._settings.outbox)
        self._database.truncate_log()

    def add_outbox(self, records: Sequence[OutboxRecord]) -> None:
        """Evidence from outside a verdict; a key that is pending or was delivered is passed over."""
        with self._database.write() as db:
            _outbox.add(db, records, bound=self._settings.outbox)

    def outbox_record(self, key: str) -> OutboxRecord | None:
        """The record that waits under this key, or None."""
        with self._database.read() as db:
            return _outbox.record(db, key)

    def undelivered(self, kinds: Sequence[str], addresses: Sequence[str] = ()) -> dict[str, list[str]]:
        """The keys of these kinds that wait, in the order in which they were added.

        Each comes with those of the sink's ``addresses`` that have not taken its record.
        """
        with self._database.read() as db:
            return {key: _outbox.without_receipt(db, key, addresses) for key in _outbox.keys(db, kinds)}

    def delivered(self, key: str, address: str = "", *, of: Sequence[str] = ()) -> bool:
        """A sink has the record: it goes, and its key is never taken in again.

        Where the sink has several addresses, ``address`` has it, and it goes once all ``of`` them have.
        Returns whether it went.
        """
        with self._database.write() as db:
            return _outbox.deliver(db, key, address, of)

    def outbox_usage(self) -> OutboxUsage:
        """(records by kind, bytes, dropped so far)."""
        with self._database.read() as db:
            return _outbox.usage(db)

    def get_meta(self, key: str) -> str | None:
        """A small value under a name, or None."""
        with self._database.read() as db:
            found = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if found is None else str(found[0])

    def set_meta(self, key: str, value: str | None) -> None:
        """Keep a small value under a name, or forget it."""
        with self._database.write() as db:
            _set_meta(db, {key: value})

    def set_metas(self, values: Mapping[str, str | None]) -> None:
        """Keep or forget several in one commit."""
        with self._database.write() as db:
            _set_meta(db, values)

    def maintain(self) -> MaintenanceReport:
        """Overwrite text past its retention, forget old verdicts, and empty the write-ahead log."""
        now = self._clock()
        with self._database.write() as db:
            cutoff = now - self._settings.text_retention
            texts = db.execute("DELETE FROM samples WHERE arrived <= ?", (cutoff,)).rowcount
            windows = _expire_windows(db, cutoff)
            answers = _windows.expire_answers(db, now)
            verdicts = _prune_verdicts(db)
        self._database.shrink()
        return MaintenanceReport(
            texts_expired=texts,
            windows_expired=windows,
            answers_expired=answers,
            verdicts_pruned=verdicts,
            wal_truncated=self._database.truncate_log(),
        )

    def pending_samples(self) -> int:
        """How many samples wait to be profiled, in the open window and in closed ones."""
        with self._database.read() as db:
            return int(db.execute("SELECT count(*) FROM samples WHERE NOT attribution").fetchone()[0])

    def close(self) -> None:
        """Close all connections; the store cannot be used afterwards."""
        self._database.close()


def _set_meta(db: sqlite3.Connection, values: Mapping[str, str | None]) -> None:
    for key, value in values.items():
        if value is None:
            db.execute("DELETE FROM meta WHERE key = ?", (key,))
        else:
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))


def _expire_windows(db: sqlite3.Connection, cutoff: float) -> int:
    # Features hold the words of their samples: those that nobody judged in time go like the text.
    db.execute("UPDATE windows SET status = 'expired' WHERE status = 'profiled' AND end <= ?", (cutoff,))
    db.execute("DELETE FROM features WHERE idx IN (SELECT idx FROM windows WHERE status = 'expired')")
    db.execute(
        "UPDATE windows SET kept = (SELECT count(*) FROM samples WHERE samples.idx = windows.idx) "
        "WHERE status IN ('open', 'closed')"
    )
    return db.execute("UPDATE windows SET status = 'expired' WHERE status = 'closed' AND kept = 0").rowcount


def _prune_verdicts(db: sqlite3.Connection) -> int:
    pruned = db.execute(
        "DELETE FROM verdicts WHERE idx <= (SELECT idx FROM verdicts ORDER BY idx DESC LIMIT 1 OFFSET ?)",
        (KEPT_VERDICTS,),
    ).rowcount
    db.execute(
        "DELETE FROM windows WHERE status IN ('judged', 'expired') AND idx <= "
        "(SELECT idx FROM windows ORDER BY idx DESC LIMIT 1 OFFSET ?)",
        (KEPT_VERDICTS,),
    )
    return pruned
