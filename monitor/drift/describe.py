"""Evidence turned into the records that people read: heads, words and measures, before -> after."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from monitor.drift.evidence import log_mean
from monitor.drift.fidelity import MEASURES, Fidelity, FidelityState
from monitor.drift.measures import Measures, MeasureState
from monitor.drift.naming import named
from monitor.drift.probe import ProbeResult
from monitor.drift.tokens import KINDS, WordBets, WordState, best_start
from monitor.records import HeadEvidence, HeadId, MeasureEvidence, WordEvidence

MOST_HEADS = 10
MOST_WORDS = 10
WORTH_TELLING = 3.0
"""Words with less log evidence are only shown in an alarm."""


def head_evidence(
    measures: Measures,
    state: MeasureState,
    *,
    shape: tuple[int, int, int],
    statistics: Sequence[str],
    importance: NDArray[np.floating],
    since: int,
    log_limit: float,
) -> tuple[HeadEvidence, ...]:
    """The heads with the strongest evidence; ``shape`` = (layer, head, statistic).

    A head's evidence is the mean over its statistics' bets; e-BH at 1/ARL names some of them.
    """
    by_statistic = log_mean(state.streams.log_r, axis=(1, 2)).reshape(-1, shape[2])
    by_head = log_mean(by_statistic, axis=1)
    chosen = set(named(by_head.tolist(), count=len(by_head), log_limit=log_limit))
    means = state.recent.since(since)
    told = []
    for index in np.argsort(-by_head, kind="stable")[:MOST_HEADS].tolist():
        layer, head = divmod(index, shape[1])
        statistic = int(by_statistic[index].argmax())
        feature = index * shape[2] + statistic
        told.append(
            HeadEvidence(
                head=HeadId(layer=layer, head=head),
                statistic=statistics[statistic],
                evidence=_finite(by_head[index]),
                before=float(measures.before[feature]),
                after=float(means.raw[feature]),
                effect=float(means.standard[feature]),
                importance=float(importance[layer, head]),
                named=index in chosen,
            )
        )
    return tuple(told)


def probe_heads(
    result: ProbeResult,
    *,
    statistics: Sequence[str],
    importance: NDArray[np.floating],
    head_sd: NDArray[np.floating],
) -> tuple[HeadEvidence, ...]:
    """The probe's suspects; a head's evidence is its difference in sd."""
    return tuple(
        HeadEvidence(
            head=item.head,
            statistic=statistics[item.statistic],
            evidence=item.difference,
            before=item.before,
            after=item.after,
            effect=(item.after - item.before)
            / max(float(head_sd[item.head.layer, item.head.head, item.statistic]), 1e-3),
            importance=float(importance[item.head.layer, item.head.head]),
            named=item.named,
        )
        for item in result.heads
    )


def measure_evidence(
    measures: Measures, state: MeasureState, *, names: Sequence[str], since: int
) -> tuple[MeasureEvidence, ...]:
    """Every measure of a channel, strongest evidence first."""
    strength = log_mean(state.streams.log_r, axis=(1, 2))
    means = state.recent.since(since)
    return tuple(
        MeasureEvidence(
            measure=names[feature],
            evidence=_finite(strength[feature]),
            before=float(measures.before[feature]),
            after=float(means.raw[feature]),
            effect=float(means.standard[feature]),
        )
        for feature in np.argsort(-strength, kind="stable").tolist()
    )


def word_evidence(
    bets: WordBets, state: WordState, *, log_limit: float, alarm: bool
) -> tuple[tuple[WordEvidence, ...], tuple[WordEvidence, ...]]:
    """Words gained and lost, strongest first, each word once; e-BH names them, else the likeliest."""
    if not state.rows:
        return (), ()
    strength = log_mean(state.streams.log_r, axis=1)
    count = 2 * bets.vocabulary * sum(total > 0 for total in bets.total)
    certain = set(named(strength.tolist(), count=count, log_limit=log_limit))
    order = np.argsort(-strength, kind="stable").tolist()
    chosen = [index for index in order if index in certain]
    if not chosen and alarm:
        chosen = [index for index in order[:3] if strength[index] >= WORTH_TELLING]
    told: dict[tuple[str, bool], WordEvidence] = {}
    for index in chosen:
        row = state.rows[index]
        told.setdefault(
            (row.name, row.lost),
            WordEvidence(
                word=row.shown,
                kind="present" if KINDS[row.kind] == "present" else "top",
                evidence=_finite(strength[index]),
                before=bets.rate(row.name, row.kind),
                after=float(state.seen[index] / max(state.trials[index], 1.0)),
                requests=int(state.seen[index]),
            ),
        )
    gained = [item for (_, lost), item in told.items() if not lost]
    lost = [item for (_, is_lost), item in told.items() if is_lost]
    return tuple(gained[:MOST_WORDS]), tuple(lost[:MOST_WORDS])


def presence_evidence(bets: WordBets, state: WordState) -> float:
    """The log evidence of the words' presence alone: what a model makes of them has no part in it."""
    rows = [index for index, row in enumerate(state.rows) if KINDS[row.kind] == "present"]
    if not rows:
        return -np.inf
    weights = np.log([bets.weight(state.rows[index]) for index in rows])
    return float(np.logaddexp.reduce(weights + log_mean(state.streams.log_r[rows], axis=1)))


def fidelity_evidence(fidelity: Fidelity, state: FidelityState) -> tuple[MeasureEvidence, ...]:
    """How often served and replayed predictions part, before and since the evidence began to rise."""
    strength = log_mean(state.streams.log_r, axis=1)
    told = []
    for index in np.argsort(-strength, kind="stable").tolist():
        if not state.trials[index]:
            continue  # served answers without a probability: its gap is not known
        after = float(state.hits[index] / state.trials[index])
        before = float(fidelity.before[index])
        sd = max((before * (1 - before)) ** 0.5, 0.1)
        told.append(
            MeasureEvidence(
                measure=MEASURES[index],
                evidence=_finite(strength[index]),
                before=before,
                after=after,
                effect=(after - before) / sd,
            )
        )
    return tuple(told)


def measure_onset(state: MeasureState, window: int) -> int:
    """The window at which the strongest bet of a channel began to win."""
    singles, along = state.streams, state.along
    index = int(singles.log_r.argmax())
    onset, strength = int(singles.start.flat[index]), float(singles.log_w.flat[index])
    best = int(along.log_r.argmax())
    if float(along.log_w.flat[best]) > 0:
        other = int(along.start.flat[best])
        onset = min(onset, other) if strength > 2.0 else other
    elif strength <= 0:
        onset = window
    return min(onset, window)


def word_onset(state: WordState, window: int) -> int:
    """The window at which the strongest word began to rise."""
    if not state.rows:
        return window
    return min(best_start(state.streams, int(log_mean(state.streams.log_r, axis=1).argmax())), window)


def fidelity_onset(state: FidelityState, window: int) -> int:
    """The window at which the served answers began to part."""
    best = int(state.streams.log_r.argmax())
    return min(int(state.streams.start.flat[best]), window)


def _finite(value: float) -> float:
    """Evidence for JSON: R = 0 is shown as e^-50."""
    return float(max(value, -50.0))
