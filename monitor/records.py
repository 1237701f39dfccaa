"""The frozen records that flow from stage to stage; stages know these, not each other.

    payload -> Sample -> SampleAnalysis -> Features (a window's samples, stacked)
            -> Verdict (against a Baseline) -> OutboxRecord, Snapshot

Axes are always named and ordered ``sample layer head statistic`` here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Cause = Literal["data", "model", "environment", "serving"]
Severity = Literal["page", "ticket", "note"]
ChannelName = Literal["heads", "rollout", "tokens", "prediction", "input", "fidelity", "model"]
CHANNELS: tuple[ChannelName, ...] = (
    "heads",
    "rollout",
    "tokens",
    "prediction",
    "input",
    "fidelity",
    "model",
)
STATISTICS = (
    "entropy",
    "content_entropy",
    "self",
    "previous",
    "first",
    "separator",
    "distance",
    "output_norm",
    "readout_entropy",
    "readout_special",
)
ROLLOUT_MEASURES = ("entropy", "special_mass", "reach")
INPUT_MEASURES = ("log_tokens", "unknown_share", "truncated", "special_tokens")
LARGEST_SHOWN = 1e9
_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedPrediction:
    """What the inference server answered: its label and the probability it gave, if it did."""

    label: str
    probability: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One production input. It has ``text`` or ``input_ids``, never both.

    ``time`` is in seconds since the epoch; ``revision`` is the model version that served it.
    """

    id: str
    time: float
    text: str | None = None
    text_pair: str | None = None
    input_ids: tuple[int, ...] | None = None
    revision: str | None = None
    served: ServedPrediction | None = None
    attributes: Mapping[str, str] = field(default_factory=lambda: _NOTHING)

    def __post_init__(self) -> None:
        if (self.text is None) == (self.input_ids is None):
            raise ValueError("a sample has either 'text' or 'input_ids'")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedAnswer:
    """A served prediction that came apart from its input; ``id`` is that of the sample."""

    id: str
    time: float
    prediction: ServedPrediction


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class HeadId:
    """An attention head, counted from 0: ``L3H7``."""

    layer: int
    head: int

    def __str__(self) -> str:
        return f"L{self.layer}H{self.head}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """The replayed prediction; ``probabilities`` is empty for causal models (the target is a token).

    ``entropy`` is normalised by the log of the number of classes, so it lies within [0, 1].
    """

    label: str
    target: int
    probability: float
    entropy: float
    probabilities: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFacts:
    """What the tokenizer made of an input: counts of tokens, unknown share, whether it was cut."""

    tokens: int
    unknown_share: float
    truncated: bool
    special_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutSummary:
    """Attention rollout of the row that the prediction reads (Abnar & Zuidema 2020).

    ``entropy`` normalised to [0, 1]; ``special_mass`` on special tokens and the first;
    ``reach``: mean distance of the mass from the read-out position, as a share of the length.
    """

    row: Array
    entropy: float
    special_mass: float
    reach: float
    top_words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleAnalysis:
    """Everything that one replayed sample gives.

    ``profile`` (layer, head, statistic); ``words`` the distinct words of the input;
    ``top_words`` those with the largest gradient-times-input (empty when it was not computed);
    ``head_importance`` (layer, head), Michel et al. 2019, or None when no gradient was taken.
    """

    id: str
    time: float
    profile: Array
    rollout: RolloutSummary
    prediction: Prediction | None
    served: ServedPrediction | None
    facts: InputFacts
    tokens: tuple[str, ...]
    words: tuple[str, ...]
    top_words: tuple[str, ...] = ()
    head_importance: Array | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """Integrated Gradients of one sample towards its predicted target (Sundararajan et al. 2017).

    ``values`` (token,): summed over the embedding, not normalised. ``relative_delta`` =
    |sum of values - difference of outputs| / max(|difference|, .01). ``spearman`` and
    ``overlap_at_5`` compare the attributions' magnitude with the rollout row.
    """

    id: str
    tokens: tuple[str, ...]
    values: Array
    rollout: Array
    words: tuple[str, ...]
    word_values: tuple[float, ...]
    prediction: Prediction
    delta: float
    relative_delta: float
    steps: int
    converged: bool
    spearman: float
    overlap_at_5: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """The analyses of several samples stacked for detection; all arrays share the sample axis.

    profile (sample, layer, head, statistic); rollout (sample, 3) after ROLLOUT_MEASURES;
    prediction (sample, 2 + classes): top probability, entropy, each class's probability
    (width 0 for models that predict nothing); inputs (sample, 4) after INPUT_MEASURES;
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

    @classmethod
    def concatenate(cls, parts: Sequence[Features]) -> Features:
        """Several windows as one, in their order; ``importance`` is their mean by sample."""
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


