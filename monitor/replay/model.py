"""Loading a model: find it, read it, test which tier serves its attention, say what it cannot give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from monitor.errors import ModelError
from monitor.records import STATISTICS, ModelIdentity, Sample
from monitor.replay.answers import Answer, answer_of
from monitor.replay.batches import Batch, make_batch
from monitor.replay.call import arguments, position_padding
from monitor.replay.embedding_input import input_embedding, let_gradients_start
from monitor.replay.finding import Finding
from monitor.replay.images import ImageEncoder, find_grid, read_pixels, self_test_images
from monitor.replay.loading import load_image_processor, load_network, load_tokenizer, quiet_transformers
from monitor.replay.padding import answers_alone
from monitor.replay.parameters import ParameterHashes, parameter_hashes
from monitor.replay.reference import main_output, of_real
from monitor.replay.replayed_model import Budget, ReplayModel
from monitor.replay.route import find_route
from monitor.replay.selftest import run_self_test
from monitor.replay.settings import ModelSettings, Task
from monitor.replay.source import first_line, read_config, reads_images, resolve_source, task_of
from monitor.replay.tap import register_tap
from monitor.replay.tokens import Refused, TextEncoder, TextUse, token_limit
from monitor.replay.weights import tokenizer_hash, weights_hash, weights_stamp

__all__ = ["ReplayModel", "load_model"]

MOST_TOKENS_OF_WHOLE_MATRICES = 512
_SELF_TEST_TEXTS = ("The train to the coast leaves at nine.", "Rain.", "Ducks sleep on one leg, they say.")
_SELF_TEST_ANSWERS = ("It does.", "Yes, it rains.", "They do!")
_LIBRARIES = ("torch", "transformers", "tokenizers", "numpy")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """What is read off the disk: a model of text has a tokenizer, one of images has none."""

    network: Any
    tokenizer: Any
    encoder: TextEncoder | ImageEncoder
    task: Task


def load_model(settings: ModelSettings) -> ReplayModel:
    """Load a model and run the self-test; sets torch's thread count. Raises ``ModelError``."""
    torch.set_num_threads(settings.threads)
    register_tap()
    folder = resolve_source(settings.source, settings.revision)
    # Before anything is read: a hash taken afterwards could be that of files which were never loaded.
    stamp, digest, tokenizer_digest = weights_stamp(folder), weights_hash(folder), tokenizer_hash(folder)
    with quiet_transformers():
        parts = _read_parts(folder, settings)
        network, encoder = parts.network, parts.encoder
        batches = _self_test_batches(parts, settings)
        finding = _test(network, batches[:2], settings.source)
        if finding.tier == "all matrices":
            encoder.max_tokens = min(encoder.max_tokens, MOST_TOKENS_OF_WHOLE_MATRICES)
        pads = answers_alone(partial(_plain, network), batches[2:], batches[1])
        route = find_route(network, batches[:2])
        if not finding.reads_attention and route == "none":
            raise ModelError(
                f"model.source = {settings.source}: has no attention that can be read ({finding.reason}) "
                "and takes no input embeddings, so nothing but its predictions could be watched"
            )
        if finding.stacks:
            let_gradients_start(network)
        hashes = _parameter_hashes(network, finding, batches[1])
    if weights_stamp(folder) != stamp:
        raise ModelError(
            f"model.source = {settings.source}: its files changed while they were being loaded; try again"
        )
    answer = answer_of(parts.task, network.config)
    return ReplayModel(
        identity=replace(
            _identity(settings, folder, network, parts.task, finding, answer, digest),
            head_hashes=hashes.heads,
            layer_hashes=hashes.layers,
            other_hashes=hashes.others,
            tokenizer_hash=tokenizer_digest,
            pipeline=dict(encoder.pipeline()),
        ),
        answer=answer,
        finding=finding,
        statistics=_statistics(finding),
        refusals=_refusals(finding, takes_gradient=route != "none", pads=pads),
        budget=Budget(settings.token_budget),
        route=route,
        pads=pads,
        network=network,
        tokenizer=parts.tokenizer,
        encoder=encoder,
        names={id(module): name for name, module in network.named_modules()},
    )


