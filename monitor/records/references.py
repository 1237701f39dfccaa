"""What windows are compared with: the baseline, the probe, and whose they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from monitor.records.features import Features
from monitor.records.samples import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelIdentity:
    """Which weights, in which surroundings: the key under which a baseline is kept.

    ``weights_hash`` is the SHA-256 over the model's files; ``libraries`` maps names to versions.
    The other hashes (16 hex digits; empty where unknown) are over the loaded parameters:
    ``head_hashes`` (layer, head) over a head's slices of the query, key, value and output
    projections, ``layer_hashes`` (layer,) over the rest of a layer, ``other_hashes`` over what lies
    outside of the layers, by module. ``tokenizer_hash`` is over the tokenizer's files; ``pipeline``
    says how texts become inputs: padding side, most tokens, special tokens added, lower-casing, and
    (a digest) how a fixed text is cut into words.
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
    head_hashes: tuple[tuple[str, ...], ...] = ()
    layer_hashes: tuple[str, ...] = ()
    other_hashes: Mapping[str, str] = field(default_factory=dict)
    tokenizer_hash: str = ""
    pipeline: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        values: dict[str, Any] = {item.name: getattr(self, item.name) for item in fields(self)}
        return {name: dict(value) if isinstance(value, Mapping) else value for name, value in values.items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ModelIdentity:
        """The inverse of ``to_json``."""
        head_hashes = tuple(tuple(layer) for layer in values["head_hashes"])
        lists = {name: tuple(values[name]) for name in ("labels", "layer_hashes")}
        return cls(**{**values, **lists, "head_hashes": head_hashes})


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeReading:
    """The fixed probe inputs, re-run: profile (sample, layer, head, statistic) and predictions.

    ``alone`` (layer, head, statistic): the shortest input by itself, without padding; None where it
    is not known. ``padding_gap``: the largest difference that padding makes to it, in sd over the
    probe inputs; next to nothing while the model ignores what is masked.
    """

    identity: ModelIdentity
    inputs_hash: str
    profile: Array
    prediction: Array
    alone: Array | None = None
    padding_gap: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WordCount:
    """In how many baseline requests a word appeared, and in how many it was a top-attributed one.

    ``top`` by the cheap attribution that every sample has; ``integrated`` by Integrated Gradients (of
    the subsample that has them). ``wobble``: sd of the rate (present, top) between time blocks beyond
    what chance gives.
    ``even``: how many of ``present`` lie in the baseline's even time blocks.
    """

    present: int
    top: int
    integrated: int = 0
    wobble: tuple[float, float] = (0.0, 0.0)
    even: int = 0

    @property
    def halves(self) -> tuple[int, int]:
        """``present`` in even and in odd time blocks."""
        return self.even, self.present - self.even


@dataclass(frozen=True, slots=True, kw_only=True)
class SurveyedHeads:
    """What a survey saw of every head: means over ``samples`` inputs, with their standard errors.

    ``distances`` (layer, head, bin): attention by relative distance, after ``bins``; ``roles`` (layer,
    head, role): shares of the roles after ``role_names``. An array of what was not measured has no last
    axis; NaN is a role that the model cannot have. Of an encoder-decoder only the encoder is surveyed.
    """

    samples: int
    bins: tuple[str, ...]
    distances: Array
    distances_error: Array
    role_names: tuple[str, ...]
    roles: Array
    roles_error: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """The frozen reference that windows are judged against.

    ``features`` carries no words: those are only kept as ``words``, counts per word or, below
    ``minimum_requests``, per keyed hash of it (``#`` and 16 hex digits). ``attributed_requests``
    is the number of requests whose top words are known, ``integrated_requests`` of those with
    Integrated Gradients. ``surprisal`` (sample,): see ``monitor.drift.surprisal``, each sample by the
    half that it is not in. ``largest_repeat``: the largest share of near-identical requests that a
    time block held. ``survey`` and ``attribution`` (means by name) are only shown, never judged by, and
    not there in baselines of earlier versions.
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
    integrated_requests: int
    surprisal: Array
    largest_repeat: float
    word_key_fingerprint: str
    probe: ProbeReading | None
    survey: SurveyedHeads | None = None
    attribution: Mapping[str, float] = field(default_factory=dict)