_SEPARATOR = "\x1f"


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


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadEvidence:
    """One head's part in an alarm: its log evidence and its largest change.

    ``before`` and ``after`` are means of ``statistic`` in its own unit; ``effect`` is the change in
    standard deviations of the baseline; ``importance`` the head's share of the model's (sums to 1).
    """

    head: HeadId
    statistic: str
    evidence: float
    before: float
    after: float
    effect: float
    importance: float
    named: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WordEvidence:
    """A word whose share of requests changed; ``word`` is hashed where privacy asks for it.

    ``kind`` says whether its presence or its place among the top-attributed words moved.
    """

    word: str
    kind: Literal["present", "top"]
    evidence: float
    before: float
    after: float
    requests: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureEvidence:
    """A scalar measure of a channel (input length, top probability, ...) before and after."""

    measure: str
    evidence: float
    before: float
    after: float
    effect: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelVerdict:
    """One channel in one window. ``evidence`` and ``limit`` are natural logs of e-process values
    (channel ``model``: largest probe difference in sd, against its threshold).

    ``alarm`` is latched: it stays up until ``recovery`` (log evidence for quiet) has reached
    ``recovery_limit``. ``since`` is the window at which the evidence began to rise.
    """

    channel: ChannelName
    alarm: bool
    raised: bool
    cleared: bool
    evidence: float
    limit: float
    since: int | None
    heads: tuple[HeadEvidence, ...] = ()
    gained: tuple[WordEvidence, ...] = ()
    lost: tuple[WordEvidence, ...] = ()
    measures: tuple[MeasureEvidence, ...] = ()
    recovery: float = 0.0
    recovery_limit: float = 0.0
    detail: str = ""


