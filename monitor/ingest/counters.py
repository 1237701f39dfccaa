"""How many samples arrived, by source, and how many of them were dropped, by reason."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping


class IngestCounters:
    """Counts since start-up, safe to use from any thread.

    What is dropped was received first, but for served answers, which are no samples.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._received: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()

    def receive(self, source: str, count: int = 1) -> None:
        """Samples arrived, good or bad."""
        with self._lock:
            self._received[source] += count

    def drop(self, reason: str, count: int = 1) -> None:
        """Samples that had arrived go no further."""
        with self._lock:
            self._dropped[reason] += count

    @property
    def received(self) -> Mapping[str, int]:
        """A copy: samples by source (``http``, ``cloudevents``, ``jsonl``)."""
        with self._lock:
            return dict(self._received)

    @property
    def dropped(self) -> Mapping[str, int]:
        """A copy: samples by reason, the keys of ``DROP_REASONS``."""
        with self._lock:
            return dict(self._dropped)