def _read_parts(folder: Path, settings: ModelSettings) -> _Parts:
    config = read_config(folder, settings.source)
    task = task_of(config, settings.task, settings.source)
    if reads_images(task, config):
        processor = load_image_processor(folder, settings.source)
        network = load_network(folder, task, settings, config)
        encoder = _image_encoder(processor, network, settings)
        return _Parts(network=network, tokenizer=None, encoder=encoder, task=task)
    tokenizer = load_tokenizer(folder, settings.source)
    network = load_network(folder, task, settings, config)
    if network.config.pad_token_id is None:
        network.config.pad_token_id = tokenizer.pad_token_id
    limit = token_limit(tokenizer, network.config, position_padding(network), settings.max_tokens)
    table: Any = input_embedding(network).weight
    vocabulary = int(table.shape[0])
    use = text_use(task, network)
    text = TextEncoder(tokenizer, max_tokens=limit, vocabulary=vocabulary, use=use)
    return _Parts(network=network, tokenizer=tokenizer, encoder=text, task=task)


def text_use(task: Task, network: Any) -> TextUse:
    """How a task reads its texts: see ``TextUse``."""
    if task == "causal-lm":
        return TextUse(pair="completion")
    if task == "encoder-decoder":
        return TextUse(pair="decoder", decoder_start=_decoder_start(network))
    if task == "token-classification":
        return TextUse(scored="content")
    return TextUse(scored="pair") if task == "question-answering" else TextUse()


def _decoder_start(network: Any) -> tuple[int, ...]:
    """What generation begins with: the start token, and the first token where it is forced (BART)."""
    given = (network.generation_config, network.config)
    found: list[int] = []
    for names in (("decoder_start_token_id", "bos_token_id"), ("forced_bos_token_id",)):
        values = (getattr(one, name, None) for name in names for one in given)
        found += [next((value for value in values if isinstance(value, int)), -1)]
    return tuple(token for token in found if token >= 0) or (0,)


def _image_encoder(processor: Any, network: Any, settings: ModelSettings) -> ImageEncoder:
    pixels = read_pixels(processor, self_test_images()[0])
    try:
        grid = find_grid(network, pixels.unsqueeze(0).to(network.device, network.dtype))
    except Exception as error:
        raise ModelError(
            f"model.source = {settings.source}: is no model of images of the ViT kind "
            f"({first_line(error)}); headwatch reads images as patches that stand where tokens do"
        ) from None
    return ImageEncoder(processor, grid, tuple(pixels.shape))


def _plain(network: Any, batch: Batch) -> Tensor:
    return main_output(network(**arguments(network, batch, None, positions=False)))


def _self_test_batches(parts: _Parts, settings: ModelSettings) -> list[Batch]:
    """All rows padded on the left, all padded on the right, and each alone."""
    encoder = parts.encoder
    try:
        rows = [encoder.encode(sample) for sample in _self_test_samples(parts)]
    except Refused as error:
        raise ModelError(
            f"model.source = {settings.source}: its tokenizer makes nothing of plain text ({error}); "
            "check the tokenizer files"
        ) from None
    highest = max(max(row.ids) for row in rows)
    if highest >= encoder.vocabulary and not isinstance(encoder, ImageEncoder):
        raise ModelError(
            f"model.source = {settings.source}: its tokenizer gives token {highest}, the model knows "
            f"{encoder.vocabulary}; the tokenizer belongs to another model"
        )
    padding = 0 if parts.tokenizer is None else parts.tokenizer.pad_token_id or 0
    make = partial(make_batch, padding_id=padding, device=settings.device)
    return [make(rows, side="left"), make(rows, side="right"), *(make([row]) for row in rows)]


