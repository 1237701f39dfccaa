"""A hash of each part of a loaded model: every head, the rest of every layer, all other modules."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from monitor.replay.finding import Stack
from monitor.replay.head_parts import Share, head_shares, share_axis
from monitor.replay.projection import Projection

DIGITS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterHashes:
    """``heads`` (layer, head); ``layers`` (layer,) for the rest of each; ``others`` by module name."""

    heads: tuple[tuple[str, ...], ...]
    layers: tuple[str, ...]
    others: Mapping[str, str]


def parameter_hashes(
    network: nn.Module,
    projections: Sequence[Projection] | None,
    heads: int,
    forward: Callable[[], object],
    stacks: Sequence[Stack] = (),
) -> ParameterHashes:
    """Hash every part of a loaded model; ``forward`` runs it on one row without padding.

    ``stacks``: each layer's stack in an encoder-decoder, empty in all other models.

    Where no output projection is known, or no gradient can be taken, ``heads`` and ``layers`` are
    empty and all parameters are told by their module.
    """
    state = _distinct(network)
    shares = None if projections is None else head_shares(network, projections, heads, forward)
    if projections is None or shares is None:
        return ParameterHashes(heads=(), layers=(), others=_by_module(state))
    layers = layer_parameters(list(state), [projection.name for projection in projections], stacks)
    hashed = tuple(tuple(_digest(_slices(head)) for head in layer) for layer in shares)
    inside = {name for names in layers for name in names}
    return ParameterHashes(
        heads=hashed,
        layers=tuple(_digest(_rest(state, own, layer)) for own, layer in zip(layers, shares, strict=True)),
        others=_by_module({name: tensor for name, tensor in state.items() if name not in inside}),
    )


def _slices(shares: Sequence[Share]) -> Iterator[tuple[str, Tensor]]:
    """A head's part of each parameter; the output projection's bias belongs to no head."""
    for share in shares:
        for name, parameter in sorted(share.module.named_parameters(recurse=False)):
            axis = share_axis(share, parameter)
            if axis is not None:
                rows = share.chosen.nonzero().flatten().to(parameter.device)
                yield f"{share.name}.{name}", parameter.detach().index_select(axis, rows)


def _rest(
    state: Mapping[str, Tensor], names: Sequence[str], layer: Sequence[Sequence[Share]]
) -> Iterator[tuple[str, Tensor]]:
    """What no head of a layer owns: its other parameters, and left-over slices of the heads' modules."""
    owned: dict[str, Share] = {}
    for share in (share for head in layer for share in head):
        owned[share.name] = share.joined(owned.get(share.name))
    for name in names:
        tensor = state[name]
        owner = owned.get(name.rpartition(".")[0])
        axis = None if owner is None else share_axis(owner, tensor)
        if owner is None or axis is None:
            yield name, tensor
        elif not bool(owner.chosen.all()):
            yield name, tensor.index_select(axis, (~owner.chosen).nonzero().flatten().to(tensor.device))


def layer_parameters(
    parameters: Sequence[str], projections: Sequence[str], stacks: Sequence[Stack]
) -> list[list[str]]:
    """The parameters of each layer, heads included, by the names of the layers' output projections.

    Where self and cross attention share a block, each has what lies below its own attention; what
    else is in the block (its feed-forward part) belongs to the cross attention, which runs last.

    >>> names = ["d.0.self.o.w", "d.0.cross.o.w", "d.0.fc.w", "d.1.self.o.w", "d.1.cross.o.w", "top.w"]
    >>> outputs = ["d.0.self.o", "d.1.self.o", "d.0.cross.o", "d.1.cross.o"]
    >>> stacks = ["decoder", "decoder", "cross", "cross"]
    >>> for layer in layer_parameters(names, outputs, stacks):
    ...     print(*layer)
    d.0.self.o.w
    d.1.self.o.w
    d.0.cross.o.w d.0.fc.w
    d.1.cross.o.w
    """
    blocks = _blocks(projections, stacks)
    own = [_attention(projections, blocks, layer) for layer in range(len(blocks))]
    found = []
    for layer, block in enumerate(blocks):
        others = [n for n, other in enumerate(blocks) if other == block and own[n] != own[layer]]
        whole = block if all(n < layer for n in others) else own[layer]
        taken = tuple(f"{own[n]}." for n in others)
        found.append(
            [name for name in parameters if name.startswith(f"{whole}.") and not name.startswith(taken)]
        )
    return found


def _blocks(names: Sequence[str], stacks: Sequence[Stack]) -> list[str]:
    """The module that holds each layer; every stack counts its own layers."""
    stacks = stacks or ["encoder"] * len(names)
    found = [""] * len(names)
    for stack in dict.fromkeys(stacks):
        own = [layer for layer, other in enumerate(stacks) if other == stack]
        for layer, block in zip(own, _layer_names([names[layer] for layer in own]), strict=True):
            found[layer] = block
    return found


def _attention(projections: Sequence[str], blocks: Sequence[str], layer: int) -> str:
    """The attention module of a layer that shares its block: the path up to where the block's part."""
    block, own = blocks[layer], projections[layer].split(".")
    paths = [name.split(".") for name, other in zip(projections, blocks, strict=True) if other == block]
    start = block.count(".") + 1
    parts = (
        place for place in range(start, min(map(len, paths))) if len({path[place] for path in paths}) > 1
    )
    place = next(parts, start - 1)
    return ".".join(own[: place + 1])


def _layer_names(names: Sequence[str]) -> list[str]:
    """The module that holds each layer of a stack: the path up to where the layers' paths part.

    >>> _layer_names(["h.0.attention.out", "h.1.attention.out"])
    ['h.0', 'h.1']
    """
    paths = [name.split(".") for name in names]
    shortest = min(map(len, paths))
    differs = (place for place in range(shortest) if len({path[place] for path in paths}) > 1)
    numbers = (place for place in range(shortest) if paths[0][place].isdigit())
    place = next(differs, next(numbers, shortest - 1))
    return [".".join(path[: place + 1]) for path in paths]


def _distinct(network: nn.Module) -> dict[str, Tensor]:
    """Every parameter and buffer of the state, tied ones once."""
    seen: set[tuple[int, torch.Size]] = set()
    state: dict[str, Tensor] = {}
    for name, tensor in network.state_dict().items():
        key = (tensor.data_ptr(), tensor.shape) if isinstance(tensor, Tensor) else None
        if key is not None and key not in seen:
            seen.add(key)
            state[name] = tensor.detach()
    return state


def _by_module(state: Mapping[str, Tensor]) -> dict[str, str]:
    modules: dict[str, list[tuple[str, Tensor]]] = {}
    for name, tensor in state.items():
        modules.setdefault(name.rpartition(".")[0], []).append((name, tensor))
    return {module: _digest(tensors) for module, tensors in modules.items()}


def _digest(tensors: Iterable[tuple[str, Tensor]]) -> str:
    """A SHA-256 over names, shapes and bits."""
    digest = hashlib.sha256()
    for name, tensor in tensors:
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:DIGITS]
