"""Texts through a model to a ``Pool``, by the sidecar's own replay; and how pools lie on disk."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.detection.corpora import Corpus
from benchmarks.detection.pools import Pool
from monitor.baselines.file_format import STATISTICS_VERSION
from monitor.reading.analyser import Analyser
from monitor.reading.stacking import stack
from monitor.records import (
    INPUT_MEASURES,
    ROLLOUT_MEASURES,
    STATISTICS,
    Features,
    ModelIdentity,
    ProbeReading,
    Sample,
)

CORPORA_VERSION = 1
"""Raised whenever a corpus changes: pools of other texts are not read then."""


def pool_key() -> str:
    """Eight hex digits over everything that a pool's arrays depend on but the model."""
    measures = [list(names) for names in (STATISTICS, INPUT_MEASURES, ROLLOUT_MEASURES)]
    described = [STATISTICS_VERSION, CORPORA_VERSION, measures, [item.name for item in fields(Features)]]
    return hashlib.sha256(json.dumps(described).encode()).hexdigest()[:8]


def reading_key() -> str:
    """Eight hex digits over the fields of a probe's reading and of the identity in it."""
    names = [item.name for record in (ModelIdentity, ProbeReading) for item in fields(record)]
    return hashlib.sha256(json.dumps(names).encode()).hexdigest()[:8]


def extract(analyser: Analyser, corpus: Corpus, *, gradient: bool) -> Pool:
    """Features and pooled output of every text; those that the model refuses are left out."""
    samples = [Sample(id=str(i), time=0.0, text=text) for i, text in enumerate(corpus.texts)]
    encoded, _ = analyser.encode(samples)
    index = list(encoded)
    order = [index[i] for batch in analyser.model.plan(list(encoded.values())) for i in batch]
    with _pooled_output(analyser.model.network) as batches:
        analyses = analyser.profile(samples, gradient=gradient).analyses
    pooled = np.zeros((len(samples), batches[0].shape[1]), dtype=np.float32)
    pooled[order] = np.concatenate(batches)
    rows = [int(analysis.id) for analysis in analyses]
    features = stack(analyses)
    return Pool(
        features=Features.from_arrays(
            {**features.to_arrays(), "ids": np.array([corpus.ids[i] for i in rows])}
        ),
        pooled=pooled[rows],
        labels=np.array([corpus.labels[i] for i in rows], dtype=np.int64),
    )


@contextmanager
def _pooled_output(network: Any) -> Iterator[list[NDArray[np.float32]]]:
    """Each batch's mean over the real tokens of the encoder's last hidden state (row, hidden)."""
    seen: list[NDArray[np.float32]] = []

    def keep(_: Any, __: Any, call: Mapping[str, Any], output: Any) -> None:
        real = call["attention_mask"].unsqueeze(-1).float()
        mean = (output.last_hidden_state.detach().float() * real).sum(dim=1) / real.sum(dim=1)
        seen.append(mean.to(device="cpu", dtype=torch.float32).numpy())

    handle = network.base_model.register_forward_hook(keep, with_kwargs=True)
    try:
        yield seen
    finally:
        handle.remove()


def save_pool(pool: Pool, path: Path) -> None:
    """Atomically, as plain arrays."""
    _save(path, {**pool.features.to_arrays(), "pooled": pool.pooled, "labels": pool.labels})


def read_pool(path: Path) -> Pool:
    """What ``save_pool`` wrote."""
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    return Pool(features=Features.from_arrays(arrays), pooled=arrays["pooled"], labels=arrays["labels"])


def save_reading(reading: ProbeReading, path: Path) -> None:
    """Atomically; the identity as JSON in bytes, what is None not at all."""
    arrays = {
        item.name: np.asarray(value)
        for item in fields(ProbeReading)
        if item.name != "identity" and (value := getattr(reading, item.name)) is not None
    }
    described = json.dumps(reading.identity.to_json()).encode()
    _save(path, {**arrays, "identity": np.frombuffer(described, dtype=np.uint8)})


def read_reading(path: Path) -> ProbeReading:
    """What ``save_reading`` wrote."""
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    identity = ModelIdentity.from_json(json.loads(arrays.pop("identity").tobytes()))
    values = {name: array.item() if array.ndim == 0 else array for name, array in arrays.items()}
    return ProbeReading(identity=identity, **values)


def _save(path: Path, arrays: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial.npz")
    np.savez(partial, **arrays)
    partial.replace(path)
