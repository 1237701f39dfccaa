"""Loading a model: find it, read it, test which tier serves its attention, say what it cannot give."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from monitor.errors import ModelError
from monitor.records import STATISTICS, ModelIdentity, Sample
from monitor.replay.batches import Batch, make_batch
from monitor.replay.parameters import ParameterHashes, parameter_hashes
from monitor.replay.replayed_model import Answer, ReplayModel, arguments, position_padding
from monitor.replay.selftest import Finding, NoAttentionError, main_output, run_self_test
from monitor.replay.settings import ModelSettings, Task
from monitor.replay.source import first_line, read_config, resolve_source, task_of
from monitor.replay.tap import register_tap
from monitor.replay.tokens import Refused, TextEncoder, token_limit
from monitor.replay.weights import tokenizer_hash, weights_hash, weights_stamp

__all__ = ["ReplayModel", "load_model"]

_AUTO_CLASS: dict[Task, Any] = {
    "sequence-classification": AutoModelForSequenceClassification,
    "causal-lm": AutoModelForCausalLM,
    "encoder": AutoModel,
}
_SELF_TEST_TEXTS = ("The train to the coast leaves at nine.", "Rain.", "Ducks sleep on one leg, they say.")
_LIBRARIES = ("torch", "transformers", "tokenizers", "numpy")


def load_model(settings: ModelSettings) -> ReplayModel:
    """Load a model and run the self-test; sets torch's thread count. Raises ``ModelError``."""
    torch.set_num_threads(settings.threads)
    register_tap()
    folder = resolve_source(settings.source, settings.revision)
    # Before anything is read: a hash taken afterwards could be that of files which were never loaded.
    stamp, digest, tokenizer_digest = weights_stamp(folder), weights_hash(folder), tokenizer_hash(folder)
    with _quiet_transformers():
        config = read_config(folder, settings.source)
        task = task_of(config, settings.task, settings.source)
        tokenizer = _load_tokenizer(folder, settings.source)
        network = _load_network(folder, task, settings)
        if network.config.pad_token_id is None:
            network.config.pad_token_id = tokenizer.pad_token_id
        encoder = _encoder(tokenizer, network, settings)
        batches = _self_test_batches(encoder, tokenizer, settings)
        finding = _test(network, batches, settings.source)
        takes_gradient, explicit = _gradient_route(network, batches[0])
        hashes = _parameter_hashes(network, finding, batches[1])
    if weights_stamp(folder) != stamp:
        raise ModelError(
            f"model.source = {settings.source}: its files changed while they were being loaded; try again"
        )
    answer = _answer(task, network.config)
    return ReplayModel(
        identity=replace(
            _identity(settings, folder, network, task, finding, answer, digest),
            head_hashes=hashes.heads,
            layer_hashes=hashes.layers,
            other_hashes=hashes.others,
            tokenizer_hash=tokenizer_digest,
            pipeline=encoder.pipeline(),
        ),
        answer=answer,
        finding=finding,
        statistics=_statistics(finding),
        refusals=_refusals(finding, network.config, takes_gradient=takes_gradient),
        token_budget=settings.token_budget,
        takes_gradient=takes_gradient,
        explicit_positions=explicit,
        network=network,
        tokenizer=tokenizer,
        encoder=encoder,
        names={id(module): name for name, module in network.named_modules()},
    )


def _encoder(tokenizer: Any, network: Any, settings: ModelSettings) -> TextEncoder:
    limit = token_limit(tokenizer, network.config, position_padding(network), settings.max_tokens)
    vocabulary = int(network.get_input_embeddings().weight.shape[0])
    return TextEncoder(tokenizer, max_tokens=limit, vocabulary=vocabulary)


def _statistics(finding: Finding) -> tuple[str, ...]:
    """Those that this model has: a decoder has no separator, some have no output projection."""
    lacking = {"separator"} if finding.causal else set()
    if finding.projections is None:
        lacking.add("output_norm")
    return tuple(name for name in STATISTICS if name not in lacking)


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """No progress bars and no load report on the user's terminal; what matters becomes an error."""
    logging = transformers.utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _load_tokenizer(folder: Path, source: str) -> Any:
    try:
        return AutoTokenizer.from_pretrained(str(folder))
    except Exception as error:
        raise ModelError(
            f"model.source = {source}: its tokenizer cannot be read ({first_line(error)}); "
            "save it beside the weights with tokenizer.save_pretrained"
        ) from None


