"""Two readings to one comparison: every head, the answers, the attributions, the weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from monitor.comparing.agreement import (
    AttributionAgreement,
    PredictionAgreement,
    attribution_agreement,
    prediction_agreement,
)
from monitor.comparing.comparable import shared_statistics
from monitor.comparing.effects import Effects, Values, effects, first_moved, limits, noise_floor, origins
from monitor.comparing.reading import ModelReading
from monitor.drift.changes import Changes, changes
from monitor.records import HeadId, ModelIdentity

Role = Literal["origin", "changed", "beside", "downstream", "still"]
FailOn = Literal["any", "important"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StatisticChange:
    """One statistic of a head: its means, the signed change of the mean and the typical change, in sd."""

    before: float
    after: float
    effect: float
    size: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadChange:
    """One head. ``size``, ``statistic``, ``before``, ``after``: of the statistic that moved most.

    ``limit``: the size above which it has ``moved``. ``importance``: mean over the samples in the
    model, and ``relative`` to the median head's; None where it is not known. ``weights``: whether its
    own parameters differ; None where they cannot be compared. ``role``: ``origin``: the change began
    here; ``changed``: its own parameters differ too; ``beside``: it moved in the first layer that
    did; ``downstream``: it moved and none of this is so; ``still``: it did not move.
    """

    head: HeadId
    role: Role
    moved: bool
    size: float
    limit: float
    statistic: str
    before: float
    after: float
    importance: float | None
    relative: float | None
    weights: bool | None
    statistics: Mapping[str, StatisticChange]

    @property
    def important(self) -> bool:
        """Whether its importance is over the median head's."""
        return self.relative is not None and self.relative > 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """``heads`` in the order of layers; ``origins`` those that the change began with, first one first.

    ``told_by``: what names them, ``weights`` or ``behaviour``; ``begins``: the strongest head of the
    first layer that moved, read from behaviour alone; ``noise``: whether a noise floor was measured;
    ``order``: the layers as they run (a decoder's self and cross attention take turns).
    """

    model: ModelIdentity
    candidate: ModelIdentity
    samples: int
    heads: tuple[HeadChange, ...]
    origins: tuple[HeadChange, ...]
    told_by: str
    begins: HeadId | None
    noise: bool
    order: tuple[int, ...]
    changes: Changes
    predictions: PredictionAgreement | None
    attributions: AttributionAgreement | None

    @property
    def moved(self) -> tuple[HeadChange, ...]:
        """The heads that moved, the most moved first."""
        return tuple(sorted((h for h in self.heads if h.moved), key=lambda h: -h.size))

    @property
    def ranked(self) -> tuple[HeadChange, ...]:
        """The origins, then the other heads that moved, the most moved first."""
        first = {item.head for item in self.origins}
        return (*self.origins, *(item for item in self.moved if item.head not in first))

    @property
    def answers_differ(self) -> bool:
        """Whether an answer is another, or moved by more than rounding does."""
        return self.predictions is not None and self.predictions.differ

    @property
    def differs(self) -> bool:
        """Whether anything does: parameters, a head or an answer."""
        return bool(self.changes.parameters or self.moved or self.answers_differ)

    def fails(self, on: FailOn) -> bool:
        """Whether a check that is told to fail on this does.

        ``important``: a head over the median head's importance. Those that the change began with are
        asked, since their importance is what the model loses by them; where none can be named, all
        that moved.
        """
        if on == "any":
            return self.differs
        return any(item.important for item in self.origins or self.moved)


def floor_of(before: ModelReading, rounded: ModelReading) -> Values:
    """``noise_floor`` from the same model in a lower precision on the first of the same samples."""
    names = shared_statistics(before, rounded)
    return noise_floor(before.of_statistics(names), rounded.of_statistics(names))


def compare(before: ModelReading, after: ModelReading, floor: Values | None = None) -> Comparison:
    """Compare two readings of the same inputs; ``floor`` (layer, head) as ``noise_floor`` gives it."""
    found = _changes(before.identity, after.identity)
    names = shared_statistics(before, after)
    moves = effects(before.of_statistics(names), after.of_statistics(names))
    limit = limits(floor, moves.by_head.shape[:2])
    moved = moves.by_head > limit
    places, told_by = origins(moves.by_head, moved, found, before.order)
    first = first_moved(moves.by_head, moved, before.order)
    importance = None if before.importance is None else before.importance.astype(np.float64).mean(axis=0)
    heads = tuple(
        _head(place, names, moves, limit, importance, _weights(place, found), role)
        for place, role in _roles(moved, places, first, found).items()
    )
    across = moves.by_head.shape[1]
    return Comparison(
        model=before.identity,
        candidate=after.identity,
        samples=len(before.samples),
        heads=heads,
        origins=tuple(heads[layer * across + head] for layer, head in places),
        told_by=told_by,
        begins=None if first is None else HeadId(layer=first[0], head=first[1]),
        noise=floor is not None,
        order=before.order or tuple(range(len(moved))),
        changes=found,
        predictions=prediction_agreement(before, after),
        attributions=attribution_agreement(before, after),
    )


def _changes(before: ModelIdentity, after: ModelIdentity) -> Changes:
    """Which parameters differ; a model without output projections keeps another set of hashes."""
    found = changes(before, after)
    if bool(before.head_hashes) == bool(after.head_hashes):
        return found
    return replace(found, compared=False, heads=(), layers=(), modules=())


def _weights(place: tuple[int, int], found: Changes) -> bool | None:
    return HeadId(layer=place[0], head=place[1]) in found.heads if found.compared else None


def _roles(
    moved: NDArray[np.bool_],
    places: tuple[tuple[int, int], ...],
    first: tuple[int, int] | None,
    found: Changes,
) -> dict[tuple[int, int], Role]:
    roles: dict[tuple[int, int], Role] = {}
    for layer, head in np.ndindex(moved.shape):
        place = (int(layer), int(head))
        if place in places:
            roles[place] = "origin"
        elif _weights(place, found):
            roles[place] = "changed"
        elif not moved[place]:
            roles[place] = "still"
        else:
            own_layer = first is not None and place[0] == first[0] and not found.parameters
            roles[place] = "beside" if own_layer else "downstream"
    return roles


def _head(
    place: tuple[int, int],
    names: tuple[str, ...],
    moves: Effects,
    limit: Values,
    importance: Values | None,
    weights: bool | None,
    role: Role,
) -> HeadChange:
    largest = int(moves.size[place].argmax())
    middle = 0.0 if importance is None else float(np.median(importance))
    own = None if importance is None else float(importance[place])
    return HeadChange(
        head=HeadId(layer=place[0], head=place[1]),
        role=role,
        moved=bool(moves.size[place].max() > limit[place]),
        size=float(moves.size[place][largest]),
        limit=float(limit[place]),
        statistic=names[largest],
        before=float(moves.before[place][largest]),
        after=float(moves.after[place][largest]),
        importance=own,
        relative=own / middle if own is not None and middle > 0 else None,
        weights=weights,
        statistics={
            name: StatisticChange(
                before=float(moves.before[place][k]),
                after=float(moves.after[place][k]),
                effect=float(moves.effect[place][k]),
                size=float(moves.size[place][k]),
            )
            for k, name in enumerate(names)
        },
    )
