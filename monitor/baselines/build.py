"""A baseline from features: what is frozen, and what can only be counted while the words are there."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Literal

from monitor.drift.blocks import time_blocks
from monitor.drift.repeats import largest_share
from monitor.drift.surprisal import surprisal
from monitor.drift.tokens import word_wobble
from monitor.errors import BaselineError
from monitor.records import Baseline, Features, ModelIdentity, ProbeReading, SurveyedHeads, WordCount

SMALLEST = 100
ADVISED = 2000
_CLEAR = "clear"
_NOTHING: Mapping[str, float] = MappingProxyType({})


def build_baseline(
    features: Features,
    *,
    identity: ModelIdentity,
    statistics: Sequence[str],
    probe: ProbeReading | None,
    source: Literal["log", "live"],
    created: float,
    integrated: Sequence[Sequence[str]] = (),
    word_keys: Callable[[str, int], str] | None = None,
    word_key_fingerprint: str = _CLEAR,
    survey: SurveyedHeads | None = None,
    attribution: Mapping[str, float] = _NOTHING,
) -> Baseline:
    """Freeze ``features``; ``word_keys(word, requests)`` names each word (None: all in clear).

    ``integrated``: the top words by Integrated Gradients of a subsample of the requests. ``survey`` and
    ``attribution`` are what a report shows as before.
    Raises BaselineError if there are too few samples to tell anything from them.
    """
    if len(features) < SMALLEST:
        raise BaselineError(
            f"baseline samples = {len(features)}: must be at least {SMALLEST}, and {ADVISED} are advised; "
            "give more inputs"
        )
    present = Counter(word for words in features.words for word in set(words))
    top = Counter(word for words in features.top_words for word in set(words))
    chosen = Counter(word for words in integrated for word in set(words))
    wobble = (word_wobble(features.words, features.times), word_wobble(features.top_words, features.times))
    blocks = time_blocks(features.times)
    half = blocks % 2
    even = Counter(
        word
        for words, odd in zip(features.words, half.tolist(), strict=True)
        if not odd
        for word in set(words)
    )
    counts: dict[str, WordCount] = {}
    for word in sorted({*present, *top, *chosen}):
        name = word if word_keys is None else word_keys(word, max(present[word], top[word]))
        counts[name] = WordCount(
            present=present[word],
            top=top[word],
            integrated=chosen[word],
            wobble=(wobble[0].get(word, 0.0), wobble[1].get(word, 0.0)),
            even=even[word],
        )
    nothing = ((),) * len(features)
    ids = tuple(str(index) for index in range(len(features)))
    bare = replace(features, ids=ids, words=nothing, top_words=nothing)
    return Baseline(
        version=_version(bare, identity, created),
        created=created,
        source=source,
        statistics=tuple(statistics),
        identity=identity,
        features=bare,
        words=counts,
        requests=len(features),
        attributed_requests=sum(1 for words in features.top_words if words),
        integrated_requests=len(integrated),
        surprisal=surprisal(
            features.words,
            lambda word: (even[word], present[word] - even[word]),
            (len(half) - int(half.sum()), int(half.sum())),
            1 - half,
        ),
        largest_repeat=largest_share(features.words, blocks),
        word_key_fingerprint=word_key_fingerprint,
        probe=probe,
        survey=survey,
        attribution=dict(attribution),
    )


def _version(features: Features, identity: ModelIdentity, created: float) -> str:
    """Twelve hex digits that tell this baseline from every other."""
    digest = hashlib.sha256(features.profile.tobytes())
    digest.update(f"{identity.weights_hash} {identity.revision} {created!r}".encode())
    return digest.hexdigest()[:12]
