"""What heads are, over many samples: every analysis of heads that is on, in one pass and flat memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from monitor.analysis.heads.distance_profile import DISTANCE_BINS, DistanceReducer
from monitor.analysis.heads.distances import HeadDistances, QueryRowKeeper, clusters
from monitor.analysis.heads.means import HeadMeans
from monitor.analysis.heads.norm_weighted import NORM_SHARES, NormWeightedReducer
from monitor.analysis.heads.pruning import PruningCandidate, pruning_candidates
from monitor.analysis.heads.role_changes import leading_roles
from monitor.analysis.heads.roles import ROLES, RoleReducer
from monitor.analysis.heads.sinks import SINK_MEASURES, SinkReducer
from monitor.analysis.marks import TokenMarks
from monitor.analysis.settings import ScheduledSettings
from monitor.analysis.together import Reducer, SomeInputs
from monitor.records import Array


class HeadSurvey:
    """Fed batch by batch: ``start`` gives the reducers of a pass, ``finish`` ends it, ``commit`` counts it.

    A batch that is worked on again, in parts, was never committed and counts once.

    Each of ``roles``, ``sinks``, ``distance_profile``, ``norm_weighted``, ``importance`` (layer, head,
    measure) and ``distances`` is None until a batch gave it: where it is off, or the model does not
    have it. ``every``: it looks at the first input and then at each so manieth, whatever the batches.
    """

    def __init__(self, settings: ScheduledSettings, *, every: int = 1) -> None:
        self._settings = settings
        self._every = every
        self._passed = 0
        self._roles: RoleReducer | None = None
        self._sinks: SinkReducer | None = None
        self._profile: DistanceReducer | None = None
        self._norms: NormWeightedReducer | None = None
        self._rows: QueryRowKeeper | None = None
        self._finished: tuple[NDArray[np.bool_], Array | None] | None = None
        self.samples = 0
        self.roles: HeadMeans | None = None
        self.sinks: HeadMeans | None = None
        self.distance_profile: HeadMeans | None = None
        self.norm_weighted: HeadMeans | None = None
        self.importance: HeadMeans | None = None
        self.distances: HeadDistances | None = None

    @property
    def wants_importance(self) -> bool:
        """Whether a gradient would be used, as evidence for pruning."""
        return self._settings.redundancy

    def start(self, marks: TokenMarks, grams: Sequence[Tensor] | None) -> list[Reducer]:
        """The reducers of the next pass; ``grams`` (head, dim, dim) per layer, where they are known."""
        on = self._settings
        self._forget()
        if self._every > 1:
            if not len(marks.ids[self._chosen]):
                return []
            marks = marks.rows(self._chosen)
        self._roles = RoleReducer(marks, grams=grams) if on.roles or on.redundancy else None
        self._sinks = SinkReducer(marks) if on.sinks else None
        self._profile = DistanceReducer(marks) if on.distance_profile else None
        self._norms = NormWeightedReducer(marks, grams=grams) if on.norm_weighted and grams else None
        self._rows = QueryRowKeeper(marks) if on.redundancy else None
        made = (self._roles, self._sinks, self._profile, self._norms, self._rows)
        found: list[Reducer] = [reducer for reducer in made if reducer is not None]
        return found if self._every == 1 else [SomeInputs(reducer, self._chosen) for reducer in found]

    def finish(self, counts: NDArray[np.bool_], importance: Array | None = None) -> None:
        """End the pass: which of its samples count, and ``importance`` (sample, layer, head) if known."""
        self._finished = counts, importance

    def commit(self) -> None:
        """Add what the finished pass saw; nothing without one."""
        if self._finished is None:
            return
        whole, importance = self._finished
        chosen, self._passed = self._chosen, self._passed + len(whole)
        counts = whole[chosen]
        self.samples += int(counts.sum())
        if self._roles is not None:
            self.roles = _added(self.roles, ROLES, self._roles.shares(), counts)
        if self._sinks is not None:
            self.sinks = _added(self.sinks, SINK_MEASURES, self._sinks.sinks(), counts)
        if self._profile is not None:
            found = self._profile.profile()
            self.distance_profile = _added(self.distance_profile, DISTANCE_BINS, found, counts)
        if self._norms is not None:
            self.norm_weighted = _added(self.norm_weighted, NORM_SHARES, self._norms.shares(), counts)
        if self._rows is not None:
            distances = _numpy(self._rows.distances())[counts]
            before = self.distances or HeadDistances.nothing(distances.shape[-1])
            self.distances = before.with_samples(distances)
        if importance is not None and self.roles is not None:
            # An encoder-decoder's encoder is what is surveyed; its layers go first.
            importance = importance[chosen][counts, : len(self.roles.mean)]
            before_ = self.importance or HeadMeans.nothing(("importance",), *importance.shape[1:])
            self.importance = before_.with_samples(importance[..., None])
        self._forget()

    def _forget(self) -> None:
        self._roles = self._sinks = self._profile = self._norms = self._rows = self._finished = None

    @property
    def _chosen(self) -> slice:
        """Which inputs of the coming batch are looked at."""
        return slice(-self._passed % self._every, None, self._every)

    def candidates(self) -> list[PruningCandidate]:
        """Heads that the model could do without; none where redundancy is off."""
        if self.distances is None or self.roles is None:
            return []
        dead = self.roles.of("dead")
        return pruning_candidates(
            importance=None if self.importance is None else self.importance.of("importance"),
            dead=None if np.isnan(dead).all() else dead,
            distances=self.distances.mean,
            heads=dead.shape[1],
        )

    def metrics(self) -> dict[str, float]:
        """Plain numbers over all heads, for charts: how many heads each role leads, and so on."""
        metrics: dict[str, float] = {}
        if self.roles is not None and self._settings.roles:
            leading = Counter(role for layer in leading_roles(self.roles) for role in layer)
            metrics |= {f"heads_{role}": float(leading[role]) for role in (*ROLES, "mixed")}
        if self.sinks is not None:
            metrics["sink_share"] = _mean(self.sinks.of("share"))
        if self.norm_weighted is not None:
            for name in ("first", "separator"):
                metrics[f"norm_weighted_{name}"] = _mean(self.norm_weighted.of(name))
        if self.distances is not None:
            metrics["head_clusters"] = float(clusters(self.distances.mean).max() + 1)
            metrics["pruning_candidates"] = float(len(self.candidates()))
        return {name: value for name, value in metrics.items() if np.isfinite(value)}

    def to_json(self) -> dict[str, Any]:
        """Every head's means as plain JSON values; a role that a model cannot have is null."""
        document: dict[str, Any] = {"samples": self.samples}
        for name in ("roles", "sinks", "distance_profile", "norm_weighted", "importance"):
            means: HeadMeans | None = getattr(self, name)
            if means is not None and (name != "roles" or self._settings.roles):
                document[name] = {measure: _plain(means.of(measure)) for measure in means.measures}
        if self.roles is not None and self._settings.roles:
            document["leading_roles"] = leading_roles(self.roles)
        if self.distances is not None:
            document["clusters"] = clusters(self.distances.mean).tolist()
            document["pruning_candidates"] = [_candidate(item) for item in self.candidates()]
        return document


def _added(
    before: HeadMeans | None,
    measures: tuple[str, ...],
    values: Tensor | None,
    counts: NDArray[np.bool_],
) -> HeadMeans | None:
    if values is None:
        return before
    found = _numpy(values)[counts]
    return (before or HeadMeans.nothing(measures, *found.shape[1:3])).with_samples(found)


def _candidate(item: PruningCandidate) -> dict[str, Any]:
    return {
        "head": str(item.head),
        "reasons": list(item.reasons),
        "importance": item.importance,
        "dead": item.dead,
        "twin": None if item.twin is None else str(item.twin),
        "distance": item.distance,
    }


def _plain(values: np.ndarray[Any, np.dtype[np.float64]]) -> list[list[float | None]]:
    return [[None if np.isnan(value) else round(float(value), 6) for value in row] for row in values]


def _mean(values: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    return float(np.nanmean(values)) if not np.isnan(values).all() else float("nan")


def _numpy(values: Tensor) -> Array:
    return values.detach().float().cpu().numpy()
