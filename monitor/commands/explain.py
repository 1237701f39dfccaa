"""``headwatch explain``: which tokens drive one prediction, beside where its attention goes."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.analysis.settings import AnalysisSettings, ScheduledSettings
from monitor.commands.completing import model_folders
from monitor.commands.model_options import MaxTokens, Task, Threads
from monitor.commands.outputs import require_place, whole_file
from monitor.errors import ConfigError, InputError, ModelError

if TYPE_CHECKING:
    from monitor.reading.analyser import Analyser
    from monitor.records import Attribution, Sample
    from monitor.replay.tokens import Encoded

ON_REQUEST = ("relevance", "attention_flow")
_NAME = re.compile(r"[a-z][a-z0-9_]*")


def explain(
    model: Annotated[
        str,
        typer.Option(
            "--model",
            help="Hugging Face directory or hub id.",
            show_default=False,
            autocompletion=model_folders,
        ),
    ],
    text: Annotated[
        str | None, typer.Option("--text", help="The input to explain.", show_default=False)
    ] = None,
    *,
    text_pair: Annotated[
        str | None,
        typer.Option(
            "--text-pair",
            help="The second text: of a pair, a question's context, or what a language model answered.",
            show_default=False,
        ),
    ] = None,
    image: Annotated[
        Path | None,
        typer.Option("--image", help="An image file, for a model that reads images.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")] = False,
    html: Annotated[
        Path | None,
        typer.Option(
            "--html",
            help="A page to write: the text, and every head to explore. One file, no network.",
            show_default=False,
        ),
    ] = None,
    max_tokens: MaxTokens = None,
    task: Task = "auto",
    threads: Threads = 1,
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
    if html is not None:
        require_place("--html", html)
    sample = _sample(text, text_pair, image)
    settings = _settings(watch or [], also or [])

    from monitor.commands.explained_table import print_explanation
    from monitor.commands.explanation import cut_short, sentences, to_json
    from monitor.commands.progress import working
    from monitor.commands.samples import load_analyser
    from monitor.reading.analyser import Analyser

    loaded = load_analyser(model, task=task, max_tokens=max_tokens, threads=threads)
    analyser = Analyser(loaded.model, settings)
    if not analyser.model.takes_gradient:
        raise ModelError(
            f"--model = {model}: takes no input embeddings, so nothing can be attributed; "
            "`headwatch profile` still works"
        )
    row = _encoded(analyser, sample, image)
    with working("explaining"):
        explained = analyser.attribute([sample])[0]
    read = len(row.ids)
    told: dict[str, Any] = {
        "predicts": analyser.model.predicts,
        "cut": cut_short(read, max_tokens) if row.facts.truncated else None,
        "content": len(row.content(causal=analyser.model.causal)),
        "answered": analyser.model.answer == "token" and bool(row.scored),
    }
    document = to_json(explained, **told)
    if html is not None:
        page = _page(analyser, row, explained, document, sentences(explained, **told))
        with whole_file("--html", html) as file:
            file.write(page.encode())
    if as_json:
        print(json.dumps(document, ensure_ascii=False, allow_nan=False))
    else:
        print_explanation(explained, document)
    if html is not None:
        print(html, file=sys.stderr)


def _sample(text: str | None, text_pair: str | None, image: Path | None) -> Sample:
    """The input that was given: a text, two, or an image."""
    from monitor.records import Sample

    if image is not None:
        for option, value in (("--text", text), ("--text-pair", text_pair)):
            if value is not None:
                raise ConfigError(f"--image = {image}: is given beside {option}; give one of them")
        try:
            return Sample(id="image", time=0.0, image=image.read_bytes())
        except OSError as error:
            raise InputError(
                f"--image = {image}: cannot be read ({error.strerror}); name an image file"
            ) from None
    if text is None:
        raise ConfigError("--text: is missing; give the text to explain, or --image with a file")
    for option, value in (("--text", text), ("--text-pair", text_pair)):
        if value is not None and not value.strip():
            raise InputError(f"{option}: is empty; give the text to explain")
        if value is not None and any("\ud800" <= character <= "\udfff" for character in value):
            raise InputError(f"{option}: is not UTF-8; give it in UTF-8, in a terminal that is set to it")
    return Sample(id="text", time=0.0, text=text, text_pair=text_pair)


def _encoded(analyser: Analyser, sample: Sample, image: Path | None) -> Encoded:
    """The input as the model takes it; InputError names the option where it does not."""
    if analyser.model.reads_images and sample.image is None:
        raise InputError("--text: this model reads images; give --image with a file")
    if sample.image is not None and not analyser.model.reads_images:
        raise InputError(f"--image = {image}: this model reads text; give --text")
    rows, refused = analyser.encode([sample])
    if refused:
        name, _, why = refused[0][1].partition(": ")
        given = f" = {image}" if name == "image" else ""
        raise InputError(f"--{name.replace('_', '-')}{given}: {why}")
    return rows[0]


def _page(
    analyser: Analyser, row: Encoded, explained: Attribution, document: dict[str, Any], said: list[str]
) -> str:
    from monitor.reading.whole_heads import items_of, picture_of, read_heads
    from monitor.replay.images import ImageEncoder
    from monitor.report.explained_page import ExplainedPage, ShownItem, explained_page

    encoder = analyser.model.encoder
    return explained_page(
        ExplainedPage(
            model=analyser.model.identity.name,
            document=document,
            sentences=said,
            items=[
                ShownItem(name=item.name, tokens=item.tokens, special=item.special)
                for item in items_of(analyser.model, row)
            ],
            picture=picture_of(analyser.model, row, encoder.grid)
            if isinstance(encoder, ImageEncoder)
            else None,
            view=read_heads(analyser, row, explained.values),
            answered=analyser.model.answer == "token" and bool(row.scored),
        )
    )


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
