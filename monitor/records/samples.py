"""A sample, and what one replay of it gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.records.explanations import Agreement, Faithfulness

Array = NDArray[np.float32]


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


INPUT_MEASURES = (
    "log_tokens",
    "unknown_share",
    "truncated",
    "special_tokens",
    "tokens_per_word",
    "uppercase_share",
    "punctuation_share",
)


_NOTHING: Mapping[str, str] = MappingProxyType({})
_NONE: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedPrediction:
    """What the inference server answered: its label and the probability it gave, if it did."""

    label: str
    probability: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One production input. It has ``text``, ``input_ids`` or ``image``, never two of them.

    ``time`` is in seconds since the epoch; ``revision`` is the model version that served it.
    ``text_pair`` is the second text of a pair, a question's context, or what a language model
    answered to ``text``. ``image`` are the bytes of a file (PNG, JPEG, ...).
    """

    id: str
    time: float
    text: str | None = None
    text_pair: str | None = None
    input_ids: tuple[int, ...] | None = None
    revision: str | None = None
    served: ServedPrediction | None = None
    attributes: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    image: bytes | None = None

    def __post_init__(self) -> None:
        if sum(given is not None for given in (self.text, self.input_ids, self.image)) != 1:
            raise ValueError("a sample has either 'text', 'input_ids' or 'image'")


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
    """The replayed prediction; ``probabilities`` is empty where the target is a token or a span.

    ``entropy`` is normalised by the log of the number of classes, so it lies within [0, 1].
    ``values`` are a regression's outputs; it has no probability (1) and no entropy (0).
    """

    label: str
    target: int
    probability: float
    entropy: float
    probabilities: tuple[float, ...] = ()
    values: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFacts:
    """What the tokenizer made of an input: counts of tokens, unknown share, whether it was cut.

    ``tokens_cut``: how many tokens were left out because the input was too long.

    ``tokens_per_word`` leaves special tokens out; ``uppercase_share`` is of the letters that have a
    case, ``punctuation_share`` of the characters that are no white space; 0 where there are none.
    """

    tokens: int
    unknown_share: float
    truncated: bool
    special_tokens: int
    tokens_per_word: float
    uppercase_share: float
    punctuation_share: float
    tokens_cut: int = 0


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
    ``top_words`` those with the largest relevance (empty when there was no gradient);
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

    By method, for those that were asked for: ``others`` the token values (token,) of other methods,
    ``agreements`` theirs with ``values``, ``faithfulness`` (``values`` as ``integrated_gradients``).
    ``shares``: of all attribution, what lies on punctuation, special tokens and watched words.
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
    others: Mapping[str, Array] = field(default_factory=lambda: _NONE)
    agreements: Mapping[str, Agreement] = field(default_factory=lambda: _NONE)
    faithfulness: Mapping[str, Faithfulness] = field(default_factory=lambda: _NONE)
    shares: Mapping[str, float] = field(default_factory=lambda: _NONE)
