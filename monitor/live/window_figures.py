"""What a judged window looked like beside its baseline, as the few numbers that charts show over time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np

from monitor.live.evidence import changed_roles, head_effects, profiled_roles
from monitor.records import Array, Baseline, Features, WindowFigures

TOP_WORDS = 20
"""How many of the commonest top words are compared: fewer jump about, more are rare in a window."""
MOST_LABELS = 20
OTHER_LABELS = "(other labels)"

WordName = Callable[[str, int], str]
Pair = tuple[float, float]


def window_figures(features: Features, baseline: Baseline, word_name: WordName) -> WindowFigures:
    """The figures of a window that has samples; ``word_name`` hashes the words as the baseline's are."""
    roles = Counter(dict.fromkeys(profiled_roles(baseline.statistics), 0))
    roles.update(item.role for item in changed_roles(features, baseline))
    return WindowFigures(
        inputs=input_means(baseline.features, features),
        predictions=prediction_mix(baseline, features),
        top_words_overlap=top_words_overlap(features, baseline, word_name),
        roles_changed=dict(roles),
        layer_effects=np.abs(head_effects(features, baseline)).max(axis=(1, 2)),
        layer_importance=_layer_shares(features.importance),
    )


def input_means(before: Features, after: Features) -> dict[str, Pair]:
    """Mean tokens of an input, share of unknown tokens, share of truncated inputs: before, after."""
    both = [(np.exp(part.inputs[:, 0]), part.inputs[:, 1], part.inputs[:, 2]) for part in (before, after)]
    names = ("tokens", "unknown", "truncated")
    return {
        name: (float(then.mean()), float(now.mean()))
        for name, then, now in zip(names, both[0], both[1], strict=True)
    }


def prediction_mix(baseline: Baseline, features: Features) -> dict[str, Pair]:
    """Mean probability of each label, before and after; empty for a model without labels.

    Of more than 20 labels the 20 that the baseline has most of are told, the others together.
    """
    labels = baseline.identity.labels
    before, after = baseline.features.prediction, features.prediction
    if not labels or baseline.identity.task == "regression":
        return {}
    if {before.shape[1], after.shape[1]} != {len(labels) + 2}:
        return {}
    then, now = before[:, 2:].mean(axis=0), after[:, 2:].mean(axis=0)
    order = np.argsort(-then, kind="stable")
    shown, rest = order[:MOST_LABELS], order[MOST_LABELS:]
    mix = {labels[index]: (float(then[index]), float(now[index])) for index in shown}
    if len(rest):
        mix[OTHER_LABELS] = (float(then[rest].sum()), float(now[rest].sum()))
    return mix


def top_words_overlap(features: Features, baseline: Baseline, word_name: WordName) -> float:
    """Of the baseline's commonest top-attributed words, the share that the window's commonest hold too.

    NaN where no sample or no baseline word was attributed.
    """
    before = {word: count.top for word, count in baseline.words.items() if count.top}
    after: Counter[str] = Counter()
    for words in features.top_words:
        after.update({word if word in baseline.words else word_name(word, 0) for word in words})
    if not before or not after:
        return float("nan")
    common = _commonest(before)
    return len(common & _commonest(after)) / len(common)


def _commonest(counts: dict[str, int] | Counter[str]) -> set[str]:
    """The 20 with the largest counts; of equal ones those that come first in the alphabet."""
    return set(sorted(counts, key=lambda word: (-counts[word], word))[:TOP_WORDS])


def _layer_shares(importance: Array) -> Array:
    total = float(importance.sum())
    if total <= 0 or not np.isfinite(total):
        return np.zeros(0, dtype=np.float32)
    return (importance.sum(axis=1) / total).astype(np.float32)
