"""The model itself, watched by fixed inputs: they are re-run, and nothing but the model can move them.

difference = |profile now - profile of the baseline| / sd of that statistic over the baseline's
samples (at least .001). Unchanged weights give exactly 0; another batching up to .007 sd; bf16 .23;
the weakest fault of a single head that was measured 1.15. Above ``threshold`` (.05 sd) the model,
or what it runs on, has changed; where other parameters are known to be loaded, any difference says
so. Heads whose parameters have another hash are named by that. Where
the hashes cannot tell, the faulty head is the one with the largest difference in the earliest layer
that differs by more than .01 sd: later layers only inherit it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.drift.changes import Changes, changes
from monitor.records import HeadId, ProbeReading

TOUCHED = 0.01
SMALLEST_SD = 1e-3
SMALLEST_PREDICTION_SD = 1e-2


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadShift:
    """A head on the probe inputs: its statistic (index) that moved most, in sd, before and after.

    ``named``: its own parameters changed, or it is the one that the differences began with.
    """

    head: HeadId
    statistic: int
    difference: float
    before: float
    after: float
    named: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """``difference`` in sd over heads and predictions; ``prediction`` that of the predictions only.

    ``heads``: the named ones first, then the others by size. ``comparable`` is false where baseline
    and reading were taken with other inputs or statistics. ``padding``: how far padding moves one
    input now, in sd, more than it did in the baseline, while by itself that input gives what it gave
    there; else 0.
    """

    comparable: bool
    difference: float
    prediction: float
    heads: tuple[HeadShift, ...]
    changes: Changes
    padding: float

    def limit(self, threshold: float) -> float:
        """The difference above which the model has changed: none is too small where its parameters did."""
        return 0.0 if self.changes.parameters else threshold


def compare(
    baseline: ProbeReading | None,
    reading: ProbeReading | None,
    head_sd: NDArray[np.float64],
    prediction_sd: NDArray[np.float64],
    *,
    most: int = 10,
) -> ProbeResult | None:
    """Compare two readings; head_sd (layer, head, statistic), prediction_sd (measure). None: no reading."""
    if baseline is None or reading is None:
        return None
    found = changes(baseline.identity, reading.identity)
    if baseline.inputs_hash != reading.inputs_hash or baseline.profile.shape != reading.profile.shape:
        return ProbeResult(
            comparable=False, difference=0.0, prediction=0.0, heads=(), changes=found, padding=0.0
        )
    with np.errstate(invalid="ignore"):
        moved = np.abs(reading.profile.astype(np.float64) - baseline.profile)
    moved = np.where(np.isnan(moved), np.inf, moved)
    by_statistic = moved.max(axis=0) / np.maximum(head_sd, SMALLEST_SD)
    prediction = _prediction_shift(baseline, reading, prediction_sd)
    return ProbeResult(
        comparable=True,
        difference=float(max(by_statistic.max(initial=0.0), prediction)),
        prediction=prediction,
        heads=_suspects(baseline, reading, by_statistic, found, most),
        changes=found,
        padding=_padding_shift(baseline, reading, head_sd),
    )


def _padding_shift(baseline: ProbeReading, reading: ProbeReading, head_sd: NDArray[np.float64]) -> float:
    if baseline.alone is None or reading.alone is None:
        return 0.0
    moved = np.abs(reading.alone.astype(np.float64) - baseline.alone) / np.maximum(head_sd, SMALLEST_SD)
    alike = float(np.nan_to_num(moved, nan=np.inf).max(initial=0.0)) <= TOUCHED
    return max(0.0, reading.padding_gap - baseline.padding_gap) if alike else 0.0


def _prediction_shift(
    baseline: ProbeReading, reading: ProbeReading, prediction_sd: NDArray[np.float64]
) -> float:
    if baseline.prediction.shape != reading.prediction.shape or baseline.prediction.size == 0:
        return 0.0
    moved = np.abs(reading.prediction.astype(np.float64) - baseline.prediction)
    if prediction_sd.shape == moved.shape[1:]:
        moved = moved / np.maximum(prediction_sd, SMALLEST_PREDICTION_SD)
    return float(np.nan_to_num(moved, nan=np.inf, posinf=np.inf).max(initial=0.0))


def _suspects(
    baseline: ProbeReading,
    reading: ProbeReading,
    difference: NDArray[np.float64],
    found: Changes,
    most: int,
) -> tuple[HeadShift, ...]:
    by_head = difference.max(axis=2, initial=0.0)
    named = _named(by_head, found, most)
    order = [divmod(int(index), by_head.shape[1]) for index in np.argsort(-by_head, axis=None, kind="stable")]
    moved = [place for place in order if by_head[place] > TOUCHED and place not in named]
    before, after = baseline.profile.mean(axis=0), reading.profile.mean(axis=0)
    shifts = []
    for layer, head in [*named, *moved][:most]:
        statistic = int(difference[layer, head].argmax())
        shifts.append(
            HeadShift(
                head=HeadId(layer=layer, head=head),
                statistic=statistic,
                difference=float(by_head[layer, head]),
                before=float(before[layer, head, statistic]),
                after=float(after[layer, head, statistic]),
                named=(layer, head) in named,
            )
        )
    return tuple(shifts)


def _named(by_head: NDArray[np.float64], found: Changes, most: int) -> list[tuple[int, int]]:
    """The heads to name, (layer, head): by their hashes, else the one that the differences began with.

    None where the hashes say that the change is not one of a few heads.
    """
    if found.files and found.compared:
        heads = [(item.layer, item.head) for item in found.heads]
        return sorted(heads, key=lambda place: (place[0], -by_head[place])) if len(heads) <= most else []
    layers = np.flatnonzero((by_head > TOUCHED).any(axis=1))
    return [(int(layers[0]), int(by_head[layers[0]].argmax()))] if len(layers) else []
