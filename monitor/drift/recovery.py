"""Evidence that a shift has ended: an e-value against "it persists with at least half its size".

When an alarm is raised, its strongest witnesses are noted: a score with mean ~0 while quiet and mean
m since the onset. Null: the mean is still >= q + (m - q)/2 =: theta (q its mean while quiet). Bets
1 + lambda (theta - score), lambda = c / (highest score - theta), c in {.2, .5, .9}, have mean
<= 1 under it; Shiryaev-Roberts over windows, averaged over c and over the witnesses (each has such a
mean while the shift persists, so their mean has it too). An alarm clears when that average reaches
the limit: under a shift of half its size that takes 20 windows on average at the limit of 20, under
the whole shift it practically never happens. While they say that the shift persists, the witnesses
are noted anew, with what was learnt since.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from monitor.drift.evidence import Floats, fresh, log_mean

SHARES = (0.2, 0.5, 0.9)
KEPT = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """One score that showed the shift.

    ``form`` says where its score comes from: ``feature`` or ``chart`` (``place`` = feature, score;
    ``sign``), ``line`` (along ``weights``; ``place`` = 0 location, 1 or 2 a tail), ``word``
    (``name``; ``place`` = kind; ``sign`` -1 for lost ones) or ``fidelity`` (``place`` = measure).
    """

    form: str
    place: tuple[int, ...]
    sign: int
    name: str
    theta: float
    highest: float
    log_r: tuple[float, ...]
    weights: tuple[float, ...] = ()

    @property
    def evidence(self) -> float:
        """Log evidence against the shift persisting."""
        return float(log_mean(np.array(self.log_r)))

    def step(self, scores: NDArray[np.floating], power: float) -> Witness:
        """After a window of signed ``scores`` (sample,), each worth ``power``."""
        if len(scores) == 0:
            return self
        room = max(self.highest - self.theta, 1e-9)
        bets = np.array(SHARES)[:, None] / room
        gains = np.log(np.maximum(1e-3, 1.0 + bets * (self.theta - scores[None, :]))).sum(axis=1)
        stepped = np.logaddexp(np.array(self.log_r), 0.0) + gains * power
        return replace(self, log_r=tuple(float(value) for value in stepped))


def witness(
    form: str,
    *,
    place: tuple[int, ...],
    sign: int = 1,
    name: str = "",
    quiet: float,
    shifted: float,
    highest: float,
    weights: Sequence[float] = (),
) -> Witness | None:
    """A witness whose signed score has mean ``quiet`` without and ``shifted`` with the shift.

    None if the two are too close to be told apart.
    """
    if shifted - quiet < 1e-3:
        return None
    return Witness(
        form=form,
        place=place,
        sign=sign,
        name=name,
        theta=quiet + 0.5 * (shifted - quiet),
        highest=highest,
        log_r=tuple(_start().tolist()),
        weights=tuple(float(value) for value in weights),
    )


def evidence(witnesses: Sequence[Witness]) -> float:
    """The log evidence that the shift has ended: the mean over the witnesses."""
    return float(log_mean(np.array([item.evidence for item in witnesses]))) if witnesses else -np.inf


def _start() -> Floats:
    return fresh((len(SHARES),)).log_r
