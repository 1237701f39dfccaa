"""The fixed texts that are run again and again to watch the model itself."""

from __future__ import annotations

from pathlib import Path

from monitor.errors import InputError

_SHIPPED = Path(__file__).with_suffix(".txt")


def load_probe_texts(path: Path | str | None = None) -> tuple[str, ...]:
    """One text a line from ``path``, or the shipped neutral set; raises ``InputError``."""
    chosen = _SHIPPED if path is None else Path(path)
    try:
        lines = chosen.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise InputError(f"probe.file = {chosen}: is not UTF-8 text; write one text a line") from None
    except OSError as error:
        raise InputError(
            f"probe.file = {chosen}: cannot be read ({error.strerror}); name a file with one text a line"
        ) from None
    texts = tuple(line.strip() for line in lines if line.strip())
    if not texts:
        raise InputError(f"probe.file = {chosen}: has no text; write one text a line")
    return texts