State = Literal["quiet", "alarm", "learning", "too_few_samples"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What headwatch says of one window. ``evidence`` and ``limit`` pool all stochastic channels.

    ``raised`` / ``cleared``: an episode began / ended in this window. ``episode`` identifies it.
    ``since_time`` is the start of window ``since``, seconds since the epoch.
    """

    model: str
    revision: str
    baseline: str
    window: int
    start: float
    end: float
    samples: int
    received: int
    state: State
    alarm: bool
    raised: bool
    cleared: bool
    episode: str | None
    causes: tuple[Cause, ...]
    severity: Severity | None
    since: int | None
    since_time: float | None
    evidence: float
    limit: float
    channels: Mapping[str, ChannelVerdict]
    summary: str

    @property
    def cause(self) -> Cause | None:
        """The first cause; the one to look at."""
        return self.causes[0] if self.causes else None

    def to_json(self) -> dict[str, Any]:
        """The verdict as plain JSON values: what /v1/verdicts, MLflow and backtest show.

        A number that a broken model made infinite is shown as +-1e9, one that is none as null.
        """
        values = {
            "model": self.model,
            "revision": self.revision,
            "baseline": self.baseline,
            "index": self.window,
            "start": self.start,
            "end": self.end,
            "samples": self.samples,
            "received": self.received,
            "state": self.state,
            "alarm": self.alarm,
            "raised": self.raised,
            "cleared": self.cleared,
            "episode": self.episode,
            "cause": self.cause,
            "causes": list(self.causes),
            "severity": self.severity,
            "since": self.since,
            "since_time": self.since_time,
            "evidence": self.evidence,
            "limit": self.limit,
            "summary": self.summary,
            "channels": {name: _channel_json(channel) for name, channel in self.channels.items()},
        }
        plain: dict[str, Any] = _plain(values)
        return plain

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Verdict:
        """The inverse of ``to_json``."""
        same = {item.name for item in fields(cls)} - {"window", "causes", "channels"}
        return cls(
            window=values["index"],
            causes=tuple(values["causes"]),
            channels={name: _channel_from_json(name, item) for name, item in values["channels"].items()},
            **{name: values[name] for name in same},
        )


def _channel_from_json(name: str, values: Mapping[str, Any]) -> ChannelVerdict:
    words = [WordEvidence(**item) for item in values["words"]]
    gained = len(values["gained"])
    copied = (
        "alarm",
        "raised",
        "cleared",
        "evidence",
        "limit",
        "since",
        "recovery",
        "recovery_limit",
        "detail",
    )
    return ChannelVerdict(
        channel=cast("ChannelName", name),
        heads=tuple(
            HeadEvidence(
                head=HeadId(layer=item["layer"], head=item["head"]), **_without(item, "layer", "head")
            )
            for item in values["top"]
        ),
        gained=tuple(words[:gained]),
        lost=tuple(words[gained:]),
        measures=tuple(MeasureEvidence(**_without(item)) for item in values["measures"]),
        **{key: values[key] for key in copied},
    )


def _without(values: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {key: math.nan if value is None else value for key, value in values.items() if key not in names}


def _plain(value: Any) -> Any:
    """The same with every float finite: JSON has no infinity."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else math.copysign(LARGEST_SHOWN, value)
    return value


def _channel_json(channel: ChannelVerdict) -> dict[str, object]:
    return {
        "alarm": channel.alarm,
        "raised": channel.raised,
        "cleared": channel.cleared,
        "evidence": channel.evidence,
        "limit": channel.limit,
        "since": channel.since,
        "recovery": channel.recovery,
        "recovery_limit": channel.recovery_limit,
        "detail": channel.detail,
        "top": [
            {
                "layer": item.head.layer,
                "head": item.head.head,
                "statistic": item.statistic,
                "evidence": item.evidence,
                "before": item.before,
                "after": item.after,
                "effect": item.effect,
                "importance": item.importance,
                "named": item.named,
            }
            for item in channel.heads
        ],
        "gained": [item.word for item in channel.gained],
        "lost": [item.word for item in channel.lost],
        "words": [
            {
                "word": item.word,
                "kind": item.kind,
                "evidence": item.evidence,
                "before": item.before,
                "after": item.after,
                "requests": item.requests,
            }
            for item in (*channel.gained, *channel.lost)
        ],
        "measures": [
            {
                "measure": item.measure,
                "evidence": item.evidence,
                "before": item.before,
                "after": item.after,
                "effect": item.effect,
            }
            for item in channel.measures
        ],
    }


OutboxKind = Literal["window", "episode", "attribution", "baseline", "notification"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRecord:
    """Something a sink must get exactly once. ``key`` is its idempotency key.

    ``payload`` is JSON text; ``artifacts`` maps file names to their bytes (npz, png, md, ...).
    """

    key: str
    kind: OutboxKind
    created: float
    payload: str
    artifacts: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """A scheduled job's record since start-up; times in seconds (``last_success`` since the epoch)."""

    runs: int = 0
    failures: int = 0
    skipped: int = 0
    last_duration: float = 0.0
    last_success: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All that Prometheus sees, in one immutable piece; replaced as a whole, never changed.

    ``layer_profile``: per statistic its mean over heads (layer,). ``head_profile`` (layer, head,
    statistic). ``fidelity``: share of served labels that the replay repeats, NaN where unknown.
    ``mlflow_run``: experiment id and run id of today's windows.
    """

    version: str
    name: str
    identity: ModelIdentity | None
    tier: str
    baseline: str
    state: State | Literal["stale", "starting"]
    verdict: Verdict | None
    layer_profile: Mapping[str, Array]
    head_profile: Array | None
    statistics: tuple[str, ...]
    samples_received: Mapping[str, int]
    samples_dropped: Mapping[str, int]
    queue_length: int
    queue_limit: int
    pending_samples: int
    outbox_records: Mapping[str, int]
    outbox_bytes: int
    outbox_dropped: int
    sink_failures: Mapping[str, int]
    sink_deliveries: Mapping[str, int]
    windows: Mapping[str, int]
    jobs: Mapping[str, JobStatus]
    attribution: Mapping[str, float]
    fidelity: float
    config_reload_successful: bool
    config_reload_time: float
    started: float
    time: float
    mlflow_run: tuple[str, str] | None = None