def _self_test_samples(parts: _Parts) -> list[Sample]:
    if isinstance(parts.encoder, ImageEncoder):
        return [Sample(id="", time=0.0, image=image) for image in self_test_images()]
    pairs = _SELF_TEST_ANSWERS if parts.task in ("question-answering", "encoder-decoder") else (None,) * 3
    return [
        Sample(id="", time=0.0, text=text, text_pair=pair)
        for text, pair in zip(_SELF_TEST_TEXTS, pairs, strict=True)
    ]


def _test(network: Any, batches: Sequence[Batch], source: str) -> Finding:
    def forward(batch: Batch, *, output_attentions: bool) -> Any:
        call = arguments(network, batch, None, positions=False)
        if output_attentions:
            call["output_attentions"] = True
        return network(**call)

    try:
        with torch.no_grad():
            told = of_real(main_output(forward(batches[-1], output_attentions=False)), batches[-1].real)
        finding = run_self_test(network, forward, batches) if bool(told.isfinite().all()) else None
    except Exception as error:
        raise ModelError(
            f"model.source = {source}: fails on plain text ({type(error).__name__}: {first_line(error)})"
        ) from None
    if finding is None:
        raise ModelError(
            f"model.source = {source}: gives NaN or infinity for plain text; its weights are damaged, or "
            "model.dtype is too coarse for them"
        )
    return finding


def _parameter_hashes(network: Any, finding: Finding, batch: Batch) -> ParameterHashes:
    """The longest row alone: without padding every feature of a head has a gradient."""
    longest = batch.take(batch.real.sum(dim=1).argmax().unsqueeze(0))
    call = arguments(network, longest, None, positions=False)
    heads, projections = finding.head_count, finding.projections
    return parameter_hashes(network, projections, heads, lambda: network(**call), finding.stacks)


def _statistics(finding: Finding) -> tuple[str, ...]:
    """Those that this model has: a decoder has no separator, some have no output projection."""
    if not finding.reads_attention:
        return ()
    lacking = {"separator"} if finding.causal else set()
    if finding.projections is None:
        lacking.add("output_norm")
    return tuple(name for name in STATISTICS if name not in lacking)


def _refusals(finding: Finding, *, takes_gradient: bool, pads: bool) -> tuple[str, ...]:
    refused = []
    if not finding.reads_attention:
        refused.append(f"head profiles and rollout: no tier reads this model's attention ({finding.reason})")
    elif finding.projections is None:
        refused.append("output_norm: no output projection was found in the model's modules")
    if finding.tier == "all matrices":
        refused.append(
            f"inputs over {MOST_TOKENS_OF_WHOLE_MATRICES} tokens: every layer's matrix is kept at once"
        )
    if not pads:
        refused.append("batches of unlike lengths: padding changes this model's answers")
    if not takes_gradient:
        refused.append("attribution, top words and head importance: the model takes no input embeddings")
    if 0 < finding.layer_count < finding.layers_there:
        refused.append(
            f"heads: {finding.layer_count} of {finding.layers_there} layers have attention that can be read"
        )
    return tuple(refused)


def _identity(
    settings: ModelSettings,
    folder: Path,
    network: nn.Module,
    task: Task,
    finding: Finding,
    answer: Answer,
    digest: str,
) -> ModelIdentity:
    config: Any = network.config
    labels: tuple[str, ...] = ()
    if answer in ("classes", "labels", "tokens"):
        labels = tuple(str(config.id2label.get(i, i)) for i in range(config.num_labels))
    is_local = Path(settings.source).expanduser().is_dir()
    # a hub model lies in a snapshot folder that is named after its commit
    revision = "unversioned" if is_local else folder.name
    return ModelIdentity(
        name=settings.watched_name,
        revision=settings.revision or revision,
        weights_hash=digest,
        architecture=type(network).__name__,
        task="regression" if answer == "value" else task,
        layers=finding.layer_count,
        heads=finding.head_count,
        labels=labels,
        libraries={library: version(library) for library in _LIBRARIES},
        device=settings.device,
        dtype=settings.dtype,
    )
