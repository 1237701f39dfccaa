"""The secret key under which rare words are hashed: configured, or made once beside the state file."""

from __future__ import annotations

import os
from pathlib import Path

from monitor.config.configuration import PrivacySettings
from monitor.privacy import WordPrivacy, new_key


def word_privacy(settings: PrivacySettings, *, folder: Path) -> WordPrivacy:
    """The privacy rules; a key that nobody configured is kept in ``folder/headwatch.key`` (0600)."""
    if settings.key is not None:
        key = settings.key.get_secret_value().encode()
    else:
        key = _kept_key(folder / "headwatch.key")
    return WordPrivacy(
        key=key, minimum_requests=settings.minimum_requests, allowlist=frozenset(settings.allowlist)
    )


def _kept_key(path: Path) -> bytes:
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(new_key())
            os.fsync(file.fileno())
    except FileExistsError:
        pass
    return path.read_bytes()
