"""A uniform sample of a stream in bounded memory: the ``size`` ids with the smallest keyed hash.

Bottom-k sampling (Cohen & Kaplan 2007). Which ids are kept depends on the ids and the key alone,
neither on their order nor on who saw them: samples of parts merge into the sample of the whole.

>>> key = bytes(16)
>>> left, right = bottom_k(["a", "b", "c"], key=key, size=2), bottom_k(["c", "d"], key=key, size=2)
>>> merge(left, right) == bottom_k(["a", "b", "c", "d"], key=key, size=2)
True
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from monitor.records import Sample

KEY_BYTES = 16
# Differs from the window's own key, so that the subsample is no function of what the window kept.
SUBSAMPLE_KEY = b"headwatch:subset"


@dataclass(frozen=True, slots=True, kw_only=True)
class BottomK:
    """At most ``size`` distinct entries ``(hash, id)``, the smallest first."""

    size: int
    entries: tuple[tuple[int, str], ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= len(self.entries) <= self.size:
            raise ValueError(f"entries (={len(self.entries)}) must be at most size (={self.size})")

    @property
    def ids(self) -> frozenset[str]:
        """The ids that are kept."""
        return frozenset(identity for _, identity in self.entries)


def hash_id(identity: str, key: bytes) -> int:
    """The keyed 64-bit hash of an id: BLAKE2b, from 0 to 2**64 - 1."""
    return int.from_bytes(blake2b(identity.encode(), digest_size=8, key=key).digest(), "big")


def window_key(secret: bytes, index: int) -> bytes:
    """The key of one window, so that an id that comes back is not always (or never) kept."""
    return blake2b(index.to_bytes(8, "big"), digest_size=KEY_BYTES, key=secret).digest()


def bottom_k(ids: Iterable[str], *, key: bytes, size: int) -> BottomK:
    """The sample of ``ids``; an id that comes twice counts once."""
    hashed = {(hash_id(identity, key), identity) for identity in ids}
    return BottomK(size=size, entries=tuple(heapq.nsmallest(size, hashed)))


def merge(left: BottomK, right: BottomK) -> BottomK:
    """The sample of both streams together: associative, commutative and idempotent.

    ``BottomK(size=k)`` is its zero. Both sides must be hashed with the same key.
    """
    if left.size != right.size:
        raise ValueError(f"left.size (={left.size}) must equal right.size (={right.size})")
    union = {*left.entries, *right.entries}
    return BottomK(size=left.size, entries=tuple(heapq.nsmallest(left.size, union)))


def subsample(samples: Sequence[Sample], size: int) -> list[Sample]:
    """A repeatable uniform subsample, in the order of ``samples``; the larger ones hold the smaller."""
    kept = bottom_k((sample.id for sample in samples), key=SUBSAMPLE_KEY, size=size).ids
    return [sample for sample in samples if sample.id in kept]
