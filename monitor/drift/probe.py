"""The model itself, watched by fixed inputs: they are re-run, and nothing but the model can move them.

difference = |profile now - profile of the baseline| / sd of that statistic over the baseline's
samples (at least .001). Unchanged weights give exactly 0; another batching up to .007 sd; bf16 .23;
the weakest fault of a single head that was measured 1.15. Above ``threshold`` (.05 sd) the model,
or what it runs on, has changed. The faulty head is the one with the largest difference in the
earliest layer that differs by more than .01 sd: later layers only inherit it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.records import HeadId, ProbeReading

TOUCHED = 0.01
SMALLEST_SD = 1e-3
SMALLEST_PREDICTION_SD = 1e-2


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadShift:
    """A head on the probe inputs: its statistic (index) that moved most, in sd, before and after."""

    head: HeadId
    statistic: int
    difference: float
    before: float
    after: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """``difference`` in sd over heads and predictions; ``prediction`` that of the predictions only.

    ``heads``: the suspected head first, then the others by size. ``comparable`` is false where
    baseline and reading were taken with other inputs or statistics.
    """

    comparable: bool
    difference: float
    prediction: float
    heads: tuple[HeadShift, ...]
    same_weights: bool
    same_libraries: bool


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
    same_weights = baseline.identity.weights_hash == reading.identity.weights_hash
    same_libraries = (
        dict(baseline.identity.libraries) == dict(reading.identity.libraries)
        and baseline.identity.dtype == reading.identity.dtype
        and baseline.identity.device == reading.identity.device
    )
    if baseline.inputs_hash != reading.inputs_hash or baseline.profile.shape != reading.profile.shape:
        return ProbeResult(
            comparable=False,
            difference=0.0,
            prediction=0.0,
            heads=(),
            same_weights=same_weights,
            same_libraries=same_libraries,
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
        heads=_suspects(baseline, reading, by_statistic, most),
        same_weights=same_weights,
        same_libraries=same_libraries,
    )


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
    baseline: ProbeReading, reading: ProbeReading, difference: NDArray[np.float64], most: int
) -> tuple[HeadShift, ...]:
    by_head = difference.max(axis=2)
    layers = np.flatnonzero((by_head > TOUCHED).any(axis=1))
    if not len(layers):
        return ()
    first = (int(layers[0]), int(by_head[layers[0]].argmax()))
    order = [divmod(int(index), by_head.shape[1]) for index in np.argsort(-by_head, axis=None, kind="stable")]
    chosen = [first, *(place for place in order[:most] if place != first)][:most]
    before, after = baseline.profile.mean(axis=0), reading.profile.mean(axis=0)
    shifts = []
    for layer, head in chosen:
        if by_head[layer, head] <= TOUCHED:
            continue
        statistic = int(difference[layer, head].argmax())
        shifts.append(
            HeadShift(
                head=HeadId(layer=layer, head=head),
                statistic=statistic,
                difference=float(by_head[layer, head]),
                before=float(before[layer, head, statistic]),
                after=float(after[layer, head, statistic]),
            )
        )
    return tuple(shifts)
