"""How far an explanation of one sample can be relied on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Two rankings of the same content tokens by magnitude: rank correlation, overlap of the top 5."""

    spearman: float
    overlap_at_5: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """The first ``tokens`` of a ranking taken out of the input.

    ``drop``: what the prediction lost of its support; ``flips``: whether another label is predicted
    then, None for a model that predicts no label.
    """

    tokens: int
    drop: float
    flips: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Faithfulness:
    """Whether the tokens that a method ranks first carry the prediction (DeYoung et al. 2020).

    ``comprehensiveness``: mean loss of support without them, high where they matter;
    ``sufficiency``: mean loss with them alone, low where they are enough.
    """

    comprehensiveness: float
    sufficiency: float
    removals: tuple[Removal, ...] = ()
