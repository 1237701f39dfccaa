"""What windows are compared with: the baseline, the probe, and whose they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from monitor.records.features import Features
from monitor.records.samples import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelIdentity:
    """Which weights, in which surroundings: the key under which a baseline is kept.

    ``weights_hash`` is the SHA-256 over the weight files; ``libraries`` maps names to versions.
    """

    name: str
    revision: str
    weights_hash: str
    architecture: str
    task: str
    layers: int
    heads: int
    labels: tuple[str, ...]
    libraries: Mapping[str, str]
    device: str
    dtype: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeReading:
    """The fixed probe inputs, re-run: profile (sample, layer, head, statistic) and predictions."""

    identity: ModelIdentity
    inputs_hash: str
    profile: Array
    prediction: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class WordCount:
    """In how many baseline requests a word appeared, and in how many it was a top-attributed one."""

    present: int
    top: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """The frozen reference that windows are judged against.

    ``features`` carries no words: those are only kept as ``words``, counts per word or, below
    ``minimum_requests``, per keyed hash of it (``#`` and 16 hex digits). ``attributed_requests``
    is the number of requests whose top words are known.
    """

    version: str
    created: float
    source: Literal["log", "live"]
    statistics: tuple[str, ...]
    identity: ModelIdentity
    features: Features
    words: Mapping[str, WordCount]
    requests: int
    attributed_requests: int
    word_key_fingerprint: str
    probe: ProbeReading | None
