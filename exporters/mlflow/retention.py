"""Which runs are kept no longer: by age, and for episodes by number too.

Only headwatch's own runs of one model are looked at, and all that happens to them is MLflow's
``deleted`` stage, from which a user can restore them until ``mlflow gc`` empties it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporters.mlflow.experiment import KIND_TAG
from exporters.mlflow.text import CLOSED_TAG, DAY_TAG, date

if TYPE_CHECKING:
    from mlflow.entities import Run

DAY_SECONDS = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """``days``: what ended longer ago is deleted; ``episodes``: how many closed ones are kept.

    None: nothing is deleted for that reason.
    """

    days: int | None = None
    episodes: int | None = None

    @property
    def everything(self) -> bool:
        """Whether nothing is ever deleted."""
        return self.days is None and self.episodes is None


def due(runs: Iterable[Run], *, keep: Keep, now: float, registered: Collection[str]) -> list[Run]:
    """The runs of one model that are deleted at ``now``, seconds since the epoch.

    Never: an open episode, a day since the oldest open episode began, today, the newest baseline, one
    in ``registered`` (ids of the runs that hold a registered version's file), one whose days or
    episodes stay.
    """
    found = sorted(runs, key=lambda run: -run.info.start_time)
    episodes, days, baselines = (_of_kind(found, kind) for kind in ("episode", "day", "baseline"))
    closed = [run for run in episodes if CLOSED_TAG in run.data.tags]
    gone = [] if keep.episodes is None else closed[keep.episodes :]
    if keep.days is None:
        return gone
    oldest = now - keep.days * DAY_SECONDS
    gone += [run for run in closed if run not in gone and run.info.end_time / 1000 < oldest]
    began = [run.info.start_time / 1000 for run in episodes if run not in closed]
    first = date(min([oldest, *began]))
    gone += [run for run in days if run.data.tags.get(DAY_TAG, first) < first]
    used = {run.data.tags.get("baseline") for run in (*episodes, *days) if run not in gone}
    gone += [
        run
        for run in baselines[1:]
        if run.info.start_time / 1000 < oldest
        and run.info.run_id not in registered
        and run.data.tags.get("baseline") not in used
    ]
    return gone


def _of_kind(runs: Iterable[Run], kind: str) -> list[Run]:
    return [run for run in runs if run.data.tags.get(KIND_TAG) == kind]
