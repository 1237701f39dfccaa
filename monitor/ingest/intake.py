"""The queue between receivers and the disk: bounded, emptied by one writer thread.

A receiver never waits for the disk unless it asks to. The writer commits what has gathered at most
every ``interval`` seconds, so a crash loses less than a second of what was only received; a durable
submission is committed at once, with whatever waits beside it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from monitor.errors import StateError
from monitor.ingest.counters import IngestCounters
from monitor.ingest.settings import IngestSettings
from monitor.records import Sample, ServedAnswer

LARGEST_COMMIT = 2000
LONGEST_PAUSE = 1.0
Item = Sample | ServedAnswer


class SampleSink(Protocol):
    """Where samples go for good; returns once they are on disk, or raises ``StateError``."""

    def ingest(self, batch: Sequence[Item], *, meta: Mapping[str, str] | None = None) -> None:
        """Take the batch, and ``meta`` with it, in one commit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """How many samples were taken in; ``committed`` (durable only) is done once they are on disk."""

    accepted: int
    refused: int
    committed: Future[None] | None = None


@dataclass(frozen=True, slots=True)
class _Entry:
    items: Sequence[Item]
    size: int
    committed: Future[None] | None


class Intake:
    """Bounded in samples (``settings.queue``) and in text (``settings.queue_bytes``).

    The writer starts with ``start`` or the first submission. ``interval`` is in seconds.
    """

    def __init__(
        self, sink: SampleSink, *, settings: IngestSettings | None = None, interval: float = 0.2
    ) -> None:
        settings = IngestSettings() if settings is None else settings
        self.counters = IngestCounters()
        self.queue_limit = settings.queue
        self._sink = sink
        self._byte_limit = settings.queue_bytes
        self._interval = interval
        self._entries: deque[_Entry] = deque()
        self._waiting = 0
        self._waiting_size = 0
        self._durable = 0
        self._stopping = False
        self._changed = threading.Condition()
        self._writer: threading.Thread | None = None

    def start(self) -> None:
        """Start the writer, if it does not run yet."""
        with self._changed:
            if self._writer is None and not self._stopping:
                self._writer = threading.Thread(target=self._write_all, name="ingest-writer", daemon=True)
                self._writer.start()

    @property
    def waiting(self) -> int:
        """Samples and answers that are not yet with the writer."""
        with self._changed:
            return self._waiting

    def submit(self, items: Sequence[Item], *, source: str, durable: bool = False) -> Receipt:
        """Take items in as far as there is room (durable: all or none), never blocking."""
        self.start()
        samples = _count_samples(items)
        self.counters.receive(source, samples)
        with self._changed:
            taken = items[: self._room(items, all_or_none=durable)]
            refused = samples - _count_samples(taken)
            committed: Future[None] | None = Future() if durable and len(taken) == len(items) else None
            if committed is not None:
                # A caller that stops waiting must not cancel what the writer will finish.
                committed.set_running_or_notify_cancel()
            if taken or committed is not None:
                self._append(_Entry(taken, _size(taken), committed))
        if refused:
            self.counters.drop("queue_full", refused)
        return Receipt(accepted=samples - refused, refused=refused, committed=committed)

    @property
    def received(self) -> Mapping[str, int]:
        """Samples that arrived, by source."""
        return self.counters.received

    @property
    def dropped(self) -> Mapping[str, int]:
        """Samples that were dropped, by reason."""
        return self.counters.dropped

    @property
    def queue_length(self) -> int:
        """How many items wait."""
        with self._changed:
            return self._waiting

    def stop(self) -> None:
        """Take no more, commit what waits, and return; what cannot be committed is counted."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._writer is not None:
            self._writer.join()

    def _room(self, items: Sequence[Item], *, all_or_none: bool) -> int:
        if self._stopping:
            return 0
        count = min(len(items), self.queue_limit - self._waiting)
        if self._waiting_size + _size(items[:count]) > self._byte_limit:
            count = 0
        return 0 if all_or_none and count < len(items) else count

    def _append(self, entry: _Entry) -> None:
        self._entries.append(entry)
        self._waiting += len(entry.items)
        self._waiting_size += entry.size
        self._durable += entry.committed is not None
        self._changed.notify_all()

    def _write_all(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._entries or self._stopping)
                self._changed.wait_for(lambda: self._durable or self._stopping, timeout=self._interval)
                entries = self._take()
            if not entries:
                return
            self._commit(entries)

    def _take(self) -> list[_Entry]:
        taken: list[_Entry] = []
        count = 0
        while self._entries and (not taken or count + len(self._entries[0].items) <= LARGEST_COMMIT):
            entry = self._entries.popleft()
            taken.append(entry)
            count += len(entry.items)
            self._waiting -= len(entry.items)
            self._waiting_size -= entry.size
            self._durable -= entry.committed is not None
        return taken

    def _commit(self, entries: Sequence[_Entry]) -> None:
        batch = [item for entry in entries for item in entry.items]
        pause = self._interval
        while True:
            try:
                self._sink.ingest(batch)
            except StateError as error:
                # Those who wait hear of it at once; the samples are tried again all the same, which
                # is safe because an id counts once.
                _finish(entries, error)
                with self._changed:
                    if self._changed.wait_for(lambda: self._stopping, timeout=pause):
                        self._last_try(batch)
                        return
                pause = min(2 * pause, LONGEST_PAUSE)
            except Exception as error:
                # One odd sample must not end all ingestion.
                _finish(entries, error)
                self._one_by_one(batch)
                return
            else:
                _finish(entries, None)
                return

    def _last_try(self, batch: Sequence[Item]) -> None:
        try:
            self._sink.ingest(batch)
        except Exception:
            # Nothing else can be done with it: counted.
            self.counters.drop("unstorable", _count_samples(batch))

    def _one_by_one(self, batch: Sequence[Item]) -> None:
        for item in batch:
            self._last_try([item])


def _finish(entries: Sequence[_Entry], error: Exception | None) -> None:
    for entry in entries:
        if entry.committed is not None and not entry.committed.done():
            if error is None:
                entry.committed.set_result(None)
            else:
                entry.committed.set_exception(error)


def _count_samples(items: Sequence[Item]) -> int:
    return sum(isinstance(item, Sample) for item in items)


def _size(items: Sequence[Item]) -> int:
    total = 0
    for item in items:
        if isinstance(item, Sample):
            total += len(item.text or "") + len(item.text_pair or "") + 8 * len(item.input_ids or ())
    return total
