"""The outbox on its way out: each pending record goes to the sink of its kind, once it answers."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from monitor.errors import ExportError
from monitor.records import OutboxRecord
from monitor.state.store import StateStore

log = logging.getLogger("headwatch.delivery")

Send = Callable[[OutboxRecord], None]
Deliver = Send | Mapping[str, Send]
"""How a sink takes a record; a sink with several addresses says how each of them does.

An address goes by a name that stays the same after a restart and that tells no secret: receipts are kept
under it.
"""

BATCH = 50
# A sink that is away fails every record; so many in a row are enough to see it.
MOST_FAILURES = 3
_ONLY = ""


class Delivery:
    """Drains the outbox. ``sinks`` maps a sink's name to its record kinds and how it takes them.

    A record leaves the outbox only after its sink took it, at each of its addresses; what keeps failing
    is left alone until the next run and never holds up another sink or another address.
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
        self._sinks = {
            name: (sorted(kinds), deliver if isinstance(deliver, Mapping) else {_ONLY: deliver})
            for name, (kinds, deliver) in sinks.items()
        }
        self._queues = {
            (name, address): Queue() for name, (_, sends) in self._sinks.items() for address in sends
        }
        self._should_stop = should_stop

    def run(self) -> None:
        """Deliver what is pending; raises nothing that a sink did."""
        for name, (kinds, sends) in self._sinks.items():
            missing = self._store.undelivered(kinds, list(sends))
            for key, addresses in missing.items():
                if not addresses:
                    # The address that still lacked it is no longer configured.
                    self._store.delivered(key)
            for address in sends:
                keys = [key for key, addresses in missing.items() if address in addresses]
                attempt = partial(self._try, name, address)
                self._queues[name, address].run(keys, attempt, should_stop=self._should_stop)

    def _try(self, name: str, address: str, key: str) -> bool | None:
        """Whether the address took the record; None where it left the outbox meanwhile."""
        record = self._store.outbox_record(key)
        if record is None:
            return None
        sends = self._sinks[name][1]
        try:
            sends[address](record)
        except ExportError as error:
            self.failures[name] += 1
            log.warning("%s is kept in the outbox: %s", key, error)
            return False
        except Exception:
            # A sink's own library may raise anything; the record is as safe as before.
            self.failures[name] += 1
            log.exception("%s is kept in the outbox: %s failed", key, name)
            return False
        self.deliveries[name] += self._store.delivered(key, address, of=list(sends))
        return True


class Queue:
    """The order in which one address is tried: the oldest first, behind no record that it never takes.

    What a failure means shows only beside another record. One that fails in a run in which the address
    later takes another is at fault itself: it is *refused*, and from then on tried after all the rest.
    Where all fail they are *doubtful*: the address is away, or the oldest records are all at fault. So
    each run begins with the oldest, which keeps the order when the address is back, and goes on with
    records that have not failed yet: in the end it meets one that is taken, if there is any.
    """

    def __init__(self) -> None:
        # Both as ordered sets: the one that was tried longest ago is first.
        self._refused: dict[str, None] = {}
        self._doubtful: dict[str, None] = {}

    def run(
        self, keys: Sequence[str], attempt: Callable[[str], bool | None], *, should_stop: Callable[[], bool]
    ) -> None:
        """Try the pending ``keys``, the oldest first; ``attempt`` says whether one was taken."""
        pending = set(keys)
        self._refused = {key: None for key in self._refused if key in pending}
        self._doubtful = {key: None for key in self._doubtful if key in pending}
        tried: set[str] = set()
        failed: list[str] = []
        while len(failed) < MOST_FAILURES and len(tried) < BATCH and not should_stop():
            key = next((key for key in self._order(keys) if key not in tried), None)
            if key is None:
                return
            tried.add(key)
            taken = attempt(key)
            if taken:
                self._note_taken(key, failed)
                failed = []
            elif taken is False:
                failed.append(key)
                self._to_the_end(key)

    def _order(self, keys: Sequence[str]) -> Iterator[str]:
        good = [key for key in keys if key not in self._refused]
        yield from good[:1]
        yield from (key for key in good if key not in self._doubtful)
        yield from self._doubtful
        yield from self._refused

    def _note_taken(self, key: str, failed: Sequence[str]) -> None:
        if key in self._doubtful:
            # It was an outage, and no record's fault: all of them again, in order.
            self._doubtful.clear()
        for other in failed:
            self._doubtful.pop(other, None)
            self._refused[other] = None
        self._refused.pop(key, None)

    def _to_the_end(self, key: str) -> None:
        known = self._refused if key in self._refused else self._doubtful
        known.pop(key, None)
        known[key] = None
