"""A comparison in plain words, and as plain JSON values."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from monitor.comparing.agreement import PredictionAgreement
from monitor.comparing.comparison import Comparison, HeadChange
from monitor.comparing.effects import FLOOR_FACTOR, TOLERANCE
from monitor.drift.changes import parts

SCHEMA = 1
NAMED = 3
UNDECIDED = ("value", "embedding")
COUNTED = {
    "classes": "labels flipped",
    "labels": "labels crossed 0.5",
    "tokens": "token labels flipped",
    "span": "answers changed",
    "token": "next tokens changed",
    "completion": "served tokens have another likeliest token",
    "mixed": "answers' tokens changed",
}
MOVED = {
    "classes": "the probability of the model's label",
    "labels": "the probability of a sample's most moved label",
    "tokens": "a label's share of a sample's tokens",
    "span": "the probability of the model's answer",
    "token": "the probability of the model's token",
    "completion": "the probability of the served tokens",
    "mixed": "the probability of the answer",
    "value": "The value",
    "embedding": "The embedding",
}
ASKED_ALIKE = {
    "classes": "Where the labels agree, ",
    "labels": "Where the likeliest label is the same, ",
    "tokens": "Where all labels agree, ",
    "span": "Where the answers agree, ",
    "token": "Where the tokens agree, ",
    "mixed": "Where the answers agree, ",
    "completion": "",
    "value": "",
    "embedding": "",
}


Naming = Callable[[str], str]


def sentences(found: Comparison, *, name: Naming = str) -> tuple[str, ...]:
    """What was found, the most telling first; ``name`` names a statistic, else it is as in the JSON."""
    if not found.differs:
        files = "" if found.changes.files else ", and so are their files"
        return (f"No difference: on {found.samples} samples all heads and answers are the same{files}.",)
    return (*_beginning(found, name), _others(found), _answers(found), _reasons(found))


def _beginning(found: Comparison, name: Naming) -> tuple[str, ...]:
    if not found.changes.parameters:
        return _by_behaviour(found, name)
    where = f"Weights that differ: {parts(found.changes)}."
    if not found.origins:
        return (where,)
    if len(found.origins) == 1:
        return (f"One head was changed, and nothing else: {_head(found.origins[0], name)}.",)
    return where, f"The first of them: {_head(found.origins[0], name)}."


def _by_behaviour(found: Comparison, name: Naming) -> tuple[str, ...]:
    known = "No parameter differs" if found.changes.compared else "Parameters cannot be compared"
    if not found.origins:
        return (f"{known}.",)
    beside = sum(item.role == "beside" for item in found.heads)
    alone = "alone in its layer" if not beside else f"the most of {beside + 1} in its layer"
    return f"By behaviour the change begins with {_head(found.origins[0], name)}, {alone}.", f"{known}."


def _head(item: HeadChange, name: Naming) -> str:
    weight = "" if item.relative is None else f", importance {item.relative:.1f} x the median head's"
    if not item.moved:
        return f"{item.head} (did not move{weight})"
    moved = f"{name(item.statistic)} {number(item.before)} -> {number(item.after)}, {number(item.size)} sd"
    return f"{item.head} ({moved}{weight})"


def _others(found: Comparison) -> str:
    first = {item.head for item in found.origins}
    others = [item for item in found.moved if item.head not in first]
    over = "the noise of bfloat16" if found.noise else f"{TOLERANCE} sd"
    if not others:
        which = "other head" if found.origins else "head"
        return f"No {which} of {len(found.heads)} moved by more than {over}."
    layer = min((item.head.layer for item in others), key=found.order.index)
    named = ", ".join(str(item.head) for item in others[:NAMED])
    which = "other heads" if found.origins else f"of {len(found.heads)} heads"
    return f"{len(others)} {which} moved by more than {over}, from layer {layer} on; most: {named}."


def _answers(found: Comparison) -> str:
    said = found.predictions
    if said is None:
        return "The model predicts no label."
    moved = _moved_answers(said)
    if said.kind == "value":
        return f"{moved}; over the samples its sd is {number(said.spread or 0.0)}."
    if said.kind == "embedding":
        return f"{moved}."
    counted = f"{_counted(said)} {COUNTED[said.kind]}"
    if said.changed and said.decisions != said.samples:
        counted += f", in {len(said.flips)} of {said.samples} samples"
    return f"{counted}; {moved}." if moved else f"{counted}."


def _counted(said: PredictionAgreement) -> str:
    return f"{said.changed} of {said.decisions}"


def _moved_answers(said: PredictionAgreement) -> str:
    """How far the answers moved; empty where it is not known."""
    if said.mean_change is None or said.largest_change is None:
        return ""
    where = f" (over the {said.known} where both name the same)" if said.known < said.samples else ""
    mean, largest = _amount(said, said.mean_change), _amount(said, said.largest_change)
    return f"{MOVED[said.kind]} moved by {mean} on average, {largest} at most{where}"


def _amount(said: PredictionAgreement, value: float) -> str:
    if not math.isfinite(value) or said.kind == "value":
        return number(value)
    return f"{value:.3f} of its length" if said.kind == "embedding" else f"{value:.3f}"


def answer_facts(found: Comparison) -> tuple[tuple[str, str], ...]:
    """What became of the answers, each as a title and a figure."""
    said = found.predictions
    if said is None:
        return (("labels flipped", "–"), ("probability moved", "–"))
    what = f"{said.kind} moved" if said.kind in UNDECIDED else "probability moved"
    moved = "–" if said.mean_change is None else f"{_amount(said, said.mean_change)} on average"
    if said.kind in UNDECIDED:
        return ((what, moved),)
    return ((COUNTED[said.kind], _counted(said)), (what, moved))


def _reasons(found: Comparison) -> str:
    same, said = found.attributions, found.predictions
    if same is None:
        return "Attributions cannot be compared."
    alike = ASKED_ALIKE[said.kind] if said is not None else ""
    ranks = f"gradient x input ranks the tokens with correlation {same.mean:.2f} on average"
    sentence = f"{alike}{ranks}, {same.lowest:.2f} at the lowest ({same.samples} samples)."
    return f"{sentence[0].upper()}{sentence[1:]}"


def number(value: float) -> str:
    """A value in about three digits.

    >>> number(0.01234), number(27.6312), number(1234.5), number(float("inf"))
    ('0.0123', '27.6', '1234', 'no number')
    """
    if not math.isfinite(value):
        return "no number"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def to_json(found: Comparison) -> dict[str, Any]:
    """All of it as plain JSON values; null where a value is no number or not known."""
    document = {
        "schema": SCHEMA,
        "differs": found.differs,
        "fails": {"any": found.fails("any"), "important": found.fails("important")},
        "summary": " ".join(sentences(found)),
        "samples": found.samples,
        "model": _identity(found, "model"),
        "candidate": _identity(found, "candidate"),
        "origins": [str(item.head) for item in found.origins],
        "told_by": found.told_by,
        "begins": None if found.begins is None else str(found.begins),
        "heads_moved": len(found.moved),
        "noise": {"tolerance": TOLERANCE, "factor": FLOOR_FACTOR, "measured": found.noise},
        "weights": {
            "files": found.changes.files,
            "compared": found.changes.compared,
            "heads": [str(head) for head in found.changes.heads],
            "layers": list(found.changes.layers),
            "modules": list(found.changes.modules),
        },
        "predictions": None if found.predictions is None else asdict(found.predictions),
        "attributions": None
        if found.attributions is None
        else {"method": "gradient x input", **asdict(found.attributions)},
        "heads": [_head_json(item) for item in found.heads],
    }
    return dict(_plain(document))


def _identity(found: Comparison, which: str) -> dict[str, Any]:
    identity = found.model if which == "model" else found.candidate
    keys = ("name", "revision", "weights_hash", "architecture", "task", "layers", "heads", "labels", "dtype")
    return {key: getattr(identity, key) for key in keys}


def _head_json(item: HeadChange) -> dict[str, Any]:
    values = {name: getattr(item, name) for name in item.__slots__ if name not in ("head", "statistics")}
    changes = {name: asdict(change) for name, change in item.statistics.items()}
    return {
        "head": str(item.head),
        "layer": item.head.layer,
        **values,
        "important": item.important,
        "statistics": changes,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
