"""What a window's attributed subsample leaves behind: numbers and heads, and the words that may be shown."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from monitor.live.evidence import outbox_record
from monitor.privacy import WordPrivacy
from monitor.records import Attribution, OutboxRecord

TOP_REMOVED = 3


def attribution_record(
    prefix: str,
    window: int,
    time: float,
    attributions: Sequence[Attribution],
    words: Mapping[str, float],
    *,
    head_metrics: Mapping[str, float] | None = None,
    heads: Mapping[str, Any] | None = None,
) -> OutboxRecord:
    """Integrated Gradients of a window's scheduled subsample, as numbers that show no text.

    ``words``: mean absolute attribution of those words that privacy lets through. ``heads``: what a
    survey of the same samples' heads says of each, an artifact; ``head_metrics`` of all together.
    """
    metrics = {**attribution_metrics(attributions), **(head_metrics or {})}
    payload = {"window": window, "metrics": metrics, "words": dict(words)}
    artifacts = {"heads.json": json.dumps(heads).encode()} if heads else {}
    return outbox_record(f"{prefix}/attribution/{window}", "attribution", time, payload, artifacts)


def public_words(
    attributions: Sequence[Attribution], *, known: Collection[str], privacy: WordPrivacy
) -> dict[str, float]:
    """Mean absolute attribution of the words that are ``known`` or that enough requests share."""
    requests: Counter[str] = Counter()
    values: dict[str, list[float]] = defaultdict(list)
    for item in attributions:
        requests.update(set(item.words))
        for word, value in zip(item.words, item.word_values, strict=True):
            values[word].append(abs(value))
    return {
        word: float(np.mean(found))
        for word, found in values.items()
        if word in known or privacy.name(word, requests[word]) == word
    }


def attribution_metrics(attributions: Sequence[Attribution]) -> dict[str, float]:
    """Share unconverged, and over the converged ones means of what was measured of them.

    Agreement with rollout and with the other methods, faithfulness of each method, what the three
    strongest tokens are worth, and the shares; ``seen_...`` is how many have a word of a watch list.
    """
    converged = [item for item in attributions if item.converged]
    metrics = {
        "samples": float(len(attributions)),
        "unconverged_share": 1 - len(converged) / max(1, len(attributions)),
        "steps": float(np.mean([item.steps for item in attributions])) if attributions else 0.0,
    }
    for name in ("spearman", "overlap_at_5"):
        values = [getattr(item, name) for item in converged]
        values = [value for value in values if np.isfinite(value)]
        if values:
            metrics[name] = float(np.mean(values))
    measured: dict[str, list[float]] = defaultdict(list)
    for item in converged:
        for name, value in _measures(item):
            if np.isfinite(value):
                measured[name].append(value)
    metrics |= {name: float(np.mean(values)) for name, values in measured.items()}
    for name in [name for name in measured if name.startswith("share_watched_")]:
        metrics[name.replace("share_", "seen_", 1)] = len(measured[name]) / len(converged)
    return metrics


def _measures(item: Attribution) -> Iterator[tuple[str, float]]:
    for method, agreed in item.agreements.items():
        if method != "rollout":  # its agreement has been there before, under the plain names
            yield f"{method}_spearman", agreed.spearman
            yield f"{method}_overlap_at_5", agreed.overlap_at_5
    for method, faithful in item.faithfulness.items():
        yield f"{method}_comprehensiveness", faithful.comprehensiveness
        yield f"{method}_sufficiency", faithful.sufficiency
        for removal in faithful.removals:
            if method == "integrated_gradients" and removal.tokens == TOP_REMOVED:
                yield f"top_{TOP_REMOVED}_drop", removal.drop
                if removal.flips is not None:
                    yield f"top_{TOP_REMOVED}_flips", float(removal.flips)
    for name, share in item.shares.items():
        yield f"share_{name.replace('/', '_')}", share
