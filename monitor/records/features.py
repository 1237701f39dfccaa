"""The analyses of many samples, stacked: what detection works on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from monitor.records.samples import Array

_SEPARATOR = "\x1f"


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """The analyses of several samples stacked for detection; all arrays share the sample axis.

    profile (sample, layer, head, statistic); rollout (sample, 3) after ROLLOUT_MEASURES;
    prediction (sample, 2 + classes): top probability, entropy, each class's probability
    (width 0 for models that predict nothing); inputs (sample, 7) after INPUT_MEASURES;
    fidelity (sample, 2): served label differs (0 or 1), absolute probability gap; NaN where the
    served answer is unknown. importance (layer, head): mean over the samples, zeros if unknown.
    """

    ids: tuple[str, ...]
    times: NDArray[np.float64]
    profile: Array
    rollout: Array
    prediction: Array
    inputs: Array
    fidelity: Array
    words: tuple[tuple[str, ...], ...]
    top_words: tuple[tuple[str, ...], ...]
    importance: Array

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Sequence[int] | NDArray[np.intp]) -> Features:
        """The samples at ``rows``, in that order; ``importance`` is kept as it is."""
        index = np.asarray(rows, dtype=np.intp)
        return Features(
            ids=tuple(self.ids[i] for i in index),
            times=self.times[index],
            profile=self.profile[index],
            rollout=self.rollout[index],
            prediction=self.prediction[index],
            inputs=self.inputs[index],
            fidelity=self.fidelity[index],
            words=tuple(self.words[i] for i in index),
            top_words=tuple(self.top_words[i] for i in index),
            importance=self.importance,
        )

    def in_order(self) -> Features:
        """The samples by time, then by id: however shards were joined, the order is the same."""
        order = sorted(range(len(self)), key=lambda row: (float(self.times[row]), self.ids[row]))
        return self if order == list(range(len(self))) else self.take(order)

    @classmethod
    def concatenate(cls, parts: Sequence[Features]) -> Features:
        """Several windows as one, in their order; ``importance`` is their mean by sample."""
        # A part without samples may not know how many classes the model has.
        parts = [part for part in parts if len(part)] or parts[:1]
        sizes = np.array([len(part) for part in parts], dtype=np.float64)
        weights = (sizes / max(1.0, sizes.sum()))[:, None, None]
        return cls(
            ids=tuple(i for part in parts for i in part.ids),
            times=np.concatenate([part.times for part in parts]),
            profile=np.concatenate([part.profile for part in parts]),
            rollout=np.concatenate([part.rollout for part in parts]),
            prediction=np.concatenate([part.prediction for part in parts]),
            inputs=np.concatenate([part.inputs for part in parts]),
            fidelity=np.concatenate([part.fidelity for part in parts]),
            words=tuple(words for part in parts for words in part.words),
            top_words=tuple(words for part in parts for words in part.top_words),
            importance=np.sum(np.stack([p.importance for p in parts]) * weights, axis=0).astype(np.float32),
        )

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """Plain arrays for an npz file (no pickle); word lists are joined by a unit separator."""
        arrays: dict[str, NDArray[np.generic]] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name == "ids":
                value = np.array(value, dtype=np.str_)
            elif item.name in ("words", "top_words"):
                value = np.array([_SEPARATOR.join(words) for words in value], dtype=np.str_)
            arrays[item.name] = value
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> Features:
        """The inverse of ``to_arrays``."""
        values: dict[str, object] = {item.name: arrays[item.name] for item in fields(cls)}
        values["ids"] = tuple(str(i) for i in arrays["ids"])
        for name in ("words", "top_words"):
            values[name] = tuple(
                tuple(str(joined).split(_SEPARATOR)) if str(joined) else () for joined in arrays[name]
            )
        return cls(**values)  # type: ignore[arg-type]
