"""Which way embeddings can take the place of a model's input: tried, and believed when outputs agree."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from monitor.replay.batches import Batch
from monitor.replay.call import arguments
from monitor.replay.embedding_input import Route, input_embedding, install_substitution, substituted
from monitor.replay.reference import main_output

_ARGUMENT: tuple[Route, ...] = ("argument", "argument and positions")


def find_route(network: Any, batch: Batch) -> Route:
    """The first way that gives the output of the ids; leaves its hook on the model if it needs one."""
    with torch.no_grad():
        embed = input_embedding(network)
        wanted = _output(network, batch, None, "none")
        embeddings = embed(batch.ids if batch.pixels is None else batch.pixels.to(network.dtype))
        for route in _ARGUMENT if batch.pixels is None else ():
            if _agrees(network, batch, embeddings, route, wanted):
                return route
        handle = install_substitution(embed)
        # zeros must give another output, else the embeddings are not what the model goes on with
        if _agrees(network, batch, embeddings, "module", wanted) and not _agrees(
            network, batch, torch.zeros_like(embeddings), "module", wanted
        ):
            return "module"
        handle.remove()
    return "none"


def _agrees(network: Any, batch: Batch, embeddings: Tensor, route: Route, wanted: Tensor) -> bool:
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
