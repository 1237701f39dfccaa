"""A log's features, computed once: the settings that are tried share them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.reading.analyser import Analyser
from monitor.reading.integrated import top_words
from monitor.reading.stacking import stack
from monitor.records import Features, Sample
from monitor.sampling import subsample

CHUNK = 200
"""Samples profiled together, whatever the window: features never depend on how a log is cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profiled:
    """Samples ``first`` .. ``stop`` - 1 of a log, profiled.

    ``places`` (row,): where in the log each row of ``features`` stood. ``refused``: (id, reason) of the
    samples that have no row. ``integrated``: top words by Integrated Gradients, by place.
    """

    features: Features
    places: NDArray[np.int64]
    first: int
    stop: int
    refused: tuple[tuple[str, str], ...] = ()
    integrated: Mapping[int, tuple[str, ...]] = dataclasses.field(default_factory=dict)

    def between(self, first: int, stop: int) -> Profiled:
        """The samples at places ``first`` .. ``stop`` - 1; all that were refused stay named."""
        rows = np.arange(*np.searchsorted(self.places, [first, stop]))
        own = {place: words for place, words in self.integrated.items() if first <= place < stop}
        return dataclasses.replace(
            self,
            features=self.features.take(rows),
            places=self.places[rows],
            first=first,
            stop=stop,
            integrated=own,
        )

    def joined(self, later: Profiled) -> Profiled:
        """This one and the samples that follow it."""
        return Profiled(
            features=Features.concatenate([self.features, later.features]),
            places=np.concatenate([self.places, later.places]),
            first=self.first,
            stop=later.stop,
            refused=(*self.refused, *later.refused),
            integrated={**self.integrated, **later.integrated},
        )


def profile_chunks(
    samples: Sequence[Sample], analyser: Analyser, *, on_progress: Callable[[int], None] | None = None
) -> Iterator[Profiled]:
    """A log in chunks, in order. ``on_progress`` is told how many samples are done."""
    for first in range(0, len(samples), CHUNK):
        piece = samples[first : first + CHUNK]
        # Named by their place: ids that the log repeats would not tell which row is whose.
        named = [dataclasses.replace(sample, id=str(first + i)) for i, sample in enumerate(piece)]
        analysed = analyser.profile(named)
        features = stack(analysed.analyses, like=analyser.model)
        places = np.array([int(place) for place in features.ids], dtype=np.int64)
        if on_progress is not None:
            on_progress(first + len(piece))
        yield Profiled(
            features=dataclasses.replace(features, ids=tuple(samples[place].id for place in places)),
            places=places,
            first=first,
            stop=first + len(piece),
            refused=tuple((samples[int(place)].id, reason) for place, reason in analysed.refused),
        )


def profile_log(
    samples: Sequence[Sample], analyser: Analyser, *, on_progress: Callable[[int], None] | None = None
) -> Profiled:
    """The whole log at once."""
    parts = list(profile_chunks(samples, analyser, on_progress=on_progress))
    return Profiled(
        features=Features.concatenate([part.features for part in parts]),
        places=np.concatenate([part.places for part in parts]),
        first=0,
        stop=len(samples),
        refused=tuple(item for part in parts for item in part.refused),
    )


def in_windows(parts: Iterable[Profiled], pieces: Iterable[range]) -> Iterator[Profiled]:
    """The windows whose places ``pieces`` are, in order, as the parts come."""
    held: Profiled | None = None
    coming = iter(parts)
    for piece in pieces:
        while held is None or held.stop < piece.stop:
            part = next(coming)
            held = part if held is None else held.between(piece.start, held.stop).joined(part)
        yield held.between(piece.start, piece.stop)


def to_attribute(samples: Sequence[Sample], piece: range, count: int) -> list[int]:
    """The places of the ``count`` samples of a window that get Integrated Gradients."""
    chosen = {sample.id for sample in subsample(samples[piece.start : piece.stop], count)}
    return [place for place in piece if samples[place].id in chosen]


def attribute_places(
    samples: Sequence[Sample],
    places: Iterable[int],
    analyser: Analyser,
    *,
    on_progress: Callable[[int], None] | None = None,
) -> dict[int, tuple[str, ...]]:
    """The top words by Integrated Gradients of the samples at ``places``; () where it did not converge."""
    wanted = sorted(set(places))
    named = [dataclasses.replace(samples[place], id=str(place)) for place in wanted]
    found: dict[int, tuple[str, ...]] = dict.fromkeys(wanted, ())
    for item in analyser.attribute(named, on_progress=on_progress):
        for words in top_words([item], analyser.settings.top_words):
            found[int(item.id)] = words
    return found
