"""``headwatch explain``: which tokens drive one prediction, beside where its attention goes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.errors import InputError, ModelError

if TYPE_CHECKING:
    from monitor.records import Attribution

BAR_WIDTH = 24
NAMED_WORDS = 3
AGREES, DISAGREES = 0.6, 0.3
FEWEST_RANKED = 3
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
    task: Annotated[str, typer.Option(help="auto, sequence-classification, causal-lm or encoder.")] = "auto",
    threads: Annotated[int, typer.Option("--threads", min=1, help="Torch threads.")] = 1,
) -> None:
    """Attribute one prediction to its tokens by Integrated Gradients, towards the predicted target.

    Attributions are logits: they sum to the difference between the output for this text and for a
    text of padding. Attention rollout stands beside them, with how far the two agree.
    """
    if not text.strip():
        raise InputError("--text: is empty; give the text to explain")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise InputError("--text: is not UTF-8; give it in UTF-8, in a terminal that is set to it")

    from monitor.commands.samples import load_analyser
    from monitor.records import Sample

    analyser = load_analyser(model, task=task, max_tokens=max_tokens, threads=threads)
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
        explained, predicts=analyser.model.predicts, cut=cut, content=read - len(rows[0].special)
    )
    if as_json:
        print(json.dumps(document, ensure_ascii=False, allow_nan=False))
    else:
        _print_table(explained, str(document["summary"]))


def to_json(explained: Attribution, *, predicts: bool, cut: str | None, content: int) -> dict[str, Any]:
    """The explanation as plain JSON values; the probability is null for a model that predicts nothing.

    ``cut`` says why only part of the text was read. The agreement is null where ``content``, the
    number of tokens that are not special, is too small to rank.
    """
    ranked = content >= FEWEST_RANKED
    prediction = explained.prediction
    tokens = zip(explained.tokens, explained.values.tolist(), explained.rollout.tolist(), strict=True)
    words = zip(explained.words, explained.word_values, strict=True)
    return {
        "prediction": {
            "label": prediction.label,
            "probability": prediction.probability if predicts else None,
            "target": prediction.target,
        },
        "tokens": [{"token": t, "attribution": a, "rollout": r} for t, a, r in tokens],
        "words": [{"word": word, "attribution": value} for word, value in words],
        "convergence": {
            "delta": explained.delta,
            "relative_delta": explained.relative_delta,
            "steps": explained.steps,
            "converged": explained.converged,
        },
        "agreement": {
            "spearman": explained.spearman if ranked else None,
            "overlap_at_5": explained.overlap_at_5 if ranked else None,
        },
        "summary": summarise(explained, predicts=predicts, cut=cut, ranked=ranked),
    }


def summarise(explained: Attribution, *, predicts: bool, cut: str | None, ranked: bool) -> str:
    """The explanation in plain language."""
    prediction = explained.prediction
    order = sorted(range(len(explained.words)), key=lambda i: explained.word_values[i])
    against = [explained.words[i] for i in order if explained.word_values[i] < 0]
    towards = [explained.words[i] for i in reversed(order) if explained.word_values[i] > 0]
    sentences = []
    if predicts:
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


def _agreement(explained: Attribution) -> str:
    rank = explained.spearman
    if rank >= AGREES:
        verdict = "Attention rollout points to much the same tokens"
    elif rank >= DISAGREES:
        verdict = "Attention rollout agrees in part"
    else:
        verdict = "Attention rollout points elsewhere, so attention is no explanation here"
    return f"{verdict} (rank correlation {rank:.2f})."


def _print_table(explained: Attribution, summary: str) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for title, side in (("token", "left"), ("attribution", "right"), ("", "left"), ("rollout", "right")):
        table.add_column(title, justify=side)  # type: ignore[arg-type]
    largest = max((abs(float(value)) for value in explained.values), default=0.0) or 1.0
    for token, value, mixed in zip(explained.tokens, explained.values, explained.rollout, strict=True):
        length = round(BAR_WIDTH * abs(float(value)) / largest)
        bar = Text("█" * length, style="green" if value > 0 else "red")
        table.add_row(Text(token), f"{value:+.3f}", bar, f"{mixed:.3f}")
    console = Console()
    console.print(table)
    console.print()
    console.print(Text(summary))
    console.print(Text("Attributions are logits; their sum is what the text adds over padding.", style="dim"))
