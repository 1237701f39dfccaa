"""Who saw a shift: the scores noted when an alarm is raised, and how they are read later."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from monitor.drift.bets import RankBets
from monitor.drift.direction import MEMORIES, TAILS
from monitor.drift.evidence import Streams, log_mean
from monitor.drift.fidelity import Fidelity, FidelityState
from monitor.drift.measures import Measures, MeasureState, Seen
from monitor.drift.recovery import KEPT, Witness, witness
from monitor.drift.tokens import WordBets, WordState
from monitor.records import Features

CLEAR = 5.0
_HIGHEST = 1.5
"""No score of a feature lies above it."""


def measure_witnesses(measures: Measures, state: MeasureState, seen: Seen, since: int) -> tuple[Witness, ...]:
    """For an alarm of measured features: its strongest feature, the learned direction, the charts.

    A part speaks if its evidence is clear or it is the strongest one.
    """
    strength = measures.evidence(state)
    enough = min(CLEAR, max(strength))
    found: list[Witness | None] = []
    if strength[0] >= enough:
        found.append(_feature(measures, state, since))
    if measures.whole is not None:
        if strength[1] >= enough:
            found.append(_line(measures, state, seen))
        if strength[2] >= enough:
            found.append(_chart(measures, state, seen))
    kept = tuple(item for item in found if item is not None)
    feature = _feature(measures, state, since)
    return kept or (() if feature is None else (feature,))


def _strongest(streams: Streams, bets: RankBets) -> tuple[int, int, int]:
    """Feature, score and sign of the strongest bet."""
    best = streams.log_r.max(axis=2)
    feature, kind = divmod(int(best.argmax()), best.shape[1])
    score, sign = bets.kinds[kind]
    return feature, score, sign


def _feature(measures: Measures, state: MeasureState, since: int) -> Witness | None:
    feature, score, sign = _strongest(state.streams, measures.bets)
    return witness(
        "feature",
        place=(feature, score),
        sign=sign,
        quiet=sign * measures.bets.quiet(score, feature),
        shifted=sign * float(state.recent.since(since).scores[score, feature]),
        highest=_HIGHEST,
    )


def _chart(measures: Measures, state: MeasureState, seen: Seen) -> Witness | None:
    assert measures.whole is not None
    assert seen.charts is not None
    bets = measures.whole.novelty.bets
    chart, score, sign = _strongest(state.charts, bets)
    return witness(
        "chart",
        place=(chart, score),
        sign=sign,
        quiet=sign * bets.quiet(score, chart),
        shifted=sign * float(seen.charts[score, :, chart].mean()),
        highest=_HIGHEST,
    )


def _line(measures: Measures, state: MeasureState, seen: Seen) -> Witness | None:
    """Learnt without the newer half of this window, measured on that half."""
    if measures.whole is None or seen.components is None:
        return None
    direction = measures.whole.direction
    half = len(seen.components) // 2
    evidence = log_mean(state.along.log_r, axis=3)
    teacher, memory, bet = np.unravel_index(int(evidence.argmax()), evidence.shape)
    weights, _ = direction.weights(state.memory.without_last(half), int(teacher), MEMORIES[memory])
    if not weights.any():
        weights, _ = direction.weights(state.memory, int(teacher), MEMORIES[memory])
    if not weights.any():
        return None
    scores = direction.line(weights).scores(seen.components[-half:])
    return witness(
        "line",
        place=(int(bet),),
        quiet=0.0 if bet == 0 else TAILS[int(bet) - 1],
        shifted=float(scores[bet].mean()),
        highest=1.0,
        weights=weights.tolist(),
    )


def word_witnesses(bets: WordBets, state: WordState) -> tuple[Witness, ...]:
    """For an alarm of words: the few with the strongest evidence."""
    strength = log_mean(state.streams.log_r, axis=1) if state.rows else np.zeros(0)
    order = np.argsort(-strength, kind="stable")
    strong = [index for index in order[:KEPT] if strength[index] >= strength[order[0]] - np.log(100)]
    found = []
    for index in strong:
        row = state.rows[index]
        sign = -1 if row.lost else 1
        found.append(
            witness(
                "word",
                place=(row.kind,),
                sign=sign,
                name=row.name,
                quiet=sign * bets.rate(row.name, row.kind),
                shifted=sign * float(state.seen[index] / max(state.trials[index], 1.0)),
                highest=0.0 if row.lost else 1.0,
            )
        )
    return tuple(item for item in found if item is not None)


def fidelity_witnesses(fidelity: Fidelity, state: FidelityState) -> tuple[Witness, ...]:
    """For an alarm of fidelity: the measure with the stronger evidence."""
    measure = int(log_mean(state.streams.log_r, axis=1).argmax())
    rate = float(state.hits[measure] / max(state.trials[measure], 1.0))
    before = float(fidelity.before[measure])
    item = witness("fidelity", place=(measure,), quiet=before, shifted=rate, highest=1.0)
    return () if item is None else (item,)


def measure_scores(item: Witness, measures: Measures, seen: Seen) -> NDArray[np.floating]:
    """Signed scores (sample,) of a feature, chart or line witness in a window."""
    if item.form in ("feature", "chart"):
        feature, score = item.place
        held = seen.scores if item.form == "feature" else seen.charts
        assert held is not None
        scores: NDArray[np.floating] = item.sign * held[score, :, feature]
        return scores
    assert measures.whole is not None
    assert seen.components is not None
    line = measures.whole.direction.line(np.array(item.weights))
    along: NDArray[np.floating] = line.scores(seen.components)[item.place[0]]
    return along


def word_scores(
    item: Witness, samples: Sequence[Sequence[str]], keys: dict[str, str]
) -> NDArray[np.floating]:
    """Signed presence (sample,) of a word in ``samples``; ``keys`` maps its name to it in clear."""
    word = keys.get(item.name, item.name)
    return item.sign * np.array([float(word in words) for words in samples])


def fidelity_scores(item: Witness, fidelity: Fidelity, features: Features) -> NDArray[np.floating]:
    """Events (sample,) of a fidelity measure, where they are known."""
    events, known = fidelity.events(features.fidelity)
    column: NDArray[np.floating] = events[known[:, item.place[0]] > 0, item.place[0]]
    return column
