"""What is kept of a survey to be shown later: sums that merge, and their means as a record."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.analysis.heads.means import HeadMeans
from monitor.analysis.heads.survey import HeadSurvey
from monitor.analysis.settings import ScheduledSettings
from monitor.records import SurveyedHeads

Arrays = Mapping[str, NDArray[np.generic]]
PREFIX = "survey/"
EVERY = 4
"""Of profiled samples each fourth is surveyed: a means' error doubles, its cost falls to a quarter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SurveySums:
    """Attention by distance and roles of each head, summed over samples: a monoid."""

    samples: int = 0
    distances: HeadMeans | None = None
    roles: HeadMeans | None = None

    @classmethod
    def of(cls, survey: HeadSurvey) -> SurveySums:
        """What a survey has seen."""
        return cls(samples=survey.samples, distances=survey.distance_profile, roles=survey.roles)

    def merge(self, other: SurveySums) -> SurveySums:
        """The samples of both."""
        return SurveySums(
            samples=self.samples + other.samples,
            distances=_merged(self.distances, other.distances),
            roles=_merged(self.roles, other.roles),
        )

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """Plain arrays, named so that they may lie beside a window's features in one npz file."""
        arrays: dict[str, NDArray[np.generic]] = {f"{PREFIX}samples": np.array(self.samples)}
        for name in ("distances", "roles"):
            means: HeadMeans | None = getattr(self, name)
            if means is not None:
                arrays |= {f"{PREFIX}{name}/{key}": value for key, value in means.to_arrays().items()}
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> SurveySums:
        """The inverse of ``to_arrays``; nothing where an earlier version left nothing."""
        if f"{PREFIX}samples" not in arrays:
            return cls()
        return cls(
            samples=int(arrays[f"{PREFIX}samples"]),
            distances=_means(arrays, "distances"),
            roles=_means(arrays, "roles"),
        )

    def record(self) -> SurveyedHeads | None:
        """The means and their errors; None where nothing was seen."""
        if not self.samples or (self.distances is None and self.roles is None):
            return None
        bins, distances, distances_error = _described(self.distances)
        names, roles, roles_error = _described(self.roles)
        return SurveyedHeads(
            samples=self.samples,
            bins=bins,
            distances=distances,
            distances_error=distances_error,
            role_names=names,
            roles=roles,
            roles_error=roles_error,
        )


def sum_of(parts: Iterable[SurveySums]) -> SurveySums:
    """All of them together."""
    return functools.reduce(SurveySums.merge, parts, SurveySums())


def survey_for_report(settings: ScheduledSettings) -> HeadSurvey | None:
    """The survey that rides on the profiles of a window or a log; None where both parts are off."""
    if not (settings.distance_profile or settings.roles):
        return None
    nothing = ScheduledSettings(**dict.fromkeys(ScheduledSettings.model_fields, False))
    chosen = {"distance_profile": settings.distance_profile, "roles": settings.roles}
    return HeadSurvey(nothing.model_copy(update=chosen), every=EVERY)


def _merged(one: HeadMeans | None, other: HeadMeans | None) -> HeadMeans | None:
    if one is None or other is None:
        return other if one is None else one
    return one.merge(other)


def _means(arrays: Arrays, name: str) -> HeadMeans | None:
    prefix = f"{PREFIX}{name}/"
    own = {key[len(prefix) :]: value for key, value in arrays.items() if key.startswith(prefix)}
    return HeadMeans.from_arrays(own) if own else None


def _described(
    means: HeadMeans | None,
) -> tuple[tuple[str, ...], NDArray[np.float32], NDArray[np.float32]]:
    if means is None:
        nothing = np.zeros((0, 0, 0), dtype=np.float32)
        return (), nothing, nothing
    return means.measures, means.mean.astype(np.float32), means.standard_error.astype(np.float32)
