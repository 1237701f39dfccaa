"""What a model decides for an input, piece by piece, so that two checkpoints' answers can be counted."""

from __future__ import annotations

from collections.abc import Sequence

from monitor.analysis.prediction import Answers, best_span

Decisions = tuple[str, ...]


def decisions_of(answers: Answers, kind: str, labels: Sequence[str]) -> list[Decisions]:
    """Each row's decisions, by the kind of answer (``analysis.prediction``).

    ``classes``: the label; ``labels``: those over 0.5; ``tokens``: every token's label; ``span``: its
    place; ``token``: the next token's id; ``completion``: the likeliest token in place of each served
    one. A value and an embedding decide nothing.
    """
    return [_decided(row, kind, labels) for row in answers.detach()]


def _decided(row: Answers, kind: str, labels: Sequence[str]) -> Decisions:
    if kind == "classes":
        return (labels[int(row.argmax())],)
    if kind == "labels":
        return tuple(name for name, logit in zip(labels, row.tolist(), strict=True) if logit > 0)
    if kind == "tokens":
        return tuple(labels[place] for place in row[row[:, -1] > 0, :-1].argmax(dim=-1).tolist())
    if kind == "span":
        start, end = best_span(row)
        return (f"{start}-{end}",)
    if kind == "token":
        return (str(int(row.argmax())),)
    if kind == "completion":
        return tuple(str(int(token)) for token in row[row[:, 3] > 0, 2].tolist())
    return ()


def made(kind: str, decided: Decisions, labels: Sequence[str]) -> int:
    """How many decisions these are: of many labels, each is one."""
    return len(labels) if kind == "labels" else len(decided)


def changed(kind: str, one: Decisions, other: Decisions) -> int:
    """How many of them differ."""
    if kind == "labels":
        return len(set(one) ^ set(other))
    return sum(a != b for a, b in zip(one, other, strict=False)) + abs(len(one) - len(other))
