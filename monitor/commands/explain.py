"""``headwatch explain``: which tokens drive one prediction, beside where its attention goes."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.analysis.settings import AnalysisSettings, ScheduledSettings
from monitor.errors import ConfigError, InputError, ModelError

if TYPE_CHECKING:
    from monitor.records import Attribution

NAMED_WORDS = 3
AGREES, DISAGREES = 0.6, 0.3
FEWEST_RANKED = 3
ON_REQUEST = ("relevance", "attention_flow")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
NO_ROLLOUT = "This model's attention cannot be read, so no rollout stands beside them."
TOO_FEW = "The text has too few tokens to say whether attention rollout agrees."


def explain(
    model: Annotated[
        str, typer.Option("--model", help="Hugging Face directory or hub id.", show_default=False)
    ],
    text: Annotated[str, typer.Option("--text", help="The input to explain.", show_default=False)],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")] = False,
    max_tokens: Annotated[
        int | None,
        typer.Option(
            "--max-tokens",
            min=2,
            help="Cut a longer input; default: the model's own limit.",
            show_default=False,
        ),
    ] = None,
    task: Annotated[str, typer.Option(help="What the model predicts, as model.task; auto: found.")] = "auto",
    threads: Annotated[int, typer.Option("--threads", min=1, help="Torch threads.")] = 1,
    watch: Annotated[
        list[str] | None,
        typer.Option(
            "--watch",
            metavar="NAME=WORD,WORD",
            help="Tell these words' share of the attribution; may be repeated.",
            show_default=False,
        ),
    ] = None,
    also: Annotated[
        list[str] | None,
        typer.Option(
            "--also", help="relevance or attention_flow, token by token; may be repeated.", show_default=False
        ),
    ] = None,
) -> None:
    """Attribute one prediction to its tokens by Integrated Gradients, towards the predicted target.

    Attributions are logits: they sum to the difference between the output for this text and for a
    text of padding. Beside them stand attention rollout and gradient x input, how far each agrees,
    and how faithful each is: what the prediction loses without the tokens that it names.
    """
    if not text.strip():
        raise InputError("--text: is empty; give the text to explain")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise InputError("--text: is not UTF-8; give it in UTF-8, in a terminal that is set to it")

    settings = _settings(watch or [], also or [])

    from monitor.analyse import Analyser
    from monitor.commands.explained_table import print_explanation
    from monitor.commands.samples import load_analyser
    from monitor.records import Sample

    loaded = load_analyser(model, task=task, max_tokens=max_tokens, threads=threads)
    analyser = Analyser(loaded.model, settings)
    if not analyser.model.takes_gradient:
        raise ModelError(
            f"--model = {model}: takes no input embeddings, so nothing can be attributed; "
            "`headwatch profile` still works"
        )
    sample = Sample(id="text", time=0.0, text=text)
    rows, refused = analyser.encode([sample])
    if refused:
        raise InputError(f"--{refused[0][1]}")
    explained = analyser.attribute([sample])[0]
    read = len(rows[0].ids)
    cut = _cut(read, max_tokens) if rows[0].facts.truncated else None
    document = to_json(
        explained,
        predicts=analyser.model.predicts,
        cut=cut,
        content=len(rows[0].content(causal=analyser.model.causal)),
    )
    if as_json:
        print(json.dumps(document, ensure_ascii=False, allow_nan=False))
    else:
        print_explanation(explained, document)


def to_json(explained: Attribution, *, predicts: bool, cut: str | None, content: int) -> dict[str, Any]:
    """The explanation as plain JSON values; the probability is null for a model that predicts nothing.

    ``cut`` says why only part of the text was read. The agreement is null where ``content``, the
    number of tokens that are not special, is too small to rank.
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
        "summary": summarise(explained, predicts=predicts, cut=cut, ranked=ranked),
    }


def summarise(explained: Attribution, *, predicts: bool, cut: str | None, ranked: bool) -> str:
    """The explanation in plain language."""
    prediction = explained.prediction
    order = sorted(range(len(explained.words)), key=lambda i: explained.word_values[i])
    against = [explained.words[i] for i in order if explained.word_values[i] < 0]
    towards = [explained.words[i] for i in reversed(order) if explained.word_values[i] > 0]
    sentences = []
    if prediction.values:
        sentences.append(f"The model gives {prediction.values[prediction.target]:.4g}.")
    elif predicts:
        sentences.append(
            f"The model says {prediction.label!r} with probability {prediction.probability:.2f}."
        )
    else:
        sentences.append(
            "The model predicts no label; its mean embedding is explained along its own direction."
        )
    if towards:
        sentences.append(f"Driving it most: {_listed(towards)}.")
    if against:
        sentences.append(f"Speaking against it: {_listed(against)}.")
    if predicts:
        sentences += _without_strongest(explained)
    if not explained.rollout.any():
        sentences.append(NO_ROLLOUT)
    else:
        sentences.append(_agreement(explained) if ranked else TOO_FEW)
    if not explained.converged:
        sentences.append(
            f"Do not rely on these attributions: they had not settled after {explained.steps} steps "
            f"(completeness gap {explained.relative_delta:.1%})."
        )
    if cut is not None:
        sentences.append(cut)
    return " ".join(sentences)


def _cut(read: int, max_tokens: int | None) -> str:
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
            turned = " and the label changes" if removal.flips else ""
            change = "falls" if removal.drop >= 0 else "rises"
            size = f"{change} by {abs(removal.drop):.2f}{turned}"
            return [f"Without its {NAMED_WORDS} strongest tokens the probability {size}."]
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


def _settings(watch: list[str], also: list[str]) -> AnalysisSettings:
    strange = [name for name in also if name not in ON_REQUEST]
    if strange:
        raise ConfigError(f"--also = {strange[0]}: must be one of {', '.join(ON_REQUEST)}")
    lists: dict[str, tuple[str, ...]] = {}
    for entry in watch:
        name, _, words = entry.partition("=")
        lists[name] = tuple(word.strip() for word in words.split(",") if word.strip())
        if not _NAME.fullmatch(name) or not lists[name]:
            raise ConfigError(f"--watch = {entry}: must be a name and its words, as in names=anna,bob")
    scheduled = ScheduledSettings(**dict.fromkeys(also, True))
    return AnalysisSettings(scheduled=scheduled, watch_lists=lists)
