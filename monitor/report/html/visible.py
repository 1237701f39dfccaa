"""Text of strangers as a page may show it: nothing in it is invisible, turns the line or runs on for ever."""

from __future__ import annotations

import unicodedata

LONGEST = 60
_JOINERS = "\u200c\u200d"
"""Within emoji and scripts that join their letters; beside plain letters they only hide something."""


def visible(text: str, *, most: int = LONGEST) -> str:
    r"""The text with control, format and lone surrogate characters as ``⟨U+202E⟩``, cut after ``most``.

    Marks that turn the direction of writing, of no width, or without a picture would let a word look
    like another one or move what stands beside it.

    >>> visible("film"), visible("ev\u202eil"), visible("x" * 9, most=4), visible("\ud800")
    ('film', 'ev⟨U+202E⟩il', 'xxxx…', '⟨U+D800⟩')
    """
    cut = f"{text[:most]}…" if len(text) > most else text
    return "".join(map(_letter, cut, f" {cut}"))


def _letter(letter: str, before: str) -> str:
    joins = letter in _JOINERS and not before.isascii()
    hidden = unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") and not joins
    return f"⟨U+{ord(letter):04X}⟩" if hidden else letter
