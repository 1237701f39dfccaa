"""Windows of a story: real texts through the healthy or the faulty model, and the answers served to them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.detection.pools import Pool, World
from benchmarks.detection.streams import Split
from monitor.records import Features, ProbeReading

SIZE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Teller:
    """A world's stories against one baseline (``parts``); the same seed tells the same stories."""

    world: World
    parts: Split
    rng: np.random.Generator

    @property
    def healthy(self) -> ProbeReading:
        """The baseline's own reading."""
        return self.world.readings["baseline"]

    def quiet(self) -> Iterator[Features]:
        """Windows of the baseline's own distribution, served by the same model."""
        while True:
            yield served(self.parts.pool.take(self._rows(self.parts.rest, SIZE)))

    def shifted(self, name: str, share: float, *, fault: str = "") -> Iterator[Features]:
        """Windows with a ``share`` of another corpus; ``fault``: all of it through the faulty model."""
        others = self.world.pools[f"{name}_through_{fault}" if fault else name]
        own = self.world.pools[fault] if fault else self.parts.pool
        usual = np.arange(len(own)) if fault else self.parts.rest
        usable = self.parts.left_of(others)
        while True:
            mixed = own.take(self._rows(usual, SIZE - round(share * SIZE)))
            yield served(mixed.joined(others.take(self._rows(usable, round(share * SIZE)))))

    def faulty(self, name: str, *, healthy_server: bool = False) -> Iterator[Features]:
        """Windows through a faulty model, served by it or by the healthy one."""
        pool = self.world.pools[name]
        while True:
            window = pool.take(self._rows(np.arange(len(pool)), SIZE))
            yield served(window, self._same_texts(self.parts.pool, window) if healthy_server else None)

    def misserved(self, name: str, *, share: float = 1.0, other: str = "") -> Iterator[Features]:
        """Windows through the healthy model; a ``share`` of the answers comes from the faulty one.

        ``other``: a quarter of the texts are of this corpus. Of a text that the faulty model never saw,
        no answer came.
        """
        foreign = SIZE // 4 if other else 0
        while True:
            parts = [self._answered(self.parts.pool, self.parts.rest, name, SIZE - foreign, share)]
            if other:
                pool = self.world.pools[other]
                rows = np.arange(len(pool))
                parts.append(self._answered(pool, rows, f"{other}_through_{name}", foreign, share))
            yield Features.concatenate(parts)

    def _answered(self, pool: Pool, rows: NDArray[np.intp], name: str, count: int, share: float) -> Features:
        server = self.world.pools[name]
        places = {identity: row for row, identity in enumerate(server.features.ids)}
        window = pool.take(self._rows(rows, count))
        answers = np.array([places.get(identity, -1) for identity in window.features.ids])
        known = answers >= 0
        wrong = known & (self.rng.random(count) < share)
        features = served(window, server.take(np.maximum(answers, 0)), wrong)
        features.fidelity[~known] = np.nan
        return features

    def labels_differ(self, name: str) -> float:
        """The share of the reserved texts on which the faulty model answers otherwise."""
        server = self.world.pools[name]
        return float(_fidelity(self._same_texts(self.parts.pool, server), server)[:, 0].mean())

    def _rows(self, rows: NDArray[np.intp], count: int) -> NDArray[np.intp]:
        return self.rng.choice(rows, count, replace=count > len(rows))

    def _same_texts(self, pool: Pool, window: Pool) -> Pool:
        return pool.take(self.parts.origins(window))


def served(window: Pool, server: Pool | None = None, by_server: NDArray[np.bool_] | None = None) -> Features:
    """The window's features with the answers that were served: its own, to three places, or others'."""
    own = window.features.prediction[:, 2:].max(axis=1)
    fidelity = np.stack([np.zeros(len(window)), np.abs(np.round(own, 3) - own)], axis=1).astype(np.float32)
    if server is not None:
        wrong = np.ones(len(window), dtype=np.bool_) if by_server is None else by_server
        fidelity[wrong] = _fidelity(window, server)[wrong]
    return replace(window.features, fidelity=fidelity)


def _fidelity(replayed: Pool, answered: Pool) -> NDArray[np.float32]:
    """Label differs, and the gap between the probabilities of the served label (sample, 2)."""
    one, other = replayed.features.prediction[:, 2:], answered.features.prediction[:, 2:]
    label, rows = other.argmax(axis=1), np.arange(len(one))
    gap = np.abs(other[rows, label] - one[rows, label])
    return np.stack([one.argmax(axis=1) != label, gap], axis=1).astype(np.float32)
