"""The heads of an episode that are worth telling, each with its statistics, roles and distances."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from monitor.analysis.heads.role_changes import leading_role
from monitor.records import Baseline, Features, HeadId, SurveyedHeads, Verdict
from monitor.report.episode_data import Change, Distances, HeadStory

MOST_STORIES = 6
SMALLEST_SD = 1e-6
Numbers = NDArray[np.float64]


def told(verdict: Verdict, effects: Numbers, importance: Numbers, *, least: float) -> list[HeadId]:
    """The heads that get a story: those the detector named, then those that moved most and matter.

    One that moved by less than ``least`` has no story.
    """
    channels = [verdict.channels[name] for name in ("model", "heads") if name in verdict.channels]
    named = [item.head for channel in channels if channel.alarm for item in channel.heads if item.named]
    largest = np.abs(effects).max(axis=-1, initial=0.0)
    size = np.where(largest >= least, largest, 0.0) * np.sqrt(importance * importance.size)
    order = [place for place in np.argsort(-size, axis=None, kind="stable").tolist() if size.flat[place] > 0]
    moved = [HeadId(layer=place // size.shape[1], head=place % size.shape[1]) for place in order]
    return list(dict.fromkeys([*named, *moved]))[:MOST_STORIES]


def story(
    head: HeadId,
    *,
    verdict: Verdict,
    baseline: Baseline,
    during: Features,
    survey: SurveyedHeads | None,
    importance: float,
) -> HeadStory:
    """One head before and after."""
    reference = baseline.survey
    named = any(
        item.named and item.head == head
        for channel in verdict.channels.values()
        if channel.alarm
        for item in channel.heads
    )
    return HeadStory(
        head=head,
        named=named,
        importance=importance,
        role_before=_role(reference, head),
        role_after=_role(survey, head),
        roles=_roles(reference, survey, head),
        statistics=_statistics(head, baseline, during),
        distances=_distances(reference, survey, head),
    )


def _statistics(head: HeadId, baseline: Baseline, during: Features) -> tuple[Change, ...]:
    """Largest change first."""
    before = baseline.features.profile[:, head.layer, head.head].astype(np.float64)
    after = during.profile[:, head.layer, head.head].astype(np.float64)
    changes = [
        change(name=name, before=before[:, place], after=after[:, place])
        for place, name in enumerate(baseline.statistics)
    ]
    return tuple(sorted(changes, key=lambda item: -abs(item.effect or 0.0)))


def change(*, name: str, before: Numbers, after: Numbers) -> Change:
    """The means of two sets of samples, with the first one's spread."""
    if not len(before):
        return Change(name=name, before=None, after=float(after.mean()) if len(after) else None)
    spread = max(float(before.std()), SMALLEST_SD)
    mean = float(before.mean())
    low, high = (float(value) for value in np.quantile(before, (0.1, 0.9)))
    now = float(after.mean()) if len(after) else None
    return Change(
        name=name,
        before=mean,
        after=now,
        low=low,
        high=high,
        spread=spread,
        effect=None if now is None else (now - mean) / spread,
        error=float(after.std() / math.sqrt(len(after))) if len(after) else None,
    )


def _known(survey: SurveyedHeads | None, values: str, head: HeadId) -> Numbers | None:
    """One head's row of a survey; None where it was not surveyed."""
    if survey is None:
        return None
    found = getattr(survey, values)
    if not found.shape[-1] or head.layer >= found.shape[0] or head.head >= found.shape[1]:
        return None
    row: Numbers = found[head.layer, head.head].astype(np.float64)
    return row


def _role(survey: SurveyedHeads | None, head: HeadId) -> str | None:
    shares = _known(survey, "roles", head)
    return None if survey is None or shares is None else leading_role(survey.role_names, shares)


def _roles(reference: SurveyedHeads | None, survey: SurveyedHeads | None, head: HeadId) -> tuple[Change, ...]:
    """The shares of every role that the model can have, largest move first."""
    before, after = _known(reference, "roles", head), _known(survey, "roles", head)
    names = () if survey is None else survey.role_names
    if before is None or after is None or reference is None or reference.role_names != names:
        return ()
    both = [item for item in zip(names, before, after, strict=True) if np.isfinite(item[1:]).all()]
    both.sort(key=lambda item: -abs(item[2] - item[1]))
    return tuple(Change(name=name, before=float(one), after=float(other)) for name, one, other in both)


def _distances(
    reference: SurveyedHeads | None, survey: SurveyedHeads | None, head: HeadId
) -> Distances | None:
    before, after = _known(reference, "distances", head), _known(survey, "distances", head)
    if before is None or after is None or reference is None or survey is None:
        return None
    error = _known(survey, "distances_error", head)
    if reference.bins != survey.bins or error is None:
        return None
    return Distances(
        bins=survey.bins,
        before=row(before),
        after=row(after),
        error=row(np.nan_to_num(error)),
    )


def row(values: Numbers) -> tuple[float, ...]:
    """Plain numbers."""
    return tuple(float(value) for value in values)
