"""A JSONL file followed as it grows, through rotation, truncation and restarts.

The position is committed together with the samples before it, so nothing is lost or read twice.
A file is known by its inode and by its first bytes; a new one is read from its beginning, after
what was left of the old one.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from io import BufferedReader
from pathlib import Path
from typing import Protocol

from monitor.errors import PayloadError, StateError
from monitor.ingest.body import too_large
from monitor.ingest.counters import IngestCounters
from monitor.ingest.intake import Item
from monitor.ingest.jsonl import parse_line
from monitor.ingest.limits import PayloadLimits
from monitor.ingest.native import read_sample
from monitor.records import Sample

LARGEST_BATCH = 500
_HEAD = 256


class FollowSink(Protocol):
    """Where followed samples go; ``meta`` is committed with the batch and read back later."""

    def ingest(self, batch: Sequence[Item], *, meta: Mapping[str, str] | None = None) -> None:
        """Take the batch and the position in one commit."""

    def get_meta(self, key: str) -> str | None:
        """The position that was committed last, or None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where reading stands: ``head`` is the digest of the file's first ``head_bytes`` bytes."""

    inode: int
    offset: int
    head: str
    head_bytes: int


class JsonlFollower:
    """Follows one path in a thread of its own (``start``, ``stop``), or whenever ``poll`` is called.

    ``counters`` are those of the intake, so that followed lines are counted with everything else.
    """

    def __init__(
        self,
        path: Path,
        *,
        store: FollowSink,
        id_factory: Callable[[], str],
        clock: Callable[[], float],
        counters: IngestCounters | None = None,
        limits: PayloadLimits | None = None,
        interval: float = 0.5,
    ) -> None:
        self._path = path
        self._store = store
        self._counters = IngestCounters() if counters is None else counters
        self._limits = PayloadLimits() if limits is None else limits
        self._new_id = id_factory
        self._now = clock
        self._interval = interval
        self._key = f"follow:{path.absolute()}"
        self._file: BufferedReader | None = None
        self._position: Position | None = None
        self._skipping = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"follow-{path.name}", daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the batch at hand and leave; the position stays in the state file."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self._close()

    def poll(self) -> int:
        """Read what has come since, batch by batch; returns the number of samples taken in.

        Raises ``StateError`` where they cannot be stored; the same lines are then read again.
        """
        taken = 0
        self._go_back_if_cut()
        while not self._stopping.is_set():
            if self._file is None and not self._open():
                return taken
            lines, offset = self._read_lines()
            if offset is not None:
                try:
                    taken += self._commit(lines, offset)
                except BaseException:
                    self._close()
                    raise
            elif not self._switch():
                return taken
        return taken

    def _run(self) -> None:
        while not self._stopping.is_set():
            with contextlib.suppress(StateError, OSError):
                self.poll()
            self._stopping.wait(self._interval)

    def _open(self) -> bool:
        """Open where the last commit stopped: in the known file, wherever it is now, or in a new one."""
        stored = self._store.get_meta(self._key)
        if stored is not None:
            position = Position(**json.loads(stored))
            if any(self._open_at(candidate, position) for candidate in self._candidates()):
                return True
        try:
            self._file = self._path.open("rb")
        except OSError:
            return False
        return True

    def _candidates(self) -> list[Path]:
        beside = sorted(self._path.parent.iterdir()) if self._path.parent.is_dir() else []
        rotated = [path for path in beside if path.name.startswith(self._path.name) and path != self._path]
        return [self._path, *rotated]

    def _open_at(self, path: Path, position: Position) -> bool:
        try:
            file = path.open("rb")
        except OSError:
            return False
        found = os.fstat(file.fileno())
        known = found.st_ino == position.inode and found.st_size >= position.offset
        if known and _digest(file.read(position.head_bytes)) == position.head:
            file.seek(position.offset)
            self._file, self._position = file, position
            return True
        file.close()
        return False

    def _switch(self) -> bool:
        """At the end of the file: go on with the one that stands at the path now, if it is another."""
        assert self._file is not None
        here = os.fstat(self._file.fileno())
        try:
            there = self._path.stat()
        except OSError:
            return False
        if (here.st_ino, here.st_dev) == (there.st_ino, there.st_dev):
            return False
        self._close()
        self._file = self._path.open("rb")
        return True

    def _go_back_if_cut(self) -> None:
        """Read from the beginning again where the file was emptied, or written anew, in its place."""
        if self._file is None:
            return
        offset, known = self._file.tell(), self._position
        self._file.seek(0)
        head = b"" if known is None else self._file.read(known.head_bytes)
        cut = os.fstat(self._file.fileno()).st_size < offset or (known and _digest(head) != known.head)
        self._file.seek(0 if cut else offset)
        if cut:
            self._position = None
            self._skipping = False

    def _read_lines(self) -> tuple[list[bytes | None], int | None]:
        """Whole lines (None for one that was too long), and the offset after them; None at the end."""
        assert self._file is not None
        start = self._file.tell()
        lines: list[bytes | None] = []
        size = 0
        while len(lines) < LARGEST_BATCH and size <= self._limits.maximum_body:
            before = self._file.tell()
            line = self._file.readline(self._limits.maximum_body + 1)
            whole = line.endswith(b"\n")
            if not whole and len(line) <= self._limits.maximum_body:
                # The writer has not finished this line.
                self._file.seek(before)
                break
            size += len(line)
            if not whole:
                if not self._skipping:
                    lines.append(None)
                self._skipping = True
            elif self._skipping:
                self._skipping = False
            else:
                lines.append(line)
        end = self._file.tell()
        return lines, end if end > start else None

    def _commit(self, lines: Sequence[bytes | None], offset: int) -> int:
        samples: list[Sample] = []
        reasons: list[str] = []
        for line in lines:
            if line is not None and not line.strip():
                continue
            try:
                samples.append(self._read_sample(line))
            except PayloadError as error:
                reasons.append(error.reason)
        position = self._position_at(offset)
        self._store.ingest(samples, meta={self._key: json.dumps(asdict(position))})
        self._position = position
        self._counters.receive("jsonl", len(samples) + len(reasons))
        for reason in reasons:
            self._counters.drop(reason)
        return len(samples)

    def _read_sample(self, line: bytes | None) -> Sample:
        if line is None:
            raise too_large(self._limits.maximum_body)
        return read_sample(parse_line(line), new_id=self._new_id, now=self._now, limits=self._limits)

    def _position_at(self, offset: int) -> Position:
        assert self._file is not None
        self._file.seek(0)
        head = self._file.read(min(_HEAD, offset))
        self._file.seek(offset)
        inode = os.fstat(self._file.fileno()).st_ino
        return Position(inode=inode, offset=offset, head=_digest(head), head_bytes=len(head))

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        self._position = None
        self._skipping = False


def _digest(head: bytes) -> str:
    return blake2b(head, digest_size=8).hexdigest()
