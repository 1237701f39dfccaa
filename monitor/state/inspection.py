"""Whether a state file could be opened, found out without making or changing one.

The file is opened read-only, beside a sidecar that may be running on it. What is wrong is said in the
words of the one who would open it (``database.py``).
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from monitor.errors import StateError
from monitor.state.database import SCHEMA_VERSION


def check_state_file(path: Path) -> str:
    """What is there now, in a few words; raises ``StateError`` where it cannot be used."""
    try:
        with tempfile.TemporaryFile(dir=path.absolute().parent):
            pass
        if not path.exists():
            return f"{path}: will be made"
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        raise StateError(
            f"state.file = {path}: cannot be opened ({error.strerror}); "
            "name a file in a folder that exists and that this user may write to"
        ) from None
    try:
        version, tables, verdict = _read_schema(path)
    except sqlite3.Error as error:
        raise _damaged(path, str(error)) from None
    if version == 0 and tables == 0:
        return f"{path}: is empty and will be taken"
    if version != SCHEMA_VERSION:
        raise StateError(
            f"state.file = {path}: has schema {version}, this version reads {SCHEMA_VERSION}; "
            "move it away to start afresh, or run the version that wrote it"
        )
    if verdict != "ok":
        raise _damaged(path, verdict.splitlines()[-1])
    return f"{path}: will be resumed (schema {version})"


def read_meta(path: Path, key: str) -> str | None:
    """A small value under a name, beside a sidecar that may be running; None where there is none."""
    check_state_file(path)
    try:
        with closing(_opened(path)) as connection:
            found = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    except sqlite3.Error as error:
        raise _damaged(path, str(error)) from None
    return None if found is None else str(found[0])


def _read_schema(path: Path) -> tuple[int, int, str]:
    """Schema version, number of tables, and the first finding of SQLite's own check."""
    with closing(_opened(path)) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    return version, tables, str(verdict)


def _opened(path: Path) -> sqlite3.Connection:
    # Without a log nobody has the file open, and reading leaves nothing beside it.
    alone = not path.with_name(f"{path.name}-wal").exists()
    address = f"file:{quote(str(path.absolute()))}?mode=ro{'&immutable=1' if alone else ''}"
    return sqlite3.connect(address, uri=True, timeout=5.0)


def _damaged(path: Path, detail: str) -> StateError:
    return StateError(
        f"state.file = {path}: is damaged or no state file ({detail}); move it away to start afresh"
    )
