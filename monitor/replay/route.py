"""Which way embeddings can take the place of a model's input: tried, and believed when outputs agree."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from monitor.replay.batches import Batch
from monitor.replay.call import arguments
from monitor.replay.embedding_input import Route, input_embedding, install_substitution, substituted
from monitor.replay.reference import main_output

_ARGUMENT: tuple[Route, ...] = ("argument", "argument and positions")


def find_route(network: Any, batches: Sequence[Batch]) -> Route:
    """The first way that gives the output of the ids; leaves its hook on the model if it needs one.

    It has to do so with padding on either side: a decoder that classifies looks for its last token in
    the ids, and without them takes the last position, which is right for one of the two.
    """
    with torch.no_grad():
        embed = input_embedding(network)
        trials = [_Trial.of(network, embed, batch) for batch in batches]
        for route in _ARGUMENT if batches[0].pixels is None else ():
            if all(_agrees(network, trial, route) for trial in trials):
                return route
        handle = install_substitution(embed)
        blank = [replace(trial, embeddings=torch.zeros_like(trial.embeddings)) for trial in trials]
        # zeros must give another output, else the embeddings are not what the model goes on with
        if all(_agrees(network, trial, "module") for trial in trials) and not any(
            _agrees(network, trial, "module") for trial in blank
        ):
            return "module"
        handle.remove()
    return "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trial:
    batch: Batch
    embeddings: Tensor
    wanted: Tensor

    @classmethod
    def of(cls, network: Any, embed: Any, batch: Batch) -> _Trial:
        given = batch.ids if batch.pixels is None else batch.pixels.to(network.dtype)
        return cls(batch=batch, embeddings=embed(given), wanted=_output(network, batch, None, "none"))


def _agrees(network: Any, trial: _Trial, route: Route) -> bool:
    batch, embeddings, wanted = trial.batch, trial.embeddings, trial.wanted
    try:
        given = _output(network, batch, embeddings, route)
    except Exception:  # a model that does not take them this way
        return False
    chosen = batch.read if wanted.shape[:2] == batch.read.shape else ...
    return torch.allclose(wanted[chosen].float(), given[chosen].float(), atol=1e-4, rtol=1e-3)


def _output(network: Any, batch: Batch, embeddings: Tensor | None, route: Route) -> Tensor:
    by_module = route == "module" and embeddings is not None
    call = arguments(
        network, batch, None if by_module else embeddings, positions=route == "argument and positions"
    )
    with substituted(embeddings) if by_module and embeddings is not None else nullcontext():
        return main_output(network(**call))
