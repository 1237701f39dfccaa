"""Colours for numbers, readable by every colour vision.

Cividis (Nunez, Anderton & Renslow 2018, doi 10.1371/journal.pone.0199239) runs from dark blue to yellow, one
order for every colour vision, and in grey. PuOr (ColorBrewer, Harrower & Brewer 2003, doi
10.1179/000870403235002042) is for signed numbers: purple below zero, orange above.
"""

from __future__ import annotations

CIVIDIS = ("#00224e", "#123570", "#3b496c", "#575d6d", "#707173", "#8a8678", "#a59c74", "#c3b369", "#e1cc55",
           "#fee838")  # fmt: skip
CIVIDIS_ON_DARK = ("#5e6da2", "#677abd", "#7b88af", "#8f95a6", "#a0a1a3", "#b2ae9f", "#c5bb92", "#dac97d",
                   "#edd760", "#fee838")  # fmt: skip
"""For cells on a dark page, on which cividis begins all but blank: the same CIELAB a* and b*, L* from 47."""
PUOR = ("#2d004b", "#542788", "#8073ac", "#b2abd2", "#d8daeb", "#f7f7f7", "#fee0b6", "#fdb863", "#e08214",
        "#b35806", "#7f3b08")  # fmt: skip
PAPER, TEXT = "#fff", "#000"
EVEN_CONTRAST = 0.179
"""The luminance on which black and white stand out alike (WCAG 2.2)."""


def colour(share: float) -> str:
    """Cividis at this share of its length, within [0, 1].

    >>> colour(0.0), colour(1.0)
    ('#00224e', '#fee838')
    """
    return _between(CIVIDIS, share)


def on_dark(share: float) -> str:
    """What stands for :func:`colour` on a dark page; black reads on it everywhere.

    >>> on_dark(0.0), on_dark(1.0)
    ('#5e6da2', '#fee838')
    """
    return _between(CIVIDIS_ON_DARK, share)


def ink(share: float) -> str:
    """Black or white: the one that reads on :func:`colour` at this share."""
    return TEXT if share > 0.5 else PAPER


def diverging(share: float) -> str:
    """Purple to orange over [-1, 1]; nearly white at zero.

    >>> diverging(-1.0), diverging(0.0), diverging(1.0)
    ('#2d004b', '#f7f7f7', '#7f3b08')
    """
    return _between(PUOR, (share + 1) / 2)


def diverging_ink(share: float) -> str:
    """Black or white: the one that reads on :func:`diverging` at this share."""
    return TEXT if _luminance(diverging(share)) > EVEN_CONTRAST else PAPER


def _between(colours: tuple[str, ...], share: float) -> str:
    position = min(1.0, max(0.0, share)) * (len(colours) - 1)
    index = min(int(position), len(colours) - 2)
    one, other = (bytes.fromhex(colours[index + step][1:]) for step in (0, 1))
    mixed = (round(a + (b - a) * (position - index)) for a, b in zip(one, other, strict=True))
    return f"#{bytes(mixed).hex()}"


def _luminance(colour_: str) -> float:
    """WCAG's relative luminance of ``#rrggbb``."""
    shares = [byte / 255 for byte in bytes.fromhex(colour_[1:])]
    red, green, blue = (s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
