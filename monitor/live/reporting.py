"""What an episode's report needs beside the verdict, gathered while the episode stands."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from monitor.privacy import WordPrivacy
from monitor.records import Attribution, Baseline, Verdict
from monitor.replay.tokens import Encoded
from monitor.report.episode_data import EpisodeReport, Example

REPORT = "report"
"""The name of the newest report in the state file."""
MOST_EXAMPLES = 4
MOST_PARTS = 64
LONGEST_EXAMPLE = 80
"""Words of an example that are shown; what follows is cut off."""
NO_EXAMPLES = (
    "No text of any request is kept: privacy.example_texts is off, as it is by default. Look at one text "
    "of your own with `headwatch explain --model DIR --text ...`."
)
NONE_YET = "No sample since the change has been attributed yet."


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributed:
    """What attribution says of some samples: means by name, words that may be shown, and examples."""

    samples: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    words: Mapping[str, float] = field(default_factory=dict)
    examples: tuple[Example, ...] = ()


class EpisodeAttributions:
    """The attributed windows of the episode that stands; after a restart the kept report stands for them."""

    def __init__(self) -> None:
        self._parts: dict[int, Attributed] = {}

    def add(self, window: int, attributed: Attributed) -> None:
        """Take a window; of very long episodes only the newest stay."""
        self._parts[window] = attributed
        while len(self._parts) > MOST_PARTS:
            self._parts.pop(min(self._parts))

    def since(self, window: int) -> Attributed:
        """All of them from ``window`` on, as one."""
        return joined([part for index, part in sorted(self._parts.items()) if index >= window])

    def forget(self, *, before: int) -> None:
        """Drop the windows before the one at which an alarm's evidence could begin."""
        self._parts = {index: part for index, part in self._parts.items() if index >= before}


def joined(parts: Sequence[Attributed]) -> Attributed:
    """Several windows as one: means by samples, the newest examples."""
    return Attributed(
        samples=sum(part.samples for part in parts),
        metrics=_means([(part.samples, part.metrics) for part in parts]),
        words=_means([(part.samples, part.words) for part in parts]),
        examples=tuple(one for part in reversed(parts) for one in part.examples)[:MOST_EXAMPLES],
    )


def kept_report(made: Sequence[EpisodeReport]) -> dict[str, str]:
    """What to commit so that the newest report can be asked for, with or without MLflow."""
    return {REPORT: json.dumps(made[-1].to_json(), allow_nan=False)} if made else {}


def shown_in(report: EpisodeReport) -> Attributed:
    """What a report shows of attribution, as the one part that its windows have become."""
    return Attributed(
        samples=report.attributed,
        metrics={item.name: item.after for item in report.attribution if item.after is not None},
        words={item.word: item.value for item in report.driving},
        examples=report.examples,
    )


def gained_words(verdict: Verdict | None) -> frozenset[str]:
    """The words that a verdict shows as gained: enough requests had them, or they are hashes."""
    channel = None if verdict is None else verdict.channels.get("tokens")
    return frozenset() if channel is None else frozenset(item.word for item in channel.gained)


def shared_words(baseline: Baseline, privacy: WordPrivacy) -> frozenset[str]:
    """The baseline's words that enough of its requests had, or that are hashes already."""
    return frozenset(
        word
        for word, count in baseline.words.items()
        if privacy.name(word, max(count.present, count.top)) == word
    )


def examples(
    attributions: Sequence[Attribution],
    rows: Mapping[str, Encoded],
    *,
    known: frozenset[str],
    telling: frozenset[str],
    privacy: WordPrivacy,
) -> tuple[Example, ...]:
    """A few converged inputs as words; those with a ``telling`` word first.

    A word that is neither ``known`` nor on the allowlist is None: too few requests share it. ``rows``:
    the encoded inputs by sample.
    """
    usable = [item for item in attributions if item.converged and item.id in rows and item.words]
    usable.sort(key=lambda item: not telling.intersection(item.words))
    return tuple(_example(item, rows[item.id], known, privacy) for item in usable[:MOST_EXAMPLES])


def _example(item: Attribution, row: Encoded, known: frozenset[str], privacy: WordPrivacy) -> Example:
    words = list(zip(row.words, item.word_values, strict=True))[:LONGEST_EXAMPLE]
    return Example(
        words=tuple(
            word.text if word.text in known or word.text in privacy.allowlist else None for word, _ in words
        ),
        attribution=tuple(value for _, value in words),
        attention=tuple(float(item.rollout[list(word.tokens)].sum()) for word, _ in words),
        label=item.prediction.label,
        probability=item.prediction.probability,
    )


def _means(parts: Sequence[tuple[int, Mapping[str, float]]]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name in dict.fromkeys(name for _, values in parts for name in values):
        own = [(samples, values[name]) for samples, values in parts if name in values]
        weight = sum(samples for samples, _ in own)
        found[name] = sum(samples * value for samples, value in own) / max(weight, 1)
    return found
