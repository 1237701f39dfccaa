"""What one checkpoint gives for every sample: one pass, the same batches for every checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from monitor.comparing.decisions import Decisions, decisions_of
from monitor.reading.analyser import Analyser
from monitor.records import Array, ModelIdentity, Prediction, Sample
from monitor.replay.stacks import run_order
from monitor.replay.tokens import Encoded


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelReading:
    """One checkpoint on the samples that it takes; every field after the first two has one entry a sample.

    ``rows`` are the token ids that it read; ``profile`` (sample, layer, head, statistic). ``kinds`` of
    answer and ``decisions`` say what it answered; ``embeddings`` (sample, hidden) are a plain encoder's.
    ``attributions`` gradient x input of each sample's content tokens, and ``importance``
    (sample, layer, head) by Michel et al. 2019: both None for a model that takes no embeddings.
    ``order``: the layers as they run; empty where they are numbered so.
    """

    identity: ModelIdentity
    statistics: tuple[str, ...]
    samples: tuple[Sample, ...]
    rows: tuple[tuple[int, ...], ...]
    profile: Array
    predictions: tuple[Prediction | None, ...]
    kinds: tuple[str, ...]
    decisions: tuple[Decisions, ...]
    embeddings: Array | None
    attributions: tuple[Array, ...] | None
    importance: Array | None
    order: tuple[int, ...] = ()

    @property
    def ids(self) -> tuple[str, ...]:
        """The samples' ids."""
        return tuple(sample.id for sample in self.samples)

    @property
    def finite(self) -> NDArray[np.bool_]:
        """(sample,): whether all of a sample's numbers are."""
        known = np.isfinite(self.profile).all(axis=(1, 2, 3))
        said = [p is None or bool(np.isfinite((p.probability, p.entropy)).all()) for p in self.predictions]
        return np.asarray(known & np.array(said, dtype=bool))

    def of_statistics(self, names: Sequence[str]) -> Array:
        """The profile's columns of these names, in their order."""
        return self.profile[..., [self.statistics.index(name) for name in names]]

    def take(self, chosen: NDArray[np.intp]) -> ModelReading:
        """The samples at ``chosen``, in that order."""
        return replace(
            self,
            samples=tuple(self.samples[i] for i in chosen),
            rows=tuple(self.rows[i] for i in chosen),
            profile=self.profile[chosen],
            predictions=tuple(self.predictions[i] for i in chosen),
            kinds=tuple(self.kinds[i] for i in chosen),
            decisions=tuple(self.decisions[i] for i in chosen),
            embeddings=None if self.embeddings is None else self.embeddings[chosen],
            attributions=None if self.attributions is None else tuple(self.attributions[i] for i in chosen),
            importance=None if self.importance is None else self.importance[chosen],
        )


def read_model(
    analyser: Analyser,
    samples: Sequence[Sample],
    *,
    gradient: bool = True,
    on_progress: Callable[[int], None] | None = None,
) -> tuple[ModelReading, tuple[tuple[str, str], ...]]:
    """Run the samples; returns the reading and (id, reason) of those that the model cannot take.

    The batches depend on the samples' lengths alone, so equal weights give equal bits.
    """
    encoded, refused = analyser.encode(samples)
    rows = list(encoded.values())
    model = analyser.model
    identity, gradient = model.identity, gradient and model.takes_gradient
    shape = (len(rows), identity.layers, identity.heads)
    profile = np.zeros((*shape, len(analyser.statistics)), dtype=np.float32)
    importance = np.zeros(shape, dtype=np.float32)
    predictions: list[Prediction | None] = [None] * len(rows)
    kinds = [""] * len(rows)
    decisions: list[Decisions] = [()] * len(rows)
    embeddings: list[Array] = [np.zeros(0, dtype=np.float32)] * len(rows)
    attributions: list[Array] = [np.zeros(0, dtype=np.float32)] * len(rows)
    done = 0
    for members in model.plan(rows):
        own = [rows[i] for i in members]
        batch = model.batch(own)
        kind = model.kind_of(batch)
        reading = analyser.reader.read_batch(batch, gradient=gradient, rows=own)
        decided = decisions_of(reading.answers, kind, identity.labels)
        profile[members] = reading.profile
        for place, member in enumerate(members):
            predictions[member] = reading.predictions[place]
            kinds[member], decisions[member] = kind, decided[place]
            if kind == "embedding":
                embeddings[member] = reading.answers[place].detach().float().cpu().numpy()
            if reading.gradient_times_input is not None:
                attributions[member] = reading.gradient_times_input[place, _content(rows[member])]
        if reading.importance is not None:
            importance[members] = reading.importance
        done += len(members)
        if on_progress is not None:
            on_progress(done)
    return ModelReading(
        identity=identity,
        statistics=analyser.statistics,
        samples=tuple(samples[index] for index in encoded),
        rows=tuple(row.ids for row in rows),
        profile=profile,
        predictions=tuple(predictions),
        kinds=tuple(kinds),
        decisions=tuple(decisions),
        embeddings=np.stack(embeddings) if "embedding" in kinds else None,
        attributions=tuple(attributions) if gradient else None,
        importance=importance if gradient else None,
        order=run_order(model.finding.stacks),
    ), tuple(refused)


def _content(row: Encoded) -> NDArray[np.intp]:
    return np.setdiff1d(np.arange(len(row.ids)), row.special)
