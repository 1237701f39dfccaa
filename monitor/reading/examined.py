"""Attributions examined: do other methods agree, do the named tokens carry the prediction, whose are they?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from monitor.analysis.layout import TokenLayout
from monitor.analysis.marks import TokenMarks
from monitor.analysis.prediction import target_score, targets_of
from monitor.analysis.settings import ScheduledSettings
from monitor.analysis.support import predicted, removed_rows, support
from monitor.analysis.tokens.agreement import agreement
from monitor.analysis.tokens.faithfulness import Effect, Positions, faithfulness, ranking, removals
from monitor.analysis.tokens.methods import GRADIENT, INTEGRATED, RELEVANCE, ROLLOUT
from monitor.analysis.tokens.shares import SPECIAL, Phrases, is_punctuation, special_share, word_shares
from monitor.records import Array, Attribution, Prediction, Sample
from monitor.replay.batches import Batch
from monitor.replay.replayed_model import ReplayModel
from monitor.replay.tokens import Encoded, Refused

RANKED = (INTEGRATED, RELEVANCE, ROLLOUT, GRADIENT)
"""The methods whose faithfulness is measured."""
READ_AT_TOKENS = ("tokens", "span")
"""The kinds of answers that are read at the input's own tokens: a masked token still answers for itself."""


def examine(
    attribution: Attribution,
    row: Encoded,
    content: Sequence[int],
    others: Mapping[str, Array],
    effects_of: Callable[[Iterable[Positions]], dict[Positions, Effect]],
    settings: ScheduledSettings,
    lists: Mapping[str, Phrases],
) -> Attribution:
    """The attribution with what ``settings`` asks for beside it.

    ``content``: the positions that are explained; ``others`` (token,) by method; ``effects_of`` asks
    the model what it says without some tokens.
    """
    # A model whose attention cannot be read has a rollout of zeros.
    rollout = {ROLLOUT: attribution.rollout} if attribution.rollout.any() else {}
    found = replace(
        attribution,
        others=dict(others),
        agreements={
            name: agreement(attribution.values, values, content)
            for name, values in {**rollout, **others}.items()
        },
    )
    if settings.shares:
        found = replace(found, shares=_shares(found, row, lists))
    if settings.faithfulness:
        values = {INTEGRATED: attribution.values, **rollout, **others}
        ranked = {
            name: ranking(_towards(found.prediction, name) * values[name], content)
            for name in RANKED
            if name in values
        }
        effects = effects_of(frozenset().union(*map(removals, ranked.values())))
        measured = {name: faithfulness(order, effects) for name, order in ranked.items()}
        found = replace(found, faithfulness={name: item for name, item in measured.items() if item})
    return found


def _towards(prediction: Prediction, method: str) -> float:
    """-1 where a method has signs and the output that it explains is negative: support points down."""
    negative = prediction.values and prediction.values[prediction.target] < 0
    return -1.0 if negative and method in (INTEGRATED, GRADIENT) else 1.0


def removal_effects(
    model: ReplayModel, batch: Batch, place: int, answers: Tensor, asked: Iterable[Positions]
) -> dict[Positions, Effect]:
    """What the model says of row ``place`` without each set of tokens; ``answers`` fixed the target.

    Text tokens that are out are masked from attention: positions stay and no stand-in takes their
    place. Where that hides nothing, because the answer is read at the tokens themselves (labels of
    tokens, spans) or because they are patches of an image, they get the neutral embedding that
    Integrated Gradients start from.
    """
    kind = model.kind_of(batch)
    targets = targets_of(answers, kind)
    whole = target_score(answers.detach(), targets)
    sets = sorted(asked, key=sorted)
    at_once = max(1, model.token_budget // batch.ids.shape[1])
    found: dict[Positions, Effect] = {}
    for start in range(0, len(sets), at_once):
        chunk = sets[start : start + at_once]
        rows = torch.full((len(chunk),), place, device=batch.ids.device)
        said = _answers_without(model, batch.take(rows), chunk, kind)
        supports = support(said, targets[rows], kind, whole[rows]).tolist()
        chosen = predicted(said, kind)
        labels = [None] * len(chunk) if chosen is None else chosen.tolist()
        found |= {
            removed: Effect(support=value, target=label)
            for removed, value, label in zip(chunk, supports, labels, strict=True)
        }
    return found


def token_marks(batch: Batch, rows: Sequence[Encoded], layout: TokenLayout) -> TokenMarks:
    """What the tokens of a batch are: their ids, and which of them are words of punctuation alone."""
    punctuation = torch.zeros_like(batch.real)
    for number, row in enumerate(rows):
        start = int(layout.first[number])
        places = [place for word in row.words if is_punctuation(word.text) for place in word.tokens]
        punctuation[number, torch.tensor(places, dtype=torch.long) + start] = True
    return TokenMarks(layout=layout, ids=batch.ids, punctuation=punctuation)


def watched_phrases(model: ReplayModel, lists: Mapping[str, Sequence[str]]) -> dict[str, Phrases]:
    """Watch lists cut into words as the model's own tokenizer cuts texts; none for images."""
    if model.reads_images:
        return {}
    return {name: [_phrase(model, entry) for entry in entries] for name, entries in lists.items()}


def _phrase(model: ReplayModel, entry: str) -> tuple[str, ...]:
    try:
        return tuple(word.text for word in model.encoder.encode(Sample(id="", time=0.0, text=entry)).words)
    except Refused:
        return ()


def _shares(found: Attribution, row: Encoded, lists: Mapping[str, Phrases]) -> dict[str, float]:
    """Integrated Gradients keep special tokens fixed, so theirs is the share of gradient x input."""
    shares = word_shares(found.words, found.word_values, lists)
    if GRADIENT in found.others:
        # A served completion counts as given, and so does what is special; here they are told apart.
        served = () if row.decoder_ids else row.scored
        special = sorted(set(row.special) - set(served))
        shares[SPECIAL] = special_share(np.asarray(found.others[GRADIENT]), special)
    return shares


def _answers_without(model: ReplayModel, batch: Batch, removed: list[Positions], kind: str) -> Tensor:
    kept = removed_rows(batch.real, removed)
    with torch.no_grad():
        if batch.pixels is None and kind not in READ_AT_TOKENS:
            return model.run(replace(batch, real=kept)).answers
        embeddings = torch.where(kept.unsqueeze(-1), model.embed_batch(batch), model.neutral_embedding())
        return model.answer_embeddings(embeddings, batch)
