"""Numbers, sizes and spans of time as people read them in a table."""

from __future__ import annotations

LARGEST = 1e6
_SPANS = (("day", 86400.0), ("h", 3600.0), ("min", 60.0), ("s", 1.0))


def amount(count: float) -> str:
    """A count with its thousands apart.

    >>> amount(1840)
    '1,840'
    """
    return f"{count:,.0f}"


def bounded(value: float | None, digits: int = 2, *, sign: bool = False) -> str:
    """At most eight characters, whatever a broken model makes of the number; ``?`` where there is none.

    ``digits`` after the point; with three of them small numbers keep three that are not zero.

    >>> bounded(9.0645), bounded(-27.61, 1, sign=True), bounded(123456.7), bounded(1e9), bounded(None)
    ('9.06', '-27.6', '123457', '> 1e6', '?')
    >>> bounded(0.004671, 3), bounded(1.2, 1, sign=True)
    ('0.00467', '+1.2')
    """
    form = "+" if sign else ""
    if value is None:
        return "?"
    if abs(value) >= LARGEST:
        return "> 1e6" if value > 0 else "< -1e6"
    if abs(value) >= 100:
        return f"{value:{form}.0f}"
    if digits > 2 and 1e-5 <= abs(value) < 1:
        whole = f"{value:{form}.{digits}g}"
        return whole if "e" not in whole else f"{value:{form}.6f}"
    return f"{value:{form}.{min(digits, 2)}f}"


def size(count: float) -> str:
    """Bytes in the unit that fits.

    >>> size(512), size(8192), size(64e6)
    ('512 B', '8.2 kB', '64 MB')
    """
    for unit, whole in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= whole:
            return f"{count / whole:.2g} {unit}" if count < 100 * whole else f"{count / whole:.0f} {unit}"
    return f"{count:.0f} B"


def ago(seconds: float) -> str:
    """How long ago, in the two largest units.

    >>> ago(5), ago(7500), ago(200000), ago(-1)
    ('5 s ago', '2 h 5 min ago', '2 days 7 h ago', 'now')
    """
    if seconds < 1:
        return "now"
    for place, (unit, length) in enumerate(_SPANS):
        if seconds >= length:
            count, rest = divmod(seconds, length)
            first = f"{count:.0f} {unit}{'s' if unit == 'day' and count > 1 else ''}"
            # seconds beside minutes are noise
            if unit in ("min", "s"):
                return f"{first} ago"
            small, small_length = _SPANS[place + 1]
            return f"{first} {rest // small_length:.0f} {small} ago"
    return "now"
