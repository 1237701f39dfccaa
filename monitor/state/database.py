"""The SQLite file itself: its schema, one connection a thread, short transactions, clear errors."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from monitor.errors import StateError

SCHEMA_VERSION = 1
LOCK_TIMEOUT = 5.0
_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE windows (
    idx INTEGER PRIMARY KEY, start REAL NOT NULL, end REAL, received INTEGER NOT NULL DEFAULT 0,
    kept INTEGER NOT NULL DEFAULT 0,
    status TEXT NOT NULL CHECK (status IN ('open', 'closed', 'profiled', 'judged', 'expired')));
CREATE INDEX windows_by_status ON windows (status);
CREATE TABLE samples (
    seq INTEGER PRIMARY KEY, idx INTEGER NOT NULL, hash INTEGER NOT NULL, id TEXT NOT NULL,
    time REAL NOT NULL, arrived REAL NOT NULL, body TEXT NOT NULL, label TEXT, probability REAL,
    attribution INTEGER NOT NULL DEFAULT 0, UNIQUE (idx, id));
CREATE INDEX samples_by_id ON samples (id);
CREATE TABLE seen (hash INTEGER PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE answers (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, label TEXT NOT NULL, probability REAL,
    arrived REAL NOT NULL);
CREATE TABLE features (idx INTEGER PRIMARY KEY, learning INTEGER NOT NULL DEFAULT 0, data BLOB NOT NULL);
CREATE TABLE detectors (model_key TEXT PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE verdicts (idx INTEGER PRIMARY KEY, verdict TEXT NOT NULL);
CREATE TABLE outbox (
    seq INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, created REAL NOT NULL,
    payload TEXT NOT NULL, bytes INTEGER NOT NULL);
CREATE TABLE artifacts (
    record INTEGER NOT NULL REFERENCES outbox (seq) ON DELETE CASCADE, name TEXT NOT NULL,
    data BLOB NOT NULL, PRIMARY KEY (record, name));
CREATE TABLE delivered (digest BLOB PRIMARY KEY) WITHOUT ROWID;
"""


class Database:
    """One state file; each thread that asks gets a connection of its own, all closed together."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._closed = False
        self._registry = threading.Lock()
        # SQLite lets waiting writers poll; a lock in the process hands over at once.
        self._writers = threading.Lock()
        _create_private(path)
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection for reading; several statements inside see the same moment."""
        with self._explained():
            connection = self._connection()
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.execute("ROLLBACK")

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One short transaction: all of it is on disk when the block ends, or nothing."""
        with self._writers, self._explained():
            connection = self._connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def truncate_log(self) -> bool:
        """Write the log back and empty it, so that no deleted text is left in it; False if busy."""
        with self._writers, self._explained():
            busy, _, _ = self._connection().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            return not busy

    def shrink(self) -> None:
        """Give pages that are no longer used back to the file system."""
        with self._writers, self._explained():
            self._connection().execute("PRAGMA incremental_vacuum").fetchall()

    def close(self) -> None:
        """Close every thread's connection; what is committed stays."""
        with self._writers, self._registry:
            self._closed = True
            for connection in self._connections:
                connection.close()
            self._connections.clear()

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if self._closed:
            raise StateError(f"state.file = {self.path}: is closed; open it again")
        if connection is None:
            connection = self._connect()
            self._local.connection = connection
            with self._registry:
                self._connections.append(connection)
        return connection

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=LOCK_TIMEOUT, isolation_level=None, check_same_thread=False
        )
        try:
            for pragma in (
                "secure_delete = ON",
                "synchronous = FULL",
                "foreign_keys = ON",
                "temp_store = MEMORY",
                f"journal_size_limit = {16 * 2**20}",
            ):
                connection.execute(f"PRAGMA {pragma}").fetchall()
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self) -> None:
        with self._explained():
            connection = self._connection()
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            if version == 0 and tables == 0:
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
                connection.execute("PRAGMA journal_mode = WAL").fetchall()
                self._create()
            elif version != SCHEMA_VERSION:
                raise StateError(
                    f"state.file = {self.path}: has schema {version}, this version reads {SCHEMA_VERSION}; "
                    "move it away to start afresh, or run the version that wrote it"
                )
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise self._damaged(str(verdict).splitlines()[-1])

    def _create(self) -> None:
        connection = self._connection()
        connection.execute("BEGIN IMMEDIATE")
        # Another process may have been first.
        if connection.execute("PRAGMA user_version").fetchone() == (0,):
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._explain(error) from error

    def _explain(self, error: sqlite3.Error) -> StateError:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return StateError(
                f"state.file = {self.path}: is locked by another process; "
                "stop that one, or give each headwatch a file of its own"
            )
        if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            return self._damaged(str(error))
        if code in (
            sqlite3.SQLITE_FULL,
            sqlite3.SQLITE_IOERR,
            sqlite3.SQLITE_READONLY,
            sqlite3.SQLITE_CANTOPEN,
        ):
            return StateError(
                f"state.file = {self.path}: cannot be written ({error}); "
                "free disk space and let this user write to its folder"
            )
        return StateError(f"state.file = {self.path}: {error}; move it away to start afresh")

    def _damaged(self, detail: str) -> StateError:
        return StateError(
            f"state.file = {self.path}: is damaged or no state file ({detail}); move it away to start afresh"
        )


def _create_private(path: Path) -> None:
    """Create the file, or take it over, with mode 0600 before SQLite opens it."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(descriptor, 0o600)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StateError(
            f"state.file = {path}: cannot be opened ({error.strerror}); "
            "name a file in a folder that exists and that this user may write to"
        ) from error
