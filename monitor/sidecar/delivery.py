"""The outbox on its way out: each pending record goes to the sink of its kind, once it answers."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping

from monitor.errors import ExportError
from monitor.records import OutboxRecord
from monitor.state.store import StateStore

log = logging.getLogger("headwatch.delivery")

Deliver = Callable[[OutboxRecord], None]
BATCH = 50
# A sink that is away fails every record; one bad record fails alone and must not hold up the rest.
MOST_FAILURES = 3


class Delivery:
    """Drains the outbox. ``sinks`` maps a sink's name to its record kinds and its deliver function.

    A record leaves the outbox only after its sink took it; a sink that keeps failing is left alone
    until the next run and never holds up another.
    """

    def __init__(
        self,
        *,
        store: StateStore,
        sinks: Mapping[str, tuple[frozenset[str], Deliver]],
        should_stop: Callable[[], bool],
    ) -> None:
        self.failures: Counter[str] = Counter(dict.fromkeys(sinks, 0))
        self.deliveries: Counter[str] = Counter(dict.fromkeys(sinks, 0))
        self._store = store
        self._sinks = sinks
        self._should_stop = should_stop

    def run(self) -> None:
        """Deliver what is pending; raises nothing that a sink did."""
        for name, (kinds, deliver) in self._sinks.items():
            failures = 0
            for record in self._store.pending_outbox(sorted(kinds), BATCH):
                if self._should_stop() or failures >= MOST_FAILURES:
                    break
                failures += not self._try(name, deliver, record)

    def _try(self, name: str, deliver: Deliver, record: OutboxRecord) -> bool:
        try:
            deliver(record)
        except ExportError as error:
            self.failures[name] += 1
            log.warning("%s is kept in the outbox: %s", record.key, error)
            return False
        except Exception:
            # A sink's own library may raise anything; the record is as safe as before.
            self.failures[name] += 1
            log.exception("%s is kept in the outbox: %s failed", record.key, name)
            return False
        self._store.delivered(record.key)
        self.deliveries[name] += 1
        return True
