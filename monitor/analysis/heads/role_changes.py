"""Which role leads for each head, and which heads changed theirs between two times."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.analysis.heads.means import HeadMeans
from monitor.records import HeadId

LEAST = 0.5
"""A role leads where it has at least half of the attention (or of the queries, or keys)."""
ERRORS = 4.0
SMALLEST_CHANGE = 0.1
NARROW = ("self", "previous", "next", "first", "separator", "punctuation", "duplicate", "induction")
WIDE = ("local", "broad")
MIXED, DEAD = "mixed", "dead"


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleChange:
    """The role whose share moved most in one head; shares are means over samples."""

    head: HeadId
    role: str
    before: float
    after: float
    leading_before: str
    leading_after: str


def leading_role(roles: tuple[str, ...], shares: NDArray[np.floating]) -> str:
    """The role that describes a head best, or ``mixed``; shares (role,), NaN where undefined.

    ``dead`` goes first, then the narrow role with the largest share, then ``local`` and ``broad``,
    each only from a half on.

    >>> leading_role(("self", "local"), np.array([0.2, 0.9]))
    'local'
    """
    share = {name: float(value) for name, value in zip(roles, shares, strict=True) if value >= LEAST}
    if DEAD in share:
        return DEAD
    narrow = [name for name in share if name in NARROW]
    if narrow:
        return max(narrow, key=lambda name: share[name])
    return next((name for name in WIDE if name in share), MIXED)


def leading_roles(means: HeadMeans) -> list[list[str]]:
    """The leading role of each head, by layer."""
    return [[leading_role(means.measures, head) for head in layer] for layer in means.mean]


def role_changes(before: HeadMeans, after: HeadMeans) -> list[RoleChange]:
    """Heads of which a share moved, largest move first.

    A share moved where the means differ by at least .1 and by 4 standard errors of the difference
    (at 4, one of some thousand shares would do so by chance).
    """
    change = after.mean - before.mean
    error = np.hypot(before.standard_error, after.standard_error)
    with np.errstate(invalid="ignore"):
        moved = (np.abs(change) >= SMALLEST_CHANGE) & (np.abs(change) >= ERRORS * error)
    largest = np.where(moved, np.abs(change), -1.0)
    now, then = leading_roles(after), leading_roles(before)
    found = []
    for layer, head in zip(*np.nonzero(moved.any(axis=-1)), strict=True):
        role = int(largest[layer, head].argmax())
        found.append(
            RoleChange(
                head=HeadId(layer=int(layer), head=int(head)),
                role=before.measures[role],
                before=float(before.mean[layer, head, role]),
                after=float(after.mean[layer, head, role]),
                leading_before=then[layer][head],
                leading_after=now[layer][head],
            )
        )
    return sorted(found, key=lambda item: -abs(item.after - item.before))
