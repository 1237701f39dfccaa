"""Words in clear only when enough requests had them; otherwise a keyed hash.

A word is shown when it was seen in at least ``minimum_requests`` distinct requests (of the baseline
or of the windows since the onset) or is on the allowlist; else as ``#`` and 16 hex digits of
HMAC-SHA-256 under a key that never leaves the machine.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

KEY_BYTES = 32
_HASHED = re.compile("#[0-9a-f]{16}")


@dataclass(frozen=True, slots=True, kw_only=True)
class WordPrivacy:
    """How words may be shown; ``key`` is secret and never printed.

    >>> words = WordPrivacy(key=bytes(32), minimum_requests=20)
    >>> words.name("film", 20), words.name("film", 19)
    ('film', '#405ffd8046e68fa8')
    """

    key: bytes = field(repr=False)
    minimum_requests: int = 20
    allowlist: frozenset[str] = frozenset()

    def name(self, word: str, requests: int) -> str:
        """The word if it may be shown, else its keyed hash; what is hashed already stays as it is."""
        if requests >= self.minimum_requests or word in self.allowlist or _HASHED.fullmatch(word):
            return word
        digest = hmac.new(self.key, word.encode("utf-8", "surrogatepass"), hashlib.sha256)
        return f"#{digest.hexdigest()[:16]}"

    @property
    def fingerprint(self) -> str:
        """Tells one key from another without revealing either."""
        return hmac.new(self.key, b"headwatch key fingerprint", hashlib.sha256).hexdigest()[:16]

    def unseen_count(self, baseline_fingerprint: str) -> int:
        """How often a word missing from the baseline may yet have been in it.

        0 when the baseline's rare words were hashed with this key (or not at all); with another
        key rare words cannot be recognised, so any may have been seen minimum_requests - 1 times,
        or once where this one hides none.
        """
        if baseline_fingerprint in (CLEAR, self.fingerprint):
            return 0
        return max(1, self.minimum_requests - 1)


CLEAR = "clear"
"""The fingerprint of baselines that keep every word in clear (local files made by backtest)."""


def in_clear(word: str, requests: int) -> str:  # noqa: ARG001 (the signature of WordPrivacy.name)
    """Every word as it is: for local commands on the user's own files."""
    return word


def new_key() -> bytes:
    """A fresh random key."""
    return secrets.token_bytes(KEY_BYTES)


WordName = Callable[[str, int], str]
