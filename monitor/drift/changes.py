"""What differs between the model of the baseline and the one in memory, told from their identities.

The hash over the files says whether anything of the model changed; the hashes over the loaded
parameters say what: which heads, which layers besides their heads, which other modules. They can only
be compared under one precision. If no parameter changed, it was the tokenizer or the configuration.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from monitor.records import HeadId, ModelIdentity

MOST_NAMED = 3
WORDS = "words"
"""The entry of ``ModelIdentity.pipeline`` that tells how texts are cut into words."""
CUTTING = ("most tokens", "truncation side", "lower-casing")
"""The settings that change an input's words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """``files``: another hash over the model's files; ``compared``: the parameters could be, too.

    ``heads``, ``layers`` (besides their heads) and ``modules`` (outside of the layers) have other
    parameters. ``pipeline`` and ``upgrades`` (libraries, precision, device) read ``name a -> b``.
    ``words``: the same text may have become other words, not only other tokens.
    """

    files: bool = False
    compared: bool = False
    heads: tuple[HeadId, ...] = ()
    layers: tuple[int, ...] = ()
    modules: tuple[str, ...] = ()
    tokenizer: bool = False
    pipeline: tuple[str, ...] = ()
    words: bool = False
    upgrades: tuple[str, ...] = ()

    @property
    def parameters(self) -> bool:
        """Whether parameters are known to have changed."""
        return bool(self.heads or self.layers or self.modules)

    @property
    def inputs(self) -> bool:
        """Whether the same text may have become another input."""
        return self.tokenizer or bool(self.pipeline)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Changes:
        """The inverse of ``to_json``."""
        listed = {name: tuple(values[name]) for name in ("layers", "modules", "pipeline", "upgrades")}
        return cls(**{**values, **listed, "heads": tuple(HeadId(**item) for item in values["heads"])})


UNCHANGED = Changes()
"""The same model in the same surroundings, as far as is known."""


def changes(before: ModelIdentity, now: ModelIdentity) -> Changes:
    """What of ``before`` is no longer so in ``now``."""
    upgrades = _differing(before.libraries, now.libraries)
    upgrades += _differing({"dtype": before.dtype}, {"dtype": now.dtype})
    upgrades += _differing({"device": before.device}, {"device": now.device})
    settings = _differing(_settings(before), _settings(now))
    tokenizer = before.tokenizer_hash != now.tokenizer_hash
    cut_alike = before.pipeline.get(WORDS, "") == now.pipeline.get(WORDS, "unknown")
    found = Changes(
        files=before.weights_hash != now.weights_hash,
        tokenizer=tokenizer,
        pipeline=settings,
        words=(tokenizer and not cut_alike) or any(item.startswith(CUTTING) for item in settings),
        upgrades=upgrades,
    )
    if before.dtype != now.dtype or not (before.other_hashes and now.other_hashes):
        return found
    return replace(
        found,
        compared=True,
        heads=_places(before.head_hashes, now.head_hashes),
        layers=_other_places(before.layer_hashes, now.layer_hashes),
        modules=tuple(
            name
            for name in dict.fromkeys((*before.other_hashes, *now.other_hashes))
            if before.other_hashes.get(name) != now.other_hashes.get(name)
        ),
    )


def parts(found: Changes) -> str:
    """The parts whose parameters changed, in words.

    >>> parts(Changes(heads=(HeadId(layer=1, head=2),), layers=(3,), modules=("classifier",)))
    'L1H2, layer 3 outside of its heads, classifier'
    """
    layers = [f"layer {layer} outside of its heads" for layer in found.layers]
    return ", ".join(
        [
            *_few([str(head) for head in found.heads], "heads"),
            *_few(layers, "layers outside of their heads"),
            *_few(found.modules, "other modules"),
        ]
    )


def _few(names: Sequence[str], kind: str) -> list[str]:
    return list(names) if len(names) <= MOST_NAMED else [f"{len(names)} {kind}"]


def _settings(identity: ModelIdentity) -> dict[str, str]:
    return {name: value for name, value in identity.pipeline.items() if name != WORDS}


def _differing(before: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    """``torch 2.13.0 -> 3.0``; what only one side knows is no difference."""
    return tuple(
        f"{name} {before[name]} -> {now[name]}"
        for name in before
        if name in now and before[name] != now[name]
    )


def _places(before: Sequence[Sequence[str]], now: Sequence[Sequence[str]]) -> tuple[HeadId, ...]:
    return tuple(
        HeadId(layer=layer, head=head)
        for layer, (one, other) in enumerate(zip(before, now, strict=False))
        for head in _other_places(one, other)
    )


def _other_places(before: Sequence[str], now: Sequence[str]) -> tuple[int, ...]:
    return tuple(place for place, (one, other) in enumerate(zip(before, now, strict=False)) if one != other)