def _load_network(folder: Path, task: Task, settings: ModelSettings) -> Any:
    try:
        network, report = _AUTO_CLASS[task].from_pretrained(
            str(folder),
            dtype=getattr(torch, settings.dtype),
            attn_implementation="eager",
            output_loading_info=True,
        )
    except Exception as error:
        raise ModelError(
            f"model.source = {settings.source}: its weights cannot be read ({first_line(error)}); "
            "check that the files are complete and that model.task fits them"
        ) from None
    missing = sorted(key for key in report["missing_keys"] if task != "encoder" or "pooler" not in key)
    if missing:
        raise ModelError(
            f"model.source = {settings.source}: its weights lack {', '.join(missing[:3])}"
            f"{' and more' if len(missing) > 3 else ''}; "
            f"set model.task to what the model was trained for (it is {task} now)"
        )
    network.eval().requires_grad_(requires_grad=False)
    try:
        return network.to(settings.device)
    except Exception as error:
        raise ModelError(
            f"model.device = {settings.device}: cannot be used ({first_line(error)}); try cpu"
        ) from None


def _answer(task: Task, config: Any) -> Answer:
    if task == "encoder":
        return "embedding"
    if task == "causal-lm":
        return "token"
    kind = getattr(config, "problem_type", None)
    if kind == "regression":
        return "value"
    return "labels" if kind == "multi_label_classification" or config.num_labels == 1 else "classes"


def _self_test_batches(encoder: TextEncoder, tokenizer: Any, settings: ModelSettings) -> list[Batch]:
    try:
        rows = [encoder.encode(Sample(id="", time=0.0, text=text)) for text in _SELF_TEST_TEXTS]
    except Refused as error:
        raise ModelError(
            f"model.source = {settings.source}: its tokenizer makes nothing of plain text ({error}); "
            "check the tokenizer files"
        ) from None
    highest = max(max(row.ids) for row in rows)
    if highest >= encoder.vocabulary:
        raise ModelError(
            f"model.source = {settings.source}: its tokenizer gives token {highest}, the model knows "
            f"{encoder.vocabulary}; the tokenizer belongs to another model"
        )
    padding = tokenizer.pad_token_id or 0
    return [
        make_batch(rows, padding_id=padding, device=settings.device, side="left"),
        make_batch(rows, padding_id=padding, device=settings.device, side="right"),
    ]


def _test(network: Any, batches: Sequence[Batch], source: str) -> Finding:
    def forward(batch: Batch, *, output_attentions: bool) -> Any:
        call = arguments(network, batch, None, positions=False)
        if output_attentions:
            call["output_attentions"] = True
        return network(**call)

    try:
        return run_self_test(network, forward, batches)
    except NoAttentionError as error:
        raise ModelError(
            f"model.source = {source}: has no attention that can be read ({error}); "
            "head profiles and rollout need it; only prediction and attribution would remain"
        ) from None
    except Exception as error:
        raise ModelError(
            f"model.source = {source}: fails on plain text ({type(error).__name__}: {first_line(error)})"
        ) from None


def _gradient_route(network: Any, batch: Batch) -> tuple[bool, bool]:
    """Whether embeddings may stand in for ids, and whether that takes explicit positions."""
    with torch.no_grad():
        wanted = main_output(network(**arguments(network, batch, None, positions=False)))
        for explicit in (False, True):
            try:
                embeddings = network.get_input_embeddings()(batch.ids)
                given = main_output(network(**arguments(network, batch, embeddings, positions=explicit)))
            except Exception:
                continue
            chosen = batch.real if wanted.shape[:2] == batch.real.shape else ...
            if torch.allclose(wanted[chosen].float(), given[chosen].float(), atol=1e-4, rtol=1e-3):
                return True, explicit
    return False, False


def _parameter_hashes(network: Any, finding: Finding, batch: Batch) -> ParameterHashes:
    """The longest row alone: without padding every feature of a head has a gradient."""
    longest = batch.take(batch.real.sum(dim=1).argmax().unsqueeze(0))
    call = arguments(network, longest, None, positions=False)
    return parameter_hashes(network, finding.projections, finding.head_count, lambda: network(**call))


def _refusals(finding: Finding, config: Any, *, takes_gradient: bool) -> tuple[str, ...]:
    refused = []
    if finding.projections is None:
        refused.append("output_norm: no output projection was found in the model's modules")
    if not takes_gradient:
        refused.append("attribution, top words and head importance: the model takes no input embeddings")
    layers = getattr(config, "num_hidden_layers", finding.layer_count)
    if layers != finding.layer_count:
        refused.append(f"heads: {finding.layer_count} of {layers} layers have attention that can be read")
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
    if answer in ("classes", "labels"):
        labels = tuple(str(config.id2label.get(i, i)) for i in range(config.num_labels))
    is_local = Path(settings.source).expanduser().is_dir()
    # a hub model lies in a snapshot folder that is named after its commit
    name = folder.resolve().name if is_local else settings.source
    revision = "unversioned" if is_local else folder.name
    return ModelIdentity(
        name=settings.name or name,
        revision=settings.revision or revision,
        weights_hash=digest,
        architecture=type(network).__name__,
        task=task,
        layers=finding.layer_count,
        heads=finding.head_count,
        labels=labels,
        libraries={library: version(library) for library in _LIBRARIES},
        device=settings.device,
        dtype=settings.dtype,
    )
