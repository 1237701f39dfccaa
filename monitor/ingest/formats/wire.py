"""What a wire format is: it translates bodies into headwatch's own JSON, which is then checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Document = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class WireFormat:
    """``samples`` gives one native sample document per input of a request body, ``answers`` one
    native prediction document (or None) per output of a response body, in the same order.

    Both may raise ``PayloadError``; what they give is checked by ``native`` afterwards.
    """

    example: str
    recognises: Callable[[Any], bool]
    samples: Callable[[Any], Sequence[Any]]
    answers: Callable[[Any], Sequence[Document | None]]
