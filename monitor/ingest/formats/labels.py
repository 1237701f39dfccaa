"""A label and a probability out of the shapes in which servers answer a classification."""

from __future__ import annotations

from typing import Any

from monitor.ingest.formats.wire import Document
from monitor.ingest.native import is_probability

_SCORES = ("probability", "score", "confidence")


def read_answer(value: Any) -> Document | None:
    """One served output as a prediction document, or None where no label is in it.

    Known: a label or a class index; ``{"label", "score"}``; the best of a list of those;
    ``{label: probability}``; a list of probabilities or logits, whose index is the label.

    >>> read_answer([0.25, 0.75])
    {'label': '1', 'probability': 0.75}
    """
    if isinstance(value, str) and value:
        return {"label": value}
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        return {"label": str(value)}
    if isinstance(value, dict):
        return _from_object(value)
    if isinstance(value, list) and value:
        return _from_list(value)
    return None


def _from_object(value: dict[str, Any]) -> Document | None:
    if isinstance(value.get("label"), str | int):
        found = [value[key] for key in _SCORES if is_probability(value.get(key))]
        return {"label": str(value["label"]), **({"probability": found[0]} if found else {})}
    if value and all(_is_number(item) for item in value.values()):
        return _best([str(label) for label in value], list(value.values()))
    return None


def _from_list(value: list[Any]) -> Document | None:
    if len(value) == 1:
        return read_answer(value[0])
    if all(_is_number(item) for item in value):
        return _best([str(index) for index in range(len(value))], value)
    answers = [read_answer(item) if isinstance(item, dict) else None for item in value]
    scored = [answer for answer in answers if answer is not None and "probability" in answer]
    return max(scored, key=lambda answer: float(answer["probability"])) if scored else None


def _best(labels: list[str], values: list[float]) -> Document:
    best = max(range(len(values)), key=values.__getitem__)
    # Logits name the label as well, but their size is no probability.
    shares = all(is_probability(item) for item in values) and abs(sum(values) - 1) < 0.01
    return {"label": labels[best], **({"probability": values[best]} if shares else {})}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
