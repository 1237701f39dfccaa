"""All that a detector remembers between windows, as plain arrays: it resumes to the last bit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.drift.arrays import Arrays, nest, part
from monitor.drift.changes import UNCHANGED, Changes
from monitor.drift.decision import Latch
from monitor.drift.fidelity import FidelityState
from monitor.drift.measures import MeasureState
from monitor.drift.recent_inputs import RecentInputs
from monitor.drift.tokens import WordState
from monitor.errors import StateError
from monitor.records import ChannelName, Features

SCHEMA = 2
TIMES_KEPT = 512
_JOIN = "\x1f"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeState:
    """What the probe last said: moved or not, since which window, and what of the model is another."""

    known: bool = False
    moved: bool = False
    since: int = -1
    changes: Changes = UNCHANGED

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ProbeState:
        """The inverse of ``to_json``."""
        return cls(**{**values, "changes": Changes.from_json(values["changes"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorState:
    """Evidence per channel, standing alarms, the probe, and the start times of the last windows.

    ``waiting``: samples of windows that were too small to be judged; ``waiting_words``: the words
    by Integrated Gradients that came with them.

    ``baseline`` and ``mean_windows`` say for what the state was made; another detector refuses it.
    """

    baseline: str
    mean_windows: float
    measures: Mapping[ChannelName, MeasureState]
    words: WordState
    fidelity: FidelityState
    latches: Mapping[ChannelName, Latch]
    probe: ProbeState
    inputs: RecentInputs
    episode: str | None
    waiting: Features | None
    waiting_words: tuple[tuple[str, ...], ...]
    times: tuple[tuple[int, float], ...]

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Named arrays for an npz file without pickle."""
        header = {
            "schema": SCHEMA,
            "baseline": self.baseline,
            "mean_windows": self.mean_windows,
            "latches": {name: latch.to_json() for name, latch in self.latches.items()},
            "probe": self.probe.to_json(),
            "episode": self.episode,
            "waiting": self.waiting is not None,
            "times": self.times,
            "measures": list(self.measures),
        }
        parts: dict[str, Arrays] = {
            f"measures/{name}": item.to_arrays() for name, item in self.measures.items()
        }
        parts["words"] = self.words.to_arrays()
        parts["fidelity"] = self.fidelity.to_arrays()
        parts["inputs"] = self.inputs.to_arrays()
        parts["waiting_words"] = {"joined": np.array([_JOIN.join(w) for w in self.waiting_words], np.str_)}
        if self.waiting is not None:
            parts["waiting"] = self.waiting.to_arrays()
        return {**nest(parts), "header": np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> DetectorState:
        """The inverse of ``to_arrays``; raises StateError for another schema or damage."""
        try:
            header = json.loads(arrays["header"].tobytes())
            schema = header["schema"]
        except (KeyError, ValueError, TypeError):
            raise StateError("detector state: is damaged; remove it, evidence then starts anew") from None
        if schema != SCHEMA:
            raise StateError(
                f"detector state: schema = {schema!r}, this version of headwatch reads {SCHEMA}; "
                "remove it, evidence then starts anew"
            )
        try:
            return cls(
                baseline=header["baseline"],
                mean_windows=header["mean_windows"],
                measures={
                    name: MeasureState.from_arrays(part(arrays, f"measures/{name}"))
                    for name in header["measures"]
                },
                words=WordState.from_arrays(part(arrays, "words")),
                fidelity=FidelityState.from_arrays(part(arrays, "fidelity")),
                latches={name: Latch.from_json(latch) for name, latch in header["latches"].items()},
                probe=ProbeState.from_json(header["probe"]),
                inputs=RecentInputs.from_arrays(part(arrays, "inputs")),
                episode=header["episode"],
                waiting=Features.from_arrays(part(arrays, "waiting")) if header["waiting"] else None,
                waiting_words=tuple(
                    tuple(str(words).split(_JOIN)) for words in arrays["waiting_words/joined"]
                ),
                times=tuple((int(window), float(start)) for window, start in header["times"]),
            )
        except (KeyError, ValueError, TypeError):
            raise StateError("detector state: is damaged; remove it, evidence then starts anew") from None

    def times_with(self, window: int, start: float) -> tuple[tuple[int, float], ...]:
        """The newest windows' starts and, however old, that of the window where an alarm began."""
        times = (*self.times, (window, start))
        oldest = min((latch.since for latch in self.latches.values()), default=window)
        onset = next((item for item in times if item[0] >= oldest), times[-1])
        newest = times[-TIMES_KEPT:]
        return newest if onset in newest else (onset, *newest)

    def start_of(self, window: int) -> float | None:
        """Start time of a window, or of the earliest one remembered after it."""
        return next((start for index, start in self.times if index >= window), None)
