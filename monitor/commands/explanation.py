"""One explanation as plain JSON values and as sentences."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from monitor.records import Attribution

NAMED_WORDS = 3
UNMOVED = 0.005
"""A change of the probability that two decimals do not show."""
AGREES, DISAGREES = 0.6, 0.3
FEWEST_RANKED = 3
NO_ROLLOUT = "This model's attention cannot be read, so no rollout stands beside them."
TOO_FEW = "The text has too few tokens to say whether attention rollout agrees."


def to_json(
    explained: Attribution, *, predicts: bool, cut: str | None, content: int, answered: bool
) -> dict[str, Any]:
    """The explanation as plain JSON values; the probability is null for a model that predicts nothing.

    ``cut`` says why only part of the text was read. The agreement is null where ``content``, the
    number of tokens that are not special, is too small to rank. ``answered``: what is explained is a
    given answer of a language model, not what the model says.
    """
    seen = bool(explained.rollout.any())
    ranked = content >= FEWEST_RANKED
    prediction = explained.prediction
    columns = {"attribution": explained.values, "rollout": explained.rollout, **explained.others}
    words = zip(explained.words, explained.word_values, strict=True)
    return {
        "prediction": {
            "label": prediction.label,
            "probability": prediction.probability if predicts and not prediction.values else None,
            **({"values": list(prediction.values)} if prediction.values else {}),
            "target": prediction.target,
        },
        "tokens": [
            {"token": token, **{name: float(values[place]) for name, values in columns.items()}}
            for place, token in enumerate(explained.tokens)
        ],
        "words": [{"word": word, "attribution": value} for word, value in words],
        "convergence": {
            "delta": explained.delta,
            "relative_delta": explained.relative_delta,
            "steps": explained.steps,
            "converged": explained.converged,
        },
        "agreement": {
            "spearman": explained.spearman if ranked and seen else None,
            "overlap_at_5": explained.overlap_at_5 if ranked and seen else None,
        },
        "agreements": {name: asdict(item) for name, item in explained.agreements.items() if ranked},
        "faithfulness": {name: asdict(item) for name, item in explained.faithfulness.items()},
        "shares": dict(explained.shares),
        "summary": " ".join(
            sentences(explained, predicts=predicts, cut=cut, content=content, answered=answered)
        ),
    }


def sentences(
    explained: Attribution, *, predicts: bool, cut: str | None, content: int, answered: bool
) -> list[str]:
    """The explanation in plain language; arguments as for ``to_json``."""
    prediction = explained.prediction
    order = sorted(range(len(explained.words)), key=lambda i: explained.word_values[i])
    against = [explained.words[i] for i in order if explained.word_values[i] < 0]
    towards = [explained.words[i] for i in reversed(order) if explained.word_values[i] > 0]
    said = []
    if prediction.values:
        said.append(f"The model gives {prediction.values[prediction.target]:.4g}.")
    elif answered:
        mean = f"{prediction.probability:.2f} (the geometric mean)"
        said.append(f"The model gives a token of this answer probability {mean}.")
        said.append(f"Place by place, its own first choices were {prediction.label!r}.")
    elif predicts:
        said.append(f"The model says {prediction.label!r} with probability {prediction.probability:.2f}.")
    else:
        said.append("The model predicts no label; its mean embedding is explained along its own direction.")
    rising, falling = ("Raising", "Lowering") if prediction.values else ("Driving", "Speaking against")
    if towards:
        said.append(f"{rising} it most: {_listed(towards)}.")
    if against:
        said.append(f"{falling} it: {_listed(against)}.")
    if predicts:
        said += _without_strongest(explained)
    if not explained.rollout.any():
        said.append(NO_ROLLOUT)
    else:
        said.append(_agreement(explained) if content >= FEWEST_RANKED else TOO_FEW)
    if not explained.converged:
        said.append(
            f"Do not rely on these attributions: they had not settled after {explained.steps} steps "
            f"(completeness gap {explained.relative_delta:.1%})."
        )
    if cut is not None:
        said.append(cut)
    return said


def cut_short(read: int, max_tokens: int | None) -> str:
    """Whose limit it was: the model's own is never above what the user set."""
    why = "that is --max-tokens" if read == max_tokens else "the model takes no more"
    return f"Only the first {read} tokens were read; {why}."


def _listed(words: list[str]) -> str:
    return ", ".join(repr(word) for word in list(dict.fromkeys(words))[:NAMED_WORDS])


def _without_strongest(explained: Attribution) -> list[str]:
    """What the prediction loses without the tokens that attribution names first: does it depend on them?"""
    measured = explained.faithfulness.get("integrated_gradients")
    for removal in () if measured is None else measured.removals:
        if removal.tokens == NAMED_WORDS:
            if explained.prediction.values:
                change = "loses" if removal.drop >= 0 else "gains"
                size = f"{change} {abs(removal.drop):.0%} of its size"
                return [f"Without its {NAMED_WORDS} strongest tokens the value {size}."]
            turned = " and the label changes" if removal.flips else ""
            change = f"{'falls' if removal.drop >= 0 else 'rises'} by {abs(removal.drop):.2f}"
            size = change if abs(removal.drop) >= UNMOVED else "stays as it is"
            return [f"Without its {NAMED_WORDS} strongest tokens the probability {size}{turned}."]
    return []


def _agreement(explained: Attribution) -> str:
    rank = explained.spearman
    if rank >= AGREES:
        verdict = "Attention rollout points to much the same tokens"
    elif rank >= DISAGREES:
        verdict = "Attention rollout agrees in part"
    else:
        verdict = "Attention rollout points elsewhere, so attention is no explanation here"
    return f"{verdict} (rank correlation {rank:.2f})."
