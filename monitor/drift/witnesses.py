"""Who saw a shift: the scores noted when an alarm is raised, and how they are read later."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitor.drift.direction import MEMORIES, DirectionMemory
from monitor.drift.evidence import log_mean
from monitor.drift.fidelity import Fidelity, FidelityState
from monitor.drift.measures import Measures, MeasureState, Seen
from monitor.drift.recovery import KEPT, Witness, witness
from monitor.drift.tokens import WordBets, WordState
from monitor.records import Features

_FORMS = ((0, 1), (0, -1), (1, 1), (1, -1), (2, 1))
"""Score and sign of each kind of bet."""
_HIGHEST = (1.0, 1.1, 1.0)


def measure_witnesses(
    measures: Measures, state: MeasureState, seen: Seen, since: int, limit: float
) -> tuple[Witness, ...]:
    """For an alarm of measured features: its strongest features and the learned direction.

    Either half (features, direction) speaks if it reached ``limit`` alone or is the stronger one.
    """
    single, along = measures.evidence(state)
    found: list[Witness | None] = []
    if single >= min(limit, along):
        found.extend(_features(state, since))
    if measures.direction is not None and along >= min(limit, single):
        found.append(_line(measures, state, seen))
    kept = tuple(item for item in found if item is not None)
    return kept or tuple(item for item in _features(state, since) if item is not None)


def _features(state: MeasureState, since: int) -> list[Witness | None]:
    best = state.streams.log_r.max(axis=2)
    means = state.recent.since(since).scores
    feature, kind = divmod(int(best.argmax()), best.shape[1])
    score, sign = _FORMS[kind]
    return [
        witness(
            "feature",
            place=(feature, score),
            sign=sign,
            quiet=0.0,
            shifted=sign * float(means[score, feature]),
            highest=_HIGHEST[score],
        )
    ]


def _line(measures: Measures, state: MeasureState, seen: Seen) -> Witness | None:
    """Learnt without the newer half of this window, measured on that half."""
    direction = measures.direction
    if direction is None or seen.components is None:
        return None
    half = len(seen.components) // 2
    newest = np.cumsum(state.memory.sizes[::-1])
    dropped = int(np.searchsorted(newest, half) + 1)
    earlier = DirectionMemory(means=state.memory.means[:-dropped], sizes=state.memory.sizes[:-dropped])
    strongest = int(log_mean(state.along.log_r, axis=(1, 2)).argmax())
    weights, _ = direction.weights(earlier, MEMORIES[strongest])
    if not weights.any():
        weights, _ = direction.weights(state.memory, MEMORIES[strongest])
    if not weights.any():
        return None
    newer = seen.components[-half:]
    location, tail = direction.line(weights).scores(newer)
    by_tail = state.along.log_r[strongest].max(axis=1).argmax() == 1
    mean = float(tail.mean()) if by_tail else float(location.mean())
    return witness(
        "line",
        place=(int(by_tail),),
        quiet=0.02 if by_tail else 0.0,
        shifted=mean,
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
    """Signed scores (sample,) of a feature or line witness in a window."""
    if item.form == "feature":
        feature, score = item.place
        scores: NDArray[np.floating] = item.sign * seen.scores[score, :, feature]
        return scores
    assert measures.direction is not None
    assert seen.components is not None
    location, tail = measures.direction.line(np.array(item.weights)).scores(seen.components)
    return tail if item.place[0] else location


def word_scores(item: Witness, features: Features, keys: dict[str, str]) -> NDArray[np.floating]:
    """Signed presence (sample,) of a word; ``keys`` maps its name to the word in clear."""
    word = keys.get(item.name, item.name)
    samples = [words for words in features.top_words if words] if item.place[0] else list(features.words)
    return item.sign * np.array([float(word in words) for words in samples])


def fidelity_scores(item: Witness, fidelity: Fidelity, features: Features) -> NDArray[np.floating]:
    """Events (sample,) of a fidelity measure, where they are known."""
    events, known = fidelity.events(features.fidelity)
    column: NDArray[np.floating] = events[known[:, item.place[0]] > 0, item.place[0]]
    return column
